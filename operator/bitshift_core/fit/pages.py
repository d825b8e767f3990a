"""How vLLM cuts a pool of KV cache into pages: groups of layers that share one pool, block by block.

Here: the size of a page, how many a sequence takes, what the engine prints of a pool. Not here: how large the pool is
(`capacity`). Source: vLLM, `v1/core/kv_cache_utils.py`, and its startup logs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..artifact.facts import LayerGroup
from .units import ceil_div, padded

ALIGNMENT = 16
PADDED_SHARE = 1.5
"""Kinds of layers whose counts differ by less are padded to the larger, so that a drafter's layer costs little."""


@dataclass(frozen=True)
class Shape:
    """What cuts the pages: how the model is spread and what the engine keeps of a token."""

    gpus: int
    half_bits: int
    scale_bytes: int
    """Of each head and token, where keys and values are quantized one by one."""
    block_tokens: int
    shares_pool: bool = True
    """Whether kinds of layers share one pool (V1); else every layer holds every token."""
    state_blocks: int = 2
    """Of each recurrent group for a sequence: two with prefix caching."""
    speculative_tokens: int = 0


@dataclass(frozen=True)
class Kind:
    """Layers of one kind after grouping: so many groups, each with blocks of so many tokens."""

    groups: int
    block_tokens: int
    window_tokens: int = 0
    is_recurrent: bool = False


@dataclass(frozen=True)
class Pages:
    """The pages of one GPU; `page_bytes` holds a block of every layer of one group."""

    page_bytes: int
    kinds: tuple[Kind, ...]
    state_blocks: int = 2
    state_bytes: int = 0
    """What a sequence keeps outside of pages, where no layer has any."""

    @property
    def groups(self) -> int:
        """Return how many groups share the pool."""
        return sum(kind.groups for kind in self.kinds)

    @property
    def block_tokens(self) -> int:
        """Return the smallest block, which is what a printed size counts."""
        return min((kind.block_tokens for kind in self.kinds if not kind.is_recurrent), default=ALIGNMENT)

    def blocks_for(self, context_tokens: int, batched_tokens: int) -> int:
        """Return how many pages one sequence takes at that context; a window needs the batch in flight beside it."""
        return sum(kind.groups * self._blocks(kind, context_tokens, batched_tokens) for kind in self.kinds)

    def bytes_for(self, context_tokens: int, batched_tokens: int) -> int:
        """Return the bytes of one sequence at that context."""
        return self.blocks_for(context_tokens, batched_tokens) * self.page_bytes + self.state_bytes

    def sequences_in(self, blocks: int, context_tokens: int, batched_tokens: int) -> float:
        """Return how many sequences of that context so many pages hold: the engine's `maximum concurrency`."""
        return blocks / max(self.blocks_for(context_tokens, batched_tokens), 1)

    def printed_tokens(self, blocks: int, context_tokens: int, batched_tokens: int, *, by_concurrency: bool) -> int:
        """Return the `GPU KV cache size` that is printed: by groups up to 0.21, by whole contexts from then on."""
        if by_concurrency and self.groups > 1:
            return int(self.sequences_in(blocks, context_tokens, batched_tokens) * context_tokens)
        return blocks // max(self.groups, 1) * self.block_tokens

    def _blocks(self, kind: Kind, context_tokens: int, batched_tokens: int) -> int:
        if kind.is_recurrent:
            return self.state_blocks
        if not kind.window_tokens:
            return ceil_div(context_tokens, kind.block_tokens)
        kept = min(context_tokens, kind.window_tokens - 1 + batched_tokens)
        return min(ceil_div(kept, kind.block_tokens) + 1, ceil_div(context_tokens, kind.block_tokens))


def pages_of(attention: Sequence[LayerGroup], shape: Shape) -> Pages:
    """Return the pages: one group where all layers are alike, else groups as large as the smallest kind.

    Gemma-3-12B: 8 full and 40 sliding layers are 6 groups of 8, and 47.72 GiB hold 48,867 pages, as vLLM prints.
    """
    cached = [group for group in attention if group.kind != "linear"]
    linear = [group for group in attention if group.kind == "linear"]
    token_bytes = {group: token_bytes_of(group, shape) for group in cached}
    widest = max(token_bytes.values(), default=0)
    if not widest:
        states = sum(group.layers * ceil_div(group.state_bytes, shape.gpus) for group in linear)
        return Pages(1, (), state_bytes=states)
    if not linear and (not shape.shares_pool or len({group.window_tokens for group in cached}) == 1):
        window = cached[0].window_tokens if shape.shares_pool else 0
        page = sum(group.layers * token_bytes[group] for group in cached) * shape.block_tokens
        return Pages(page, (Kind(1, shape.block_tokens, window),))
    state = max((_state_bytes(group, shape) for group in linear), default=0)
    block = max(shape.block_tokens, padded(ceil_div(state, widest), ALIGNMENT)) if linear else shape.block_tokens
    size = _group_size([group.layers for group in attention])
    kinds = tuple(
        Kind(
            ceil_div(group.layers, size),
            block if group.kind == "linear" else block * (widest // token_bytes[group]),
            group.window_tokens,
            group.kind == "linear",
        )
        for group in attention
    )
    return Pages(size * block * widest, kinds, shape.state_blocks + shape.speculative_tokens)


def token_bytes_of(group: LayerGroup, shape: Shape) -> int:
    """Return one layer's bytes for a token on each GPU: heads are split but never below one, a latent is not split."""
    if group.kind == "mla":
        return bits_to_bytes(group.key_dim, shape.half_bits)
    heads = ceil_div(group.kv_heads, shape.gpus)
    return bits_to_bytes(heads * (group.key_dim + group.value_dim), shape.half_bits) + 2 * heads * shape.scale_bytes


def bits_to_bytes(elements: int, half_bits: int) -> int:
    """Return whole bytes of so many elements of doubled bits."""
    return ceil_div(elements * half_bits, 16)


def _group_size(layers: Sequence[int]) -> int:
    smallest, largest = min(layers), max(layers)
    return largest if largest < smallest * PADDED_SHARE else smallest


def _state_bytes(group: LayerGroup, shape: Shape) -> int:
    return ceil_div(group.state_bytes + shape.speculative_tokens * group.draft_state_bytes, shape.gpus)
