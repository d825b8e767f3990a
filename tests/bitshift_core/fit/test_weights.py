"""Bytes of weights against what engines printed (startup logs of public runs)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitshift_core.artifact.facts import LayerGroup, Piece, TensorGroup
from bitshift_core.fit.spread import stages_of
from bitshift_core.fit.units import GIB, MIB
from bitshift_core.fit.weights import (
    llamacpp_host_bytes,
    llamacpp_weight_bytes,
    load_peak_bytes,
    vllm_weight_bytes,
)
from tests.bitshift_core.fit.builders import a_need, constants, smollm, some_facts, tensors


def weights(facts=None, *, gpus=1, version="0.19.0", stage=None, **change):
    need = a_need(facts=facts or some_facts(), gpus_per_replica=gpus, engine_version=version, **change)
    return vllm_weight_bytes(need, constants().choose("vllm", version).band, stage)


def small(**elements):
    """A model of nothing but these elements: no tables, no attention."""
    return some_facts(tensors=tensors(**elements), attention=())


@pytest.mark.parametrize(("gpus", "printed_gib"), [(1, 14.99), (2, 7.51)])
def test_llama_8b_loads_as_vllm_printed(gpus, printed_gib):
    assert weights(gpus=gpus) / GIB == pytest.approx(printed_gib, abs=0.005)


def test_what_is_not_split_is_on_every_gpu():
    assert weights(small(block=1_000, other=1_000), gpus=4) == 500 + 2_000


def test_towers_are_split_like_the_model_they_belong_to():
    assert weights(small(tower=1_000), gpus=4) == 500


@pytest.mark.parametrize(("stages", "printed_gib"), [(2, 7.51), (4, 4.26)])
def test_the_first_stage_holds_the_embedding_and_an_even_share_of_layers(stages, printed_gib):
    first, *_, last = stages_of(32, stages)

    assert weights(stage=first) / GIB == pytest.approx(printed_gib, abs=0.015)
    assert weights(stage=first) == pytest.approx(weights(stage=last), abs=MIB)


def test_a_tied_embedding_is_held_by_the_first_stage_and_by_the_last():
    tied = small(block=2_000, embedding=1_000)
    first, middle, last = stages_of(3, 3)

    assert weights(tied, stage=first) == weights(tied, stage=last) == weights(tied, stage=middle) + 2_000


@pytest.mark.parametrize(
    ("layers", "stages", "dealt"), [(61, 2, [31, 30]), (62, 4, [15, 16, 16, 15]), (3, 8, [1, 1, 1])]
)
def test_layers_that_are_left_over_go_to_stages_before_the_last(layers, stages, dealt):
    assert [stage.layers for stage in stages_of(layers, stages)] == dealt


def test_a_drafters_tensors_are_loaded_only_to_guess_ahead():
    assert weights(small(draft=1_000)) == 0
    assert weights(small(draft=1_000), speculative_tokens=3) == 2_000


def test_a_draft_model_adds_its_own_weights():
    assert weights(small(block=1_000), draft=small(block=500)) == 3_000


def test_a_32_bit_checkpoint_is_loaded_in_16_unless_32_are_asked_for():
    groups = tuple(group.model_copy(update={"dtype": "F32"}) for group in tensors(block=1_000))
    facts = some_facts(scheme="F32", tensors=groups, attention=())

    assert weights(facts) == 2_000
    assert weights(facts, dtype="float32") == 4_000
    assert weights(dtype="float32") / GIB == pytest.approx(29.98, abs=0.01)


@pytest.mark.parametrize(("quantization", "printed_gib"), [("fp8", 8.49), ("bitsandbytes", 5.35)])
def test_a_checkpoint_quantized_while_loading_keeps_its_embeddings_in_16_bits(quantization, printed_gib):
    assert weights(quantization=quantization) / GIB == pytest.approx(printed_gib, abs=0.015)


def test_gptqs_zeros_and_order_are_gone_once_a_kernel_repacked_them_but_awqs_zeros_stay():
    parts = tuple(
        TensorGroup(role="block", part=part, dtype="I32", count=1, elements=100, bytes=400)
        for part in ("weight", "zero", "index")
    )

    assert weights(some_facts(scheme="gptq", tensors=parts, attention=())) == 400
    assert weights(some_facts(scheme="awq", tensors=parts, attention=())) == 1_200


def experts(**change):
    known = {"experts": 4, "experts_per_token": 1, "expert_intermediate_size": 2_880, "hidden_size": 2_880}
    group = TensorGroup(role="expert", dtype="U8", count=1, elements=2_880 * 2_880, bytes=2_880 * 2_880)
    return some_facts(**({"scheme": "mxfp4", "tensors": (group,), "attention": ()} | known | change))


def test_mxfp4_experts_are_padded_to_what_the_kernel_divides_by():
    assert weights(experts()) == 2_944 * 3_072
    assert weights(experts(), gpus=4) == 768 * 3_072


def test_whole_experts_are_dealt_out_where_experts_are_parallel():
    uneven = experts(scheme="fp8", experts=6)

    assert weights(uneven, gpus=4, expert_parallel=True) == 2 * weights(uneven) // 6


def test_latent_attention_keeps_its_absorbed_projections():
    """DeepSeek-V2-Lite printed 0.17 GiB more than its parameters; 0.105 of it are these."""
    mla = LayerGroup(kind="mla", layers=27, kv_heads=1, key_dim=576, value_dim=512)
    facts = some_facts(attention=(mla,), attention_heads=16, tensors=(), context_tokens=1)

    assert weights(facts) / GIB == pytest.approx(0.105, abs=0.001)


def test_rotary_tables_are_as_long_as_the_trained_context_and_as_wide_as_what_is_rotated():
    half = LayerGroup(kind="full", layers=1, kv_heads=1, key_dim=128, value_dim=128, rotary_dim=64)
    facts = some_facts(tensors=(), attention=(half,), context_tokens=1_000)

    assert weights(facts) == 1_000 * 64 * 2


def test_adapters_take_two_narrow_matrices_for_each_projection():
    with_adapters = weights(adapters=1, adapter_rank=16) - weights()
    inputs, outputs = 6 * 4096 + 14336, 2 * 4096 + 2 * 1024 + 2 * 14336 + 4096

    assert with_adapters == pytest.approx(32 * 16 * 2 * (inputs + outputs), rel=0.01)
    assert weights(adapters=4, adapter_rank=16) - weights() == 4 * with_adapters


def test_large_tensors_lose_what_the_allocator_rounds_up():
    """Qwen2.5-7B in BF16: 28 layers of 259 + 129.5 + 31.5 MiB; 14.25 GiB are printed where tensors take 14.19."""
    layer = (Piece(role="block", bytes=259 * MIB, count=28), Piece(role="block", bytes=259 * MIB // 2, count=28))
    facts = some_facts(pieces=(*layer, Piece(role="block", bytes=63 * MIB // 2, count=28)))

    assert weights(facts) - weights() == 28 * 2 * MIB
    assert weights(facts, gpus=2) - weights(gpus=2) == pytest.approx(28 * 0.75 * MIB)


def test_loading_peaks_above_what_stays():
    band = constants().choose("vllm", "0.19.0").band
    packed = tuple(group.model_copy(update={"dtype": "I32"}) for group in tensors(block=32_000))
    awq = a_need(facts=some_facts(scheme="awq", tensors=packed, attention=()))

    assert load_peak_bytes(a_need(), band) == vllm_weight_bytes(a_need(), band)
    assert load_peak_bytes(awq, band) == 64_000 + 2_000
    assert load_peak_bytes(a_need(quantization="fp8"), band) == some_facts().weight_bytes
    staged = a_need(pipeline_stages=4, gpus_per_replica=4)
    assert load_peak_bytes(staged, band) == weights(stage=stages_of(32, 4)[0])


def test_llamacpp_maps_every_tensor_on_cpu_and_leaves_the_embedding_there_on_gpus():
    untied = some_facts(tensors=tensors(block=32_000, embedding=500, output=500))

    assert llamacpp_weight_bytes(smollm(), gpus=0) == smollm().weight_bytes
    assert llamacpp_weight_bytes(untied, gpus=1) == 2 * 32_500
    assert llamacpp_weight_bytes(smollm(), gpus=1) == smollm().weight_bytes


def test_layers_that_are_not_offloaded_stay_in_host_memory():
    untied = some_facts(tensors=tensors(block=32_000, embedding=500, output=500))

    assert llamacpp_weight_bytes(untied, gpus=1, gpu_layers=8) == 2 * 8_000
    assert llamacpp_host_bytes(untied, gpu_layers=8) == 2 * (24_000 + 500 + 500)
    assert llamacpp_host_bytes(untied) == 2 * 500


@given(st.integers(0, 10**12), st.integers(0, 10**10), st.sampled_from([1, 2, 4, 8, 16]), st.sampled_from([1, 2, 4]))
def test_more_gpus_never_hold_more_each(block, other, gpus, stages):
    facts = some_facts(tensors=tensors(block=block, other=other, embedding=other))
    whole = weights(facts, gpus=gpus)

    assert weights(facts, gpus=2 * gpus) <= whole
    assert all(weights(facts, gpus=gpus, stage=stage) <= whole for stage in stages_of(32, stages))


def test_layers_of_its_own_are_not_loaded_where_guesses_come_from_the_text():
    assert weights(small(draft=1_000), speculative_tokens=3, loads_own_draft=False) == 0


@pytest.mark.parametrize(
    ("method", "bytes_of_2000_weights"),
    [("fp8", 2_000), ("fp8_per_block", 2_000), ("mxfp8", 2_062), ("bitsandbytes", 1_032), ("torchao", 4_000)],
)
def test_a_method_that_quantizes_while_loading_leaves_what_is_known_of_it(method, bytes_of_2000_weights):
    assert weights(small(block=2_000), quantization=method) == bytes_of_2000_weights


def test_a_method_for_experts_leaves_attention_as_it_is():
    assert weights(small(block=1_000, expert=1_000), quantization="experts_int8") == 2_000 + 1_000


def test_copies_that_share_experts_hold_a_part_of_them_and_all_of_the_rest():
    moe = small(block=1_000, expert=8_000).model_copy(update={"experts": 8})

    assert weights(moe, expert_parallel=True, data_parallel=8) == 2_000 + 2_000
    assert weights(moe, gpus=2, expert_parallel=True, data_parallel=4) == 1_000 + 2_000
