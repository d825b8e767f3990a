"""How many bytes the keys and values of all sequences take at full context.

Here: the sums by layer group for vLLM's paged and llama.cpp's flat cache. Worst case on purpose: a model that fits
only while users stay brief is reported as not fitting. Not here: activations (`overhead`).
"""

from collections.abc import Sequence

from ..artifact.facts import LayerGroup
from ..artifact.layers import merged
from .engines import VllmBand
from .need import Need
from .pages import Shape, bits_to_bytes, pages_of
from .units import padded

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
    "fp8_inc": 16,
    "fp8_per_token_head": 16,
    "int8_per_token_head": 16,
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
SCALE_BYTES, STATES_WITH_PREFIXES = 4, 2
"""One 32-bit scale for each head's key and value of a token; scales of a whole tensor are free."""


def half_bits_of(kv_cache_dtype: str, checkpoint_dtype: str) -> int:
    """Return the doubled bits of an element; `auto` is the checkpoint's own, and what is unknown is taken as 16 bit."""
    named = checkpoint_dtype if kv_cache_dtype in ("", "auto") and checkpoint_dtype else kv_cache_dtype
    return HALF_BITS.get(named, HALF_BITS["auto"])


def shape_of(need: Need, band: VllmBand) -> Shape:
    """Return what cuts the pages of a replica under that engine."""
    named = _kv_dtype(need)
    return Shape(
        gpus=max(need.gpus_per_stage, 1),
        half_bits=half_bits_of(named, ""),
        scale_bytes=SCALE_BYTES if named.endswith("per_token_head") else 0,
        block_tokens=need.block_tokens or band.block_tokens,
        shares_pool=band.shares_pool,
        state_blocks=_state_blocks(need, band),
        speculative_tokens=need.speculative_tokens,
    )


def vllm_kv_cache_bytes(attention: Sequence[LayerGroup], shape: Shape, need: Need, batched_tokens: int) -> int:
    """Return the bytes on each GPU of pages for all sequences at full context."""
    pages = pages_of(attention, shape)
    return need.concurrent_sequences * pages.bytes_for(need.context_tokens, batched_tokens)


def cached_layers(need: Need) -> tuple[LayerGroup, ...]:
    """Return the layers that keep a cache, those of a draft among them: one more full layer, or the draft model's."""
    groups = need.facts.attention
    if need.draft:
        return merged((*groups, *need.draft.attention))
    if need.guesses_with_own_layers and any(group.role == "draft" for group in need.facts.tensors):
        full = next((group for group in groups if group.kind in ("full", "mla")), None)
        return merged((*groups, full.model_copy(update={"layers": 1}))) if full else groups
    return groups


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
        * bits_to_bytes(
            _cells(group, context_tokens, batch_tokens) * group.kv_heads * (group.key_dim + group.value_dim), half_bits
        )
        for group in attention
    )


def _cells(group: LayerGroup, context_tokens: int, batch_tokens: int) -> int:
    whole = padded(context_tokens, CELL_PADDING)
    return min(whole, padded(group.window_tokens + batch_tokens, CELL_PADDING)) if group.kind == "sliding" else whole


def _state_blocks(need: Need, band: VllmBand) -> int:
    """Return the states of a sequence in each recurrent layer: its own, and one that a shared beginning is kept in.

    Source: vLLM, `v1/kv_cache_interface.py`, MambaSpec.max_memory_usage_bytes (`mamba_cache_mode` align or none).
    """
    if need.prefix_caching is None:
        return band.state_blocks
    return STATES_WITH_PREFIXES if need.prefix_caching else 1


def _kv_dtype(need: Need) -> str:
    """Return the cache's type: as set, else the checkpoint's own, else what the model computes in."""
    if need.kv_cache_dtype not in ("", "auto"):
        return need.kv_cache_dtype
    return need.facts.kv_cache_dtype or (need.dtype if need.dtype in HALF_BITS else "auto")
