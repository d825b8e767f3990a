"""The large tensors that an engine allocates one by one: what was stored apart and is loaded as one, counted by size.

Here: which stored tensors an engine fuses. Not here: what an allocator loses on each (`fit.weights`).
Source: vLLM, `packed_modules_mapping` of its models, and `fused_moe/layer.py` (w13, w2).
"""

import re
from collections import Counter
from collections.abc import Iterable

from .facts import Piece, TensorRole
from .roles import Tensor, role_of

MAX_PIECES = 48
SMALLEST_BYTES = 10 << 20
"""Smaller tensors share the allocator's segments and lose nothing worth counting."""
FUSED = (
    (re.compile(r"\.experts\.\d+\."), ".experts."),
    (re.compile(r"\.[qkv]_proj\."), ".qkv_proj."),
    (re.compile(r"\.(gate_proj|up_proj)\."), ".gate_up_proj."),
    (re.compile(r"\.experts\.(w1|w3)\."), ".experts.w13."),
    (re.compile(r"\.(q_a_proj|kv_a_proj_with_mqa)\."), ".fused_qkv_a_proj."),
    (re.compile(r"\.(in_proj_qkv|in_proj_z)\."), ".in_proj_qkvz."),
)


def pieces_of(tensors: Iterable[Tensor], *, layers: int) -> tuple[Piece, ...]:
    """Return the pieces of each role and size, largest first; layers are alike, so there are few."""
    sizes: Counter[tuple[str, TensorRole]] = Counter()
    for tensor in tensors:
        sizes[_fused(tensor.name), role_of(tensor.name, tensor.shape, layers=layers)] += tensor.bytes
    counts = Counter((role, size) for (_, role), size in sizes.items() if size >= SMALLEST_BYTES and role != "tower")
    largest = sorted(counts, key=lambda piece: (-piece[1], piece[0]))[:MAX_PIECES]
    return tuple(Piece(role=role, bytes=size, count=counts[role, size]) for role, size in largest)


def _fused(name: str) -> str:
    for pattern, together in FUSED:
        name = pattern.sub(together, name, count=1)
    return name
