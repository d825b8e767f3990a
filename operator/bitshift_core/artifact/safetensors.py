"""The header of a safetensors file, and the index of a sharded checkpoint, by range reads within bounds.

Here: the format and disbelief of every number in it. Not here: what the tensors' names mean (`roles`, `checkpoint`).
Format: huggingface/safetensors, README.
"""

import json
import math
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from .cursor import Read
from .errors import ArtifactError, malformed, truncated, unsupported
from .facts import MAX_FILES
from .roles import Tensor

MAX_HEADER_BYTES = 32 << 20
MAX_TENSORS = 400_000
MAX_DIMENSIONS = 8
MAX_NAME_CHARACTERS = 1_024
MAX_ELEMENTS = 1 << 48
MAX_PARSED_BYTES = 768 << 20
"""Below the memory of the Job that reads; the largest tokenizers, with 262,144 tokens in 33 MB, take 463 MiB of it."""
PREFIX = struct.Struct("<Q")
DTYPE_BITS = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E5M2FNUZ": 8,
    "F8_E4M3FNUZ": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}


@dataclass(frozen=True)
class SafetensorsHeader:
    """What one file's header says, checked against the file's size."""

    tensors: tuple[Tensor, ...]
    size_bytes: int


def read_safetensors_header(read: Read, size_bytes: int, *, what: str = "The file") -> SafetensorsHeader:
    """Return the header; anything but a whole, believable safetensors file is an `ArtifactError`."""
    return parsed_header(raw_header(read, size_bytes, what=what), size_bytes, what=what)


def raw_header(read: Read, size_bytes: int, *, what: str = "The file") -> bytes:
    """Return the header's JSON as it stands in the file: apart from parsing, so that many files are read at once."""
    prefix = read(0, PREFIX.size) if size_bytes >= PREFIX.size else b""
    if len(prefix) < PREFIX.size:
        raise truncated(what, expected_bytes=PREFIX.size, present_bytes=min(size_bytes, len(prefix)))
    length = PREFIX.unpack(prefix)[0]
    if length > MAX_HEADER_BYTES:
        raise malformed(f"{what} claims a header of {length} bytes; at most {MAX_HEADER_BYTES} are believed.")
    raw = read(PREFIX.size, length) if PREFIX.size + length <= size_bytes else b""
    if len(raw) < length:
        present = min(size_bytes, PREFIX.size + len(raw))
        raise truncated(what, expected_bytes=PREFIX.size + length, present_bytes=present)
    return raw


def parsed_header(raw: bytes, size_bytes: int, *, what: str = "The file") -> SafetensorsHeader:
    """Return what the header's JSON says of a file of so many bytes."""
    entries = json_object(raw, what)
    entries.pop("__metadata__", None)
    if len(entries) > MAX_TENSORS:
        raise malformed(f"{what} claims {len(entries)} tensors; at most {MAX_TENSORS} are believed.")
    placed = sorted((_tensor(name, entry) for name, entry in entries.items()), key=lambda one: (one[1], one[2]))
    expected_bytes = PREFIX.size + len(raw) + _end_of_data(placed)
    if expected_bytes > size_bytes:
        raise truncated(what, expected_bytes=expected_bytes, present_bytes=size_bytes)
    return SafetensorsHeader(tuple(tensor for tensor, _, _ in placed), size_bytes)


def shards_of_index(raw: bytes, what: str) -> dict[str, str]:
    """Return which file holds which tensor, from `model.safetensors.index.json`."""
    weight_map = json_object(raw, what).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise malformed(f"{what} has no `weight_map`.")
    if not all(isinstance(shard, str) and _is_plain(shard) for shard in weight_map.values()):
        raise malformed(f"{what} names a shard outside its own folder.")
    shards = len(set(weight_map.values()))
    if shards > MAX_FILES:
        raise unsupported(f"{what} names {shards} shards; at most {MAX_FILES} are read.")
    return weight_map


def check_shards(weight_map: Mapping[str, str], headers: Mapping[str, SafetensorsHeader]) -> None:
    """Refuse a checkpoint in which a shard lacks a tensor that the index puts there, or two shards hold the same."""
    names = Counter(tensor.name for header in headers.values() for tensor in header.tensors)
    twice = sorted(name for name, count in names.items() if count > 1)
    if twice:
        raise malformed(f"The tensor {twice[0][:80]!r} is in {names[twice[0]]} of the files, which is once too often.")
    held = {(tensor.name, shard) for shard, header in headers.items() for tensor in header.tensors}
    missing = sorted(name for name, shard in weight_map.items() if (name, shard) not in held)
    if missing:
        raise ArtifactError(
            "MissingTensors",
            f"{len(missing)} of {len(weight_map)} tensors of the index are in no shard, {missing[0][:80]!r} first.",
        )


def json_object(raw: bytes, what: str) -> dict[str, Any]:
    """Return the JSON object; broken, nested beyond reason or with a name twice is refused.

    So is what would fill the memory: `{},` takes 3 bytes here and 72 once it is parsed.
    """
    if _parsed_bytes(raw) > MAX_PARSED_BYTES:
        raise malformed(f"{what} would take more than {MAX_PARSED_BYTES} bytes of memory; no real model's does.")
    try:
        value = json.loads(raw, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise malformed(f"{what} is not valid JSON: {str(error)[:120]}.") from None
    if not isinstance(value, dict):
        raise malformed(f"{what} is not a JSON object.")
    return value


def _parsed_bytes(raw: bytes) -> int:
    """Return what the JSON takes at most as Python's objects: each object, field, list, value, and all text.

    One letter outside the first plane makes all of the text, and a string that holds it, four bytes wide.
    """
    objects, fields, lists, values = (raw.count(sign) for sign in (b"{", b":", b"[", b","))
    return (8 << 10) + 280 * (objects + fields) + 88 * lists + 64 * values + 8 * len(raw)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return found


def _is_plain(name: str) -> bool:
    return bool(name) and name.isprintable() and "/" not in name and "\\" not in name and not name.startswith(".")


def _tensor(name: str, entry: object) -> tuple[Tensor, int, int]:
    if not isinstance(entry, dict) or len(name) > MAX_NAME_CHARACTERS:
        raise malformed(f"The tensor {name[:80]!r} has no description.")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    bits = DTYPE_BITS.get(dtype) if isinstance(dtype, str) else None
    if bits is None or not isinstance(dtype, str):
        raise unsupported(f"The tensor {name[:80]!r} has the unknown type {str(dtype)[:40]!r}.")
    if not (_are_counts(shape, MAX_DIMENSIONS) and _are_counts(offsets, 2)) or len(offsets) != 2:
        raise malformed(f"The tensor {name[:80]!r} has an unbelievable shape or place.")
    elements, (start, end) = math.prod(shape), offsets
    if elements > MAX_ELEMENTS or end - start != -(-elements * bits // 8):
        raise malformed(f"The tensor {name[:80]!r} has {elements} elements of {dtype} in {end - start} bytes.")
    return Tensor(name, dtype, tuple(shape), elements, end - start), start, end


def _are_counts(value: object, longest: int) -> TypeGuard[list[int]]:
    return (
        isinstance(value, list)
        and len(value) <= longest
        and all(type(number) is int and 0 <= number <= MAX_ELEMENTS for number in value)
    )


def _end_of_data(placed: list[tuple[Tensor, int, int]]) -> int:
    before = 0
    for tensor, start, end in placed:
        if start != before:
            problem = "overlaps the one before it" if start < before else "leaves a hole before it"
            raise malformed(f"The tensor {tensor.name[:80]!r} {problem}, which the format forbids.")
        before = end
    return before
