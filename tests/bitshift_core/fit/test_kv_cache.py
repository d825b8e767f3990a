"""The KV cache against what engines printed: tokens that a pool holds, and buffers to the byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitshift_core.artifact.facts import LayerGroup
from bitshift_core.fit.kv_cache import HALF_BITS, half_bits_of, llamacpp_kv_cache_bytes, shape_of, vllm_kv_cache_bytes
from bitshift_core.fit.units import GIB, MIB
from tests.bitshift_core.fit.builders import a_need, a_shape, constants, smollm


def group(kind="full", layers=32, kv_heads=8, dim=128, **change):
    return LayerGroup(kind=kind, layers=layers, kv_heads=kv_heads, key_dim=dim, value_dim=dim, **change)


def vllm_bytes(*groups, context_tokens=8192, sequences=1, gpus=1, half_bits=32):
    need = a_need(context_tokens=context_tokens, concurrent_sequences=sequences)
    return vllm_kv_cache_bytes(groups, a_shape(gpus=gpus, half_bits=half_bits), need, 8192)


@pytest.mark.parametrize(
    ("groups", "gpus", "half_bits", "pool_gib", "printed_tokens"),
    [
        ((group(),), 1, 32, 58.11, 476_000),  # Llama-3.1-8B
        ((group(),), 1, 16, 58.11, 952_032),  # with an fp8 cache
        ((group(),), 2, 32, 63.76, 1_044_688),
        ((group(layers=28, kv_heads=4),), 4, 32, 67.34, 5_043_280),  # Qwen2.5-7B
        ((group(layers=80, kv_heads=8),), 2, 32, 37.28, 244_304),  # Llama-3.3-70B
        ((group("mla", 27, 1, 576),), 1, 32, 43.61, 1_505_552),  # DeepSeek-V2-Lite
        ((group("full", 94, 4),), 8, 32, 35.68, 796_000),  # Qwen3-VL-235B: fewer heads than GPUs are replicated
    ],
)
def test_a_pool_holds_as_many_tokens_as_vllm_printed(groups, gpus, half_bits, pool_gib, printed_tokens):
    per_token = vllm_bytes(*groups, context_tokens=16, gpus=gpus, half_bits=half_bits) / 16

    assert pool_gib * GIB / per_token == pytest.approx(printed_tokens, rel=0.006)


def test_layers_of_two_kinds_share_a_pool_in_padded_groups():
    """Gemma-3-12B: 40 sliding and 8 full layers are 6 groups of 8; 47.72 GiB held 130,304 tokens of all groups."""
    sliding = group("sliding", 40, 8, 256, window_tokens=1024)
    full = group("full", 8, 8, 256)
    short = vllm_bytes(sliding, full, context_tokens=16)

    assert 47.72 * GIB / (short / 16) == pytest.approx(130_304, rel=0.006)


def test_a_sliding_layer_holds_no_more_than_its_window_and_a_batch():
    sliding = group("sliding", 40, 8, 256, window_tokens=1024)

    assert vllm_bytes(sliding, context_tokens=100_000) == vllm_bytes(sliding, context_tokens=1_000_000)


def test_a_recurrent_hybrid_matches_its_printed_capacity():
    """Qwen3.6-35B-A3B with an fp8 cache: 6.01 GiB held 569,878 tokens in requests of 131,072."""
    full = group("full", 10, 2, 256)
    state_bytes = 32 * 128 * 128 * 4 + (2 * 16 * 128 + 32 * 128) * 3 * 2
    linear = LayerGroup(kind="linear", layers=30, state_bytes=state_bytes)
    per_request = vllm_bytes(full, linear, context_tokens=131_072, half_bits=16)

    assert 6.01 * GIB / per_request * 131_072 == pytest.approx(569_878, rel=0.004)


@pytest.mark.parametrize(
    ("context_tokens", "sequences", "dtype", "printed_mib"),
    [(512, 1, "f16", 11.25), (2048, 8, "f16", 360.0), (8192, 1, "auto", 180.0), (2048, 1, "q8_0", 23.90625)],
)
def test_llamacpps_buffer_is_met_to_the_byte(context_tokens, sequences, dtype, printed_mib):
    size = llamacpp_kv_cache_bytes(
        smollm().attention,
        context_tokens=context_tokens,
        sequences=sequences,
        half_bits=half_bits_of(dtype, ""),
        batch_tokens=512,
    )

    assert size == printed_mib * MIB


def test_the_checkpoints_own_cache_type_counts_only_where_nothing_was_asked_for():
    assert half_bits_of("auto", "fp8") == HALF_BITS["fp8"]
    assert half_bits_of("bfloat16", "fp8") == HALF_BITS["bfloat16"]
    assert half_bits_of("something-new", "") == HALF_BITS["auto"]


KINDS = st.sampled_from(["full", "sliding", "mla"])
GROUPS = st.lists(
    st.builds(group, KINDS, st.integers(1, 60), st.integers(1, 16), st.sampled_from([64, 128, 576]),
              window_tokens=st.sampled_from([128, 1024, 4096])), min_size=1, max_size=3,
)  # fmt: skip


@given(GROUPS, st.integers(64, 200_000), st.integers(1, 64), st.sampled_from([1, 2, 4, 8]), st.integers(0, 100_000))
def test_more_is_never_less(groups, context_tokens, sequences, gpus, extra):
    less = vllm_bytes(*groups, context_tokens=context_tokens, sequences=sequences, gpus=gpus)

    assert vllm_bytes(*groups, context_tokens=context_tokens + extra, sequences=sequences, gpus=gpus) >= less
    assert vllm_bytes(*groups, context_tokens=context_tokens, sequences=sequences + 1, gpus=gpus) > less


@given(GROUPS, st.integers(64, 200_000), st.sampled_from([1, 2, 4, 8]))
def test_more_gpus_never_hold_more_each_where_layers_are_equally_wide(groups, context_tokens, gpus):
    alike = [
        one.model_copy(update={"kv_heads": groups[0].kv_heads, "key_dim": 128, "value_dim": 128}) for one in groups
    ]
    less = vllm_bytes(*alike, context_tokens=context_tokens, gpus=gpus)

    assert vllm_bytes(*alike, context_tokens=context_tokens, gpus=2 * gpus) <= less


@pytest.mark.parametrize(("prefix_caching", "states"), [(None, 2), (True, 2), (False, 1)])
def test_a_recurrent_layer_keeps_a_second_state_for_beginnings_that_are_shared(prefix_caching, states):
    band = constants().choose("vllm", "0.24.0").band

    assert shape_of(a_need(prefix_caching=prefix_caching), band).state_blocks == states
