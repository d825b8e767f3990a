"""Walking forward through a header of unknown length by range reads, within a budget.

Here: buffering, bounds, digests of what is skipped. Not here: what the bytes mean (`gguf`).
"""

import hashlib
import struct
from collections.abc import Callable

from .errors import malformed, truncated

Read = Callable[[int, int], bytes]
"""`read(offset, length)` returns those bytes of the file, or fewer where it ends."""

FIRST_CHUNK_BYTES, CHUNK_BYTES = 1 << 15, 1 << 20
"""The first read is small and each next one four times larger: the parts of a split model have headers of a few KiB."""
_LENGTH = struct.Struct("<Q")


class Cursor:
    """A forward reader that holds about one chunk and refuses to read past the file or the budget."""

    def __init__(self, read: Read, size_bytes: int, *, budget_bytes: int, what: str) -> None:
        self._read, self._size, self._budget, self._what = read, size_bytes, budget_bytes, what
        self._buffer = b""
        self._base = 0  # the file's offset of the buffer's first byte
        self._at = 0
        self._chunk = FIRST_CHUNK_BYTES

    @property
    def offset(self) -> int:
        """Return how far into the file the cursor stands."""
        return self._base + self._at

    def take(self, count: int) -> bytes:
        """Return the next bytes."""
        self._need(count)
        taken = self._buffer[self._at : self._at + count]
        self._at += count
        return taken

    def unpack(self, layout: struct.Struct) -> tuple[int | float | bool, ...]:
        """Return the next bytes as the layout's values."""
        return layout.unpack(self.take(layout.size))

    def length(self) -> int:
        """Return the next unsigned 64-bit integer: GGUF's type for every count and length."""
        return int(self.unpack(_LENGTH)[0])

    def string(self, limit_bytes: int) -> bytes:
        """Return the next length-prefixed string."""
        return self.take(self._string_bytes(self.length(), limit_bytes))

    def skip_digested(self, count: int) -> str:
        """Return the digest of the next bytes without keeping them."""
        digest = hashlib.sha256()
        self._affordable(count)
        while count:
            part = self.take(min(count, CHUNK_BYTES))
            digest.update(part)
            count -= len(part)
        return f"sha256:{digest.hexdigest()}"

    def skip_strings_digested(self, count: int) -> str:
        """Return the digest of that many length-prefixed strings: a vocabulary of 262,144 in a fraction of a second."""
        digest = hashlib.sha256()
        while count:
            self._need(_LENGTH.size)
            end, passed = _whole_strings(self._buffer, self._at, count)
            if not passed:  # the next one goes on behind the buffer
                length = _LENGTH.unpack_from(self._buffer, self._at)[0]
                self._need(_LENGTH.size + self._string_bytes(length, CHUNK_BYTES))
                end, passed = self._at + _LENGTH.size + length, 1
            digest.update(memoryview(self._buffer)[self._at : end])
            self._at, count = end, count - passed
        return f"sha256:{digest.hexdigest()}"

    def _need(self, count: int) -> None:
        if self._at + count > len(self._buffer):
            self._refill(count)

    def _string_bytes(self, length: int, limit_bytes: int) -> int:
        if length > limit_bytes:
            self._affordable(length)  # a file that is too short is reported as such first
            raise malformed(f"{self._what} has a string of {length} bytes; at most {limit_bytes} are believed.")
        return length

    def _affordable(self, count: int) -> None:
        end = self.offset + count
        if end > self._size:
            raise truncated(self._what, expected_bytes=end, present_bytes=self._size)
        if end > self._budget:
            raise malformed(f"The header of {self._what} claims more than {self._budget} bytes; no real model's does.")

    def _refill(self, count: int) -> None:
        self._affordable(count)
        kept = self._buffer[self._at :]
        start = self.offset
        wanted = max(count, min(self._chunk, self._size - start)) - len(kept)
        self._chunk = min(4 * self._chunk, CHUNK_BYTES)
        fresh = self._read(start + len(kept), wanted)
        self._buffer, self._base, self._at = kept + fresh, start, 0
        if len(self._buffer) < count:
            raise truncated(self._what, expected_bytes=start + count, present_bytes=start + len(self._buffer))


def _whole_strings(buffer: bytes, at: int, count: int) -> tuple[int, int]:
    """Return where the strings end that lie in the buffer whole, and how many of those asked for they are."""
    unpack, size, held, passed = _LENGTH.unpack_from, _LENGTH.size, len(buffer), 0
    while passed < count and at + size <= held:
        following = at + size + unpack(buffer, at)[0]
        if following > held:
            break
        at, passed = following, passed + 1
    return at, passed
