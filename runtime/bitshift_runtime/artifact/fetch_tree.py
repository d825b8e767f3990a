"""Fetching all files of a model into a folder: each whole and what was promised, the folder complete or not there.

Here: choice, room, the lock that pods with a shared cache meet at, the mark. Not here: one file (`fetch`).
"""

import fcntl
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import httpx

from bitshift_core.artifact.digests import files_digest
from bitshift_core.artifact.errors import ArtifactError
from bitshift_core.artifact.facts import FileFact

from .choice import wanted, weights_of
from .fetch import fetch_file, sha256_of_file
from .source import Progress
from .spans import SpanSource

MARK, LOCK = ".bitshift-complete.json", ".bitshift-lock"


def fetch_tree(source: SpanSource, target: Path, digest: str, progress: Progress) -> None:
    """Leave the model's files in the folder; one that is marked complete is not read again, by whichever pod."""
    target.mkdir(parents=True, exist_ok=True)
    with locked(target / LOCK):
        if _is_complete(target, source, digest):
            return
        names = wanted(source)
        _check_room(source, target, names)
        for name in names:
            _fetch_one(source, name, target, progress)
        with _left_behind_only_if_good(target, names):
            source.check(target, names)
            _check_digest(source, target, digest)
        (target / MARK).write_text(json.dumps({"uri": source.pinned, "digest": digest, "files": list(names)}))


def _fetch_one(source: SpanSource, name: str, target: Path, progress: Progress) -> None:
    def from_offset(have: int) -> AbstractContextManager[httpx.Response]:
        return source.stream(name, have)

    if not source.size(name):
        (target / name).write_bytes(b"")
        return
    fetch_file(from_offset, name, target / name, source.sha256(name, progress), progress, source.size(name) or 0)


def _is_complete(target: Path, source: SpanSource, digest: str) -> bool:
    try:
        mark = json.loads((target / MARK).read_text())
    except (OSError, ValueError):
        return False
    same = mark.get("uri") == source.pinned and mark.get("digest") == digest
    return same and all((target / name).exists() for name in mark.get("files", [""]))


def _check_room(source: SpanSource, target: Path, names: Sequence[str]) -> None:
    """Refuse before the first byte what would fill the disk at the last."""
    present = sum(path.stat().st_size for path in target.iterdir() if path.is_file())
    missing = sum(source.size(name) or 0 for name in names) - present
    free = shutil.disk_usage(target).free
    if missing > free:
        raise ArtifactError("NotEnoughDisk", f"{missing} bytes are to come and {free} are free in {target}.")


@contextmanager
def _left_behind_only_if_good(target: Path, names: Sequence[str]) -> Iterator[None]:
    """Remove the files when they are not what was promised of all of them: nobody could tell which one is wrong."""
    try:
        yield
    except ArtifactError as error:
        for name in names if error.reason == "DigestMismatch" else ():
            (target / name).unlink(missing_ok=True)
        raise


def _check_digest(source: SpanSource, target: Path, digest: str) -> None:
    """Hold the weights to the digest of their manifest, as the facts or the user named it."""
    if not digest:
        return
    files = [
        FileFact(name=name, size_bytes=(target / name).stat().st_size, sha256=_known(source, name, target))
        for name in weights_of(source)
    ]
    found = files_digest(files)
    if found != digest:
        raise ArtifactError(
            "DigestMismatch", f"The weights of {source.pinned} have {found}, not {digest} as asked for."
        )


def _known(source: SpanSource, name: str, target: Path) -> str:
    """Return the digest that the file was held to when it was fetched, else that of its bytes: read only once."""
    return source.sha256(name, lambda *_: None) or sha256_of_file(target / name)[0]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one pod fetch and the others wait; a volume that knows no locks is fetched by each, which ends the same."""
    with path.open("w") as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
