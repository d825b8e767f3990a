"""Downloading one file so that it is either whole and what was promised, or not there.

Here: ranges that resume, the digest, the rename. Not here: headers (`inspect`).
"""

import hashlib
import shutil
import time
from pathlib import Path

import httpx

from bitshift_core.artifact.errors import ArtifactError

from .source import Progress, unreachable

ATTEMPTS, PAUSE_SECONDS = 6, 2.0
RETRIED_STATUS = frozenset({408, 429, 500, 502, 503, 504})


def fetch(url: str, target: Path, digest: str, client: httpx.Client, progress: Progress) -> None:
    """Leave the file at the target; a part that was downloaded before is continued, a whole one only checked."""
    if target.exists() and (not digest or _sha256(target)[0] == digest):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    failure: Exception | None = None
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE_SECONDS * attempt)
        try:
            _continue(url, part, client, progress)
            break
        except httpx.HTTPError as error:
            failure = error
    else:
        raise unreachable(url.split("?")[0], failure or Exception("no answer"))
    _accept(part, target, digest)


def _continue(url: str, part: Path, client: httpx.Client, progress: Progress) -> None:
    """Append what is missing; a server that ignores the range is read from the beginning."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with client.stream("GET", url, headers=headers) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # the part is whole already, or not ours: the digest tells
        if answer.status_code in RETRIED_STATUS:
            answer.raise_for_status()
        if not answer.is_success:
            raise ArtifactError("ArtifactUnreadable", f"{url.split('?')[0]} answered HTTP {answer.status_code}.")
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
    found, size = _sha256(part)
    if digest and found != digest:
        part.unlink()
        raise ArtifactError("DigestMismatch", f"{target.name} ({size} bytes) has {found}, not {digest} as asked for.")
    part.replace(target)


def _sha256(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    return f"sha256:{found}", path.stat().st_size
