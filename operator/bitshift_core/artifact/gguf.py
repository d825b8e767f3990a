"""The header of a GGUF file (versions 2 and 3): metadata and tensor infos by range reads, within bounds.

Here: the format, and disbelief: every count, length and offset comes from a stranger. Not here: what the keys say of
a model (`gguf_model`). Format: ggml-org/ggml, docs/gguf.md.
"""

import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from .cursor import Cursor, Read
from .digests import sha256_of
from .errors import malformed, truncated, unsupported
from .ggml import GGML_TYPES
from .roles import Tensor

MAX_KEYS = 4_096
MAX_TENSORS = 65_536
MAX_ARRAY_ELEMENTS = 1 << 22
MAX_KEPT_ELEMENTS = 4_096
MAX_KEY_BYTES = 1_024
MAX_TEXT_BYTES = 1 << 20
MAX_DIMENSIONS = 4
MAX_ELEMENTS = 1 << 48
HEADER_BUDGET_BYTES = 64 << 20
DEFAULT_ALIGNMENT = 32
MAX_ALIGNMENT = 1 << 16

_UINT32 = struct.Struct("<I")
_SCALARS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_STRING, _ARRAY = 8, 9
_T = TypeVar("_T")


@dataclass(frozen=True)
class ArraySummary:
    """An array of the metadata: its digest, and its values where they are few numbers."""

    count: int
    digest: str
    values: tuple[int | float | bool, ...] = ()


Value = int | float | bool | str | ArraySummary


@dataclass(frozen=True)
class GgufHeader:
    """What the header says, checked against the file's size."""

    version: int
    metadata: Mapping[str, Value]
    tensors: tuple[Tensor, ...]
    size_bytes: int


@dataclass(frozen=True)
class _Placed:
    tensor: Tensor
    offset: int

    @property
    def end(self) -> int:
        return self.offset + self.tensor.bytes


def read_gguf_header(read: Read, size_bytes: int, *, what: str = "The file") -> GgufHeader:
    """Return the header; anything but a whole, believable GGUF file is an `ArtifactError`."""
    cursor = Cursor(read, size_bytes, budget_bytes=HEADER_BUDGET_BYTES, what=what)
    version = _version(cursor, what)
    tensor_count = _bounded(cursor.length(), MAX_TENSORS, what, "tensors")
    key_count = _bounded(cursor.length(), MAX_KEYS, what, "metadata keys")
    metadata = _unique((_key_value(cursor) for _ in range(key_count)), "metadata key")
    placed = _unique((_tensor_info(cursor) for _ in range(tensor_count)), "tensor")
    alignment = _alignment(metadata)
    data_start = -(-cursor.offset // alignment) * alignment
    _check_placement(tuple(placed.values()), data_start, size_bytes, alignment, what)
    return GgufHeader(version, metadata, tuple(info.tensor for info in placed.values()), size_bytes)


def _version(cursor: Cursor, what: str) -> int:
    magic = cursor.take(4)
    if magic != b"GGUF":
        raise malformed(f"{what} is not GGUF: it begins with {magic!r}.")
    version = cursor.unpack(_UINT32)[0]
    if version in (2, 3):
        return int(version)
    if version in (2 << 24, 3 << 24):
        raise unsupported(f"{what} is big-endian GGUF; convert it for little-endian machines.")
    raise unsupported(f"{what} has GGUF version {version}; versions 2 and 3 are read. Convert the model again.")


def _bounded(count: int, limit: int, what: str, noun: str) -> int:
    if count > limit:
        raise malformed(f"{what} claims {count} {noun}; at most {limit} are believed.")
    return count


def _unique(pairs: Iterable[tuple[str, _T]], noun: str) -> dict[str, _T]:
    found: dict[str, _T] = {}
    for name, value in pairs:
        if name in found:
            raise malformed(f"The {noun} {name[:80]!r} occurs twice.")
        found[name] = value
    return found


def _key_value(cursor: Cursor) -> tuple[str, Value]:
    key = _name(cursor)
    kind = int(cursor.unpack(_UINT32)[0])
    if kind == _STRING:
        return key, cursor.string(MAX_TEXT_BYTES).decode("utf-8", errors="replace")
    if kind == _ARRAY:
        return key, _array(cursor, key)
    return key, cursor.unpack(_scalar(kind, key))[0]


def _name(cursor: Cursor) -> str:
    raw = cursor.string(MAX_KEY_BYTES)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise malformed(f"The name {raw[:80]!r} is not UTF-8.") from None


def _scalar(kind: int, key: str) -> struct.Struct:
    try:
        return _SCALARS[kind]
    except KeyError:
        raise malformed(f"The metadata key {key[:80]!r} has the unknown value type {kind}.") from None


def _array(cursor: Cursor, key: str) -> ArraySummary:
    kind = int(cursor.unpack(_UINT32)[0])
    count = _bounded(cursor.length(), MAX_ARRAY_ELEMENTS, f"The metadata key {key[:80]!r}", "elements")
    if kind == _STRING:
        return ArraySummary(count, cursor.skip_strings_digested(count))
    if kind == _ARRAY:
        raise unsupported(f"The metadata key {key[:80]!r} is an array of arrays, which no known model has.")
    element = _scalar(kind, key)
    if count > MAX_KEPT_ELEMENTS:
        return ArraySummary(count, cursor.skip_digested(count * element.size))
    raw = cursor.take(count * element.size)
    return ArraySummary(count, sha256_of(raw), tuple(value for (value,) in element.iter_unpack(raw)))


def _tensor_info(cursor: Cursor) -> tuple[str, _Placed]:
    name = _name(cursor)
    dimensions = int(cursor.unpack(_UINT32)[0])
    _bounded(dimensions, MAX_DIMENSIONS, f"The tensor {name[:80]!r}", "dimensions")
    shape = tuple(cursor.length() for _ in range(dimensions))
    kind = int(cursor.unpack(_UINT32)[0])
    offset = cursor.length()
    stored = GGML_TYPES.get(kind)
    if stored is None:
        raise unsupported(f"The tensor {name[:80]!r} has the unknown ggml type {kind}.")
    elements = math.prod(shape)
    if not 0 < elements <= MAX_ELEMENTS:
        raise malformed(f"The tensor {name[:80]!r} has the unbelievable shape {shape}.")
    if (shape[0] if shape else 1) % stored.block_elements:
        raise malformed(f"Rows of the tensor {name[:80]!r}, shape {shape}, are no whole blocks of {stored.name}.")
    size = elements // stored.block_elements * stored.block_bytes
    return name, _Placed(Tensor(name, stored.name, shape, elements, size), offset)


def _alignment(metadata: Mapping[str, Value]) -> int:
    value = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(value, int) or not 0 < value <= MAX_ALIGNMENT or value & (value - 1):
        raise malformed(f"The alignment {str(value)[:80]!r} is no power of two up to {MAX_ALIGNMENT}.")
    return value


def _check_placement(placed: tuple[_Placed, ...], data_start: int, size_bytes: int, alignment: int, what: str) -> None:
    """Refuse tensors that overlap, are not aligned, or lie beyond the file: the last is a copy that broke off."""
    before = 0
    for info in sorted(placed, key=lambda one: one.offset):
        name = info.tensor.name[:80]
        if info.offset % alignment:
            raise malformed(f"The tensor {name!r} begins at {info.offset}, which is not aligned to {alignment}.")
        if info.offset < before:
            raise malformed(f"The tensor {name!r} overlaps the one before it.")
        before = info.end
    if data_start + before > size_bytes:
        raise truncated(what, expected_bytes=data_start + before, present_bytes=size_bytes)
