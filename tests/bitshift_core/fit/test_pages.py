"""Pages against what vLLM printed: blocks of a pool, tokens by both meanings, requests at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitshift_core.artifact.facts import LayerGroup
from bitshift_core.fit.pages import pages_of
from bitshift_core.fit.units import GIB
from tests.bitshift_core.fit.builders import a_shape


def layers(kind, count, heads, dim, window=0):
    return LayerGroup(kind=kind, layers=count, kv_heads=heads, key_dim=dim, value_dim=dim, window_tokens=window)


def delta_rule(count, heads, kernel=4):
    column = (2 * 16 * 128 + heads * 128) * 2
    state = heads * 128 * 128 * 4 + column * (kernel - 1)
    return LayerGroup(kind="linear", layers=count, state_bytes=state, draft_state_bytes=column)


GEMMA_2_27B = (layers("sliding", 23, 16, 128, 4096), layers("full", 23, 16, 128))
GEMMA_3_12B = (layers("sliding", 40, 8, 256, 1024), layers("full", 8, 8, 256))
SCOUT = (layers("sliding", 36, 8, 128, 8192), layers("full", 12, 8, 128))
GPT_OSS_20B = (layers("sliding", 12, 8, 64, 128), layers("full", 12, 8, 64))
QWEN_27B = (delta_rule(48, 48), layers("full", 16, 4, 256))


@pytest.mark.parametrize(
    ("groups", "gpus", "pool_gib", "blocks", "tokens"),
    [
        (GEMMA_2_27B, 1, 20.59, 7_335, 58_672),
        (GEMMA_3_12B, 1, 47.72, 48_867, 130_304),
        (SCOUT, 4, 16.75, 91_495, 365_968),
        (GPT_OSS_20B, 2, 59.32, 323_972, 2_591_776),
        ((layers("full", 32, 8, 128),), 1, 58.11, 29_750, 476_000),
    ],
)
def test_a_pool_is_cut_into_as_many_blocks_as_vllm_0_19_printed(groups, gpus, pool_gib, blocks, tokens):
    pages = pages_of(groups, a_shape(gpus=gpus))

    assert int(pool_gib * GIB) // pages.page_bytes == pytest.approx(blocks, rel=0.0005)
    assert pages.printed_tokens(blocks, 8192, 8192, by_concurrency=False) == tokens


@pytest.mark.parametrize(
    ("shape", "block_tokens"),
    [
        (a_shape(), 784),
        (a_shape(gpus=2, half_bits=16, speculative_tokens=3), 1600),
        (a_shape(gpus=4, half_bits=16, scale_bytes=4, speculative_tokens=3), 1584),
    ],
)
def test_a_hybrids_block_is_as_large_as_its_recurrent_state(shape, block_tokens):
    assert pages_of(QWEN_27B, shape).block_tokens == block_tokens


def test_a_hybrid_prints_pages_up_to_0_21_and_whole_contexts_after():
    """Qwen3.5-27B: 1,487 blocks were printed as 290,864 tokens, though 33.04 contexts of 32,768 fit (vllm issue 40691)."""
    pages = pages_of(QWEN_27B, a_shape(state_blocks=1))

    assert pages.printed_tokens(1_487, 32_768, 8192, by_concurrency=False) == 290_864
    assert pages.sequences_in(1_487, 32_768, 8192) == pytest.approx(33.04, abs=0.01)


def test_a_drafter_adds_a_layer_and_states_to_each_request():
    """Qwen3.6-27B guessing three tokens over four GPUs: 15.73 GiB are printed as 1,746,661 tokens (club-3090 issue 446)."""
    with_drafter = (delta_rule(48, 48), layers("full", 17, 4, 256))
    pages = pages_of(with_drafter, a_shape(gpus=4, half_bits=16, scale_bytes=4, speculative_tokens=3))
    blocks = int(15.73 * GIB) // pages.page_bytes

    assert pages.printed_tokens(blocks, 262_144, 8192, by_concurrency=True) == pytest.approx(1_746_661, rel=0.006)


def test_kinds_of_nearly_the_same_number_are_padded_to_the_larger():
    """gpt-oss-20b with a drafter: 12 sliding and 13 full layers are two groups of 13, not three of 12."""
    pages = pages_of((layers("sliding", 12, 8, 64, 128), layers("full", 13, 8, 64)), a_shape())

    assert pages.groups == 2
    assert pages.page_bytes == 13 * 16 * 2 * 8 * 64 * 2


def test_the_old_engine_keeps_every_token_in_every_layer():
    old, new = (pages_of(GEMMA_3_12B, a_shape(shares_pool=shares)) for shares in (False, True))

    assert old.groups == 1
    assert old.bytes_for(100_000, 2_048) == 100_000 * 48 * 2 * 8 * 256 * 2
    assert new.bytes_for(100_000, 2_048) < old.bytes_for(100_000, 2_048) / 3


def test_a_latent_is_whole_on_every_gpu():
    """Kimi-K2 and DeepSeek-V3: 70,272 bytes for a token, however many GPUs share the rest."""
    latent = LayerGroup(kind="mla", layers=61, kv_heads=1, key_dim=576, value_dim=512)

    assert [pages_of((latent,), a_shape(gpus=gpus)).page_bytes for gpus in (1, 8)] == [16 * 70_272] * 2


def test_a_model_without_attention_keeps_states_alone():
    pages = pages_of((delta_rule(48, 48),), a_shape())

    assert pages.bytes_for(10, 1) == pages.bytes_for(1_000_000, 1) == 48 * delta_rule(1, 48).state_bytes


GROUPS = st.lists(
    st.builds(layers, st.sampled_from(["full", "sliding"]), st.integers(1, 60), st.sampled_from([1, 2, 4, 8, 16]),
              st.sampled_from([64, 128, 256]), st.sampled_from([128, 1024, 4096])), min_size=1, max_size=3,
)  # fmt: skip


@given(GROUPS, st.integers(1, 200_000), st.integers(1, 200_000), st.sampled_from([1, 2, 4, 8]), st.booleans())
def test_longer_contexts_take_more_and_pages_are_never_empty(groups, context, more, gpus, hybrid):
    pages = pages_of((*groups, delta_rule(4, 16)) if hybrid else groups, a_shape(gpus=gpus))

    assert pages.page_bytes > 0
    assert pages.blocks_for(context, 2_048) <= pages.blocks_for(context + more, 2_048)
    assert pages.bytes_for(context, 2_048) <= pages.bytes_for(context, 4_096)
