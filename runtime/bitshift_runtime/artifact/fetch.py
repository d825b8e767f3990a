"""Downloading one file so that it is either whole and what was promised, or not there.

Here: ranges that resume, the digest, the rename. Not here: headers (`inspect`).
"""

import hashlib
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import httpx

from bitshift_core.artifact.errors import ArtifactError

from .source import Progress, is_untrusted, unreachable

ATTEMPTS, PAUSE_SECONDS = 6, 2.0
RETRIED_STATUS = frozenset({408, 429, 500, 502, 503, 504})
FromOffset = Callable[[int], AbstractContextManager[httpx.Response]]
"""Opens a file's bytes from an offset on."""


def fetch(url: str, target: Path, digest: str, client: httpx.Client, progress: Progress, token: str = "") -> None:
    """Leave the file of a URL at the target."""
    identity = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {token}"} if token else {})

    def from_offset(have: int) -> AbstractContextManager[httpx.Response]:
        return client.stream("GET", url, headers=identity | ({"Range": f"bytes={have}-"} if have else {}))

    fetch_file(from_offset, url.split("?")[0], target, digest, progress)


def fetch_file(
    from_offset: FromOffset, what: str, target: Path, digest: str, progress: Progress, size: int = 0
) -> None:
    """Leave a file at the target; a part that was downloaded before is continued, a whole one only checked."""
    if target.exists() and (not digest or sha256_of_file(target)[0] == digest) and size in (0, target.stat().st_size):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    failure: Exception | None = None
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE_SECONDS * attempt)
        try:
            if size == 0 or not part.exists() or part.stat().st_size != size:
                _continue(from_offset, what, part, progress)
            break
        except httpx.HTTPError as error:
            failure = error
            if is_untrusted(error):
                raise unreachable(what, error) from error
    else:
        raise unreachable(what, failure or Exception("no answer"))
    _accept(part, target, digest)


def _continue(from_offset: FromOffset, what: str, part: Path, progress: Progress) -> None:
    """Append what is missing; a server that ignores the range is read from the beginning."""
    have = part.stat().st_size if part.exists() else 0
    with from_offset(have) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # the part is whole already, or not ours: the digest tells
        if answer.status_code in RETRIED_STATUS:
            answer.raise_for_status()
        if not answer.is_success:
            raise ArtifactError("ArtifactUnreadable", f"{what} answered HTTP {answer.status_code}.")
        resumed = answer.status_code == httpx.codes.PARTIAL_CONTENT
        done = have if resumed else 0
        total = done + int(answer.headers.get("content-length", 0))
        _check_room(part.parent, total - done)
        with part.open("ab" if resumed else "wb") as file:
            for chunk in answer.iter_bytes():
                file.write(chunk)
                done += len(chunk)
                progress(part.name.removesuffix(".part"), done, total)
        if total and done < total:
            raise httpx.RemoteProtocolError(f"the answer ended after {done} of {total} bytes")


def _check_room(folder: Path, missing_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if missing_bytes > free:
        raise ArtifactError("NotEnoughDisk", f"{missing_bytes} bytes are to come and {free} are free in {folder}.")


def _accept(part: Path, target: Path, digest: str) -> None:
    found, size = sha256_of_file(part) if digest else ("", 0)
    if found != digest:
        part.unlink()
        raise ArtifactError("DigestMismatch", f"{target.name} ({size} bytes) has {found}, not {digest} as asked for.")
    part.replace(target)


def sha256_of_file(path: Path) -> tuple[str, int]:
    """Return a file's digest and its bytes."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    return f"sha256:{found}", path.stat().st_size
