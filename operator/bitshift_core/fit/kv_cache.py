"""How many bytes the keys and values of all sequences take at full context.

Here: the sums by layer group for vLLM's paged and llama.cpp's flat cache. Worst case on purpose: a model that fits
only while users stay brief is reported as not fitting. Not here: activations (`overhead`).
"""

from collections.abc import Sequence

from ..artifact.facts import LayerGroup
from .units import ceil_div, padded

HALF_BITS = {
    "auto": 32,
    "f32": 64,
    "float32": 64,
    "f16": 32,
    "float16": 32,
    "bf16": 32,
    "bfloat16": 32,
    "fp8": 16,
    "fp8_e4m3": 16,
    "fp8_e5m2": 16,
    "int8": 16,
    "q8_0": 17,
    "q5_1": 12,
    "q5_0": 11,
    "q4_1": 10,
    "q4_0": 9,
    "iq4_nl": 9,
    "nvfp4": 9,
}
"""Stored bits of one element, doubled so that block scales stay whole numbers."""
CELL_PADDING = 256
STATE_BLOCKS_PER_SEQUENCE = 2  # with prefix caching, which is vLLM's default


def half_bits_of(kv_cache_dtype: str, checkpoint_dtype: str) -> int:
    """Return the doubled bits of an element; `auto` is the checkpoint's own, and what is unknown is taken as 16 bit."""
    named = checkpoint_dtype if kv_cache_dtype in ("", "auto") and checkpoint_dtype else kv_cache_dtype
    return HALF_BITS.get(named, HALF_BITS["auto"])


def vllm_kv_cache_bytes(
    attention: Sequence[LayerGroup],
    *,
    context_tokens: int,
    sequences: int,
    gpus: int,
    half_bits: int,
    block_tokens: int,
    batched_tokens: int,
) -> int:
    """Return the bytes on each GPU of pages for all sequences.

    Layers share one pool in groups of equal size, the smallest kind's count, so the last group of a kind is padded.
    Gemma-3-4B (29 sliding, 5 full): 7 groups of 5; a full group holds the context, a sliding one only its window.
    """
    cached = [group for group in attention if group.kind != "linear"]
    linear = [group for group in attention if group.kind == "linear"]
    if linear and cached:
        return sequences * _hybrid_bytes(cached, linear, context_tokens, gpus, half_bits)
    size = min((group.layers for group in cached), default=1)
    pages = sum(
        ceil_div(group.layers, size)
        * size
        * ceil_div(_kept_tokens(group, context_tokens, batched_tokens, block_tokens), block_tokens)
        * block_tokens
        * _token_bytes(group, gpus, half_bits)
        for group in cached
    )
    states = sum(group.layers * ceil_div(group.state_bytes, gpus) for group in linear)
    return sequences * (pages + states)


def llamacpp_kv_cache_bytes(
    attention: Sequence[LayerGroup], *, context_tokens: int, sequences: int, half_bits: int, batch_tokens: int
) -> int:
    """Return the bytes of the flat cache: K and V of every cell of every slot, allocated at start.

    SmolLM2-135M, 8 slots of 2048 in f16: 30 layers x 3 heads x 128 x 2 B x 16384 cells = 360 MiB, as it prints.
    """
    return sum(
        group.layers * sequences * group.state_bytes
        if group.kind == "linear"
        else group.layers
        * sequences
        * _bits_to_bytes(
            _cells(group, context_tokens, batch_tokens) * group.kv_heads * (group.key_dim + group.value_dim), half_bits
        )
        for group in attention
    )


def _cells(group: LayerGroup, context_tokens: int, batch_tokens: int) -> int:
    whole = padded(context_tokens, CELL_PADDING)
    return min(whole, padded(group.window_tokens + batch_tokens, CELL_PADDING)) if group.kind == "sliding" else whole


def _kept_tokens(group: LayerGroup, context_tokens: int, batched_tokens: int, block_tokens: int) -> int:
    if group.kind != "sliding":
        return context_tokens
    return min(context_tokens, group.window_tokens - 1 + batched_tokens + block_tokens)


def _token_bytes(group: LayerGroup, gpus: int, half_bits: int) -> int:
    """Return one layer's bytes for a token on each GPU: heads are split but never below one, a latent is not split."""
    if group.kind == "mla":
        return _bits_to_bytes(group.key_dim, half_bits)
    return _bits_to_bytes(ceil_div(group.kv_heads, gpus) * (group.key_dim + group.value_dim), half_bits)


def _hybrid_bytes(
    cached: Sequence[LayerGroup], linear: Sequence[LayerGroup], context_tokens: int, gpus: int, half_bits: int
) -> int:
    """Return one sequence's bytes where attention and recurrent layers share pages as large as a recurrent state."""
    attention_layers = sum(group.layers for group in cached)
    token_bytes = max(_token_bytes(group, gpus, half_bits) for group in cached)
    state_bytes = max(ceil_div(group.state_bytes, gpus) for group in linear)
    block_tokens = padded(ceil_div(state_bytes, max(token_bytes, 1)), 16) or 16
    groups = ceil_div(sum(group.layers for group in linear), attention_layers)
    blocks = ceil_div(context_tokens, block_tokens) + groups * STATE_BLOCKS_PER_SEQUENCE
    return blocks * attention_layers * block_tokens * token_bytes


def _bits_to_bytes(elements: int, half_bits: int) -> int:
    return ceil_div(elements * half_bits, 16)
