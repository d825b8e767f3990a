"""The headers of many files at once: 163 shards are read in the time of a few.

Here: how many requests wait at a time, and how much all headers may take together. Not here: formats (`bitshift_core`).
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

from bitshift_core.artifact.cursor import Read
from bitshift_core.artifact.errors import malformed
from bitshift_core.artifact.gguf import GgufHeader, read_gguf_header
from bitshift_core.artifact.safetensors import MAX_TENSORS, SafetensorsHeader, parsed_header, raw_header

from .source import Progress, Source

PARALLEL_READS = 16
MAX_HEADERS_BYTES = 64 << 20
"""Of all files together: the largest published checkpoints, with 140,000 tensors, have 20 MiB."""
Found = TypeVar("Found")


def sizes_of(source: Source, names: Sequence[str], progress: Progress) -> tuple[int | None, ...]:
    """Return each file's bytes, None for one that is missing."""
    found: list[int | None] = []
    for size in _in_parallel(source.size, names):
        found.append(size)
        progress("files", len(found), len(names))
    return tuple(found)


def safetensors_headers(
    source: Source, names: Sequence[str], sizes: Sequence[int], progress: Progress
) -> dict[str, SafetensorsHeader]:
    """Return each file's header; they are fetched together and parsed one by one, so that memory stays bounded."""
    known, budget = dict(zip(names, sizes, strict=True)), _Budget(MAX_HEADERS_BYTES)

    def fetch(name: str) -> bytes:
        return raw_header(budget.reader(source, name), known[name], what=name)

    found: dict[str, SafetensorsHeader] = {}
    tensors = 0
    for name, raw in zip(names, _in_parallel(fetch, names), strict=True):
        found[name] = parsed_header(raw, known[name], what=name)
        tensors += len(found[name].tensors)
        _check_tensors(tensors)
        progress("headers", len(found), len(names))
    return found


def gguf_headers(
    source: Source, names: Sequence[str], sizes: Sequence[int], progress: Progress
) -> tuple[GgufHeader, ...]:
    """Return the headers of a model's parts in order."""
    known, budget = dict(zip(names, sizes, strict=True)), _Budget(MAX_HEADERS_BYTES)

    def read(name: str) -> GgufHeader:
        return read_gguf_header(budget.reader(source, name), known[name], what=name)

    found: list[GgufHeader] = []
    for header in _in_parallel(read, names):
        found.append(header)
        _check_tensors(sum(len(each.tensors) for each in found))
        progress("headers", len(found), len(names))
    return tuple(found)


class _Budget:
    """Bytes that the headers of all files may still take; what one claims, the others cannot."""

    def __init__(self, whole_bytes: int) -> None:
        self._left, self._whole, self._lock = whole_bytes, whole_bytes, Lock()

    def reader(self, source: Source, name: str) -> Read:
        """Return what reads one file at the expense of all."""

        def read(offset: int, length: int) -> bytes:
            with self._lock:
                self._left -= length
                if self._left < 0:
                    raise malformed(f"The files claim headers of more than {self._whole} bytes; no real model's do.")
            return source.read(name, offset, length)

        return read


def _in_parallel(ask: Callable[[str], Found], names: Sequence[str]) -> Iterator[Found]:
    """Yield each file's answer in order; the first that fails ends it, and what has not begun is not asked for."""
    with ThreadPoolExecutor(max_workers=min(PARALLEL_READS, len(names))) as pool:
        try:
            yield from pool.map(ask, names)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _check_tensors(count: int) -> None:
    if count > MAX_TENSORS:
        raise malformed(f"The files hold more than {MAX_TENSORS} tensors; no real model's do.")
