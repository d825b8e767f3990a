"""Activations and graphs against what vLLM and llama.cpp printed."""

import pytest

from bitshift_core.fit.overhead import (
    captured_sizes,
    default_batched_tokens,
    default_sequences,
    llamacpp_compute_bytes,
    vllm_activation_bytes,
    vllm_graph_bytes,
    vllm_non_torch_bytes,
)
from bitshift_core.fit.spread import stages_of
from bitshift_core.fit.units import GIB, MIB
from tests.bitshift_core.fit.builders import constants, smollm, some_facts


def activation_gib(version, *, hidden, intermediate, vocabulary, sequences=1024, gpus=1):
    facts = some_facts(hidden_size=hidden, intermediate_size=intermediate, vocab_size=vocabulary)
    band = constants().choose("vllm", version).band
    size = vllm_activation_bytes(
        facts, band, stages_of(32, 1)[0], tokens=8192, sequences=sequences, gpus=gpus, element_bytes=2
    )
    return size / GIB


@pytest.mark.parametrize(
    ("hidden", "intermediate", "vocabulary", "printed_gib"),
    [
        (4096, 14336, 128256, 1.89),  # Llama-3.1-8B: the sampler
        (3584, 18944, 152064, 2.21),  # Qwen2.5-7B
        (5120, 17920, 100352, 1.52),  # phi-4
        (2304, 9216, 256000, 3.62),  # gemma-2-2b
        (4096, 11008, 32016, 0.77),  # CodeLlama-7B: the widest layer
        (4096, 12800, 49155, 0.85),  # granite-3.1-8b
    ],
)
def test_vllm_0_19_prints_this_peak(hidden, intermediate, vocabulary, printed_gib):
    found = activation_gib("0.19.0", hidden=hidden, intermediate=intermediate, vocabulary=vocabulary)

    assert found == pytest.approx(printed_gib, rel=0.03, abs=0.05)


def test_the_peak_fell_between_0_16_and_0_17():
    before = activation_gib("0.16.0", hidden=5120, intermediate=17408, vocabulary=151936)
    after = activation_gib("0.17.0", hidden=5120, intermediate=17408, vocabulary=151936)

    assert before == pytest.approx(5.64, rel=0.03)
    assert after == pytest.approx(2.23, rel=0.04)


def test_graphs_are_captured_for_51_sizes_at_most():
    assert captured_sizes(1024) == captured_sizes(256) == 51
    assert captured_sizes(128) == 35
    assert captured_sizes(64) == 19
    assert captured_sizes(1) == 2


def test_large_cards_batch_more_but_not_the_a100():
    assert default_batched_tokens(80 * GIB, "NVIDIA-H100-80GB-HBM3") == 8192
    assert default_batched_tokens(80 * GIB, "NVIDIA-A100-SXM4-80GB") == 2048
    assert default_batched_tokens(24 * GIB, "NVIDIA-L4") == 2048
    assert default_batched_tokens(178 * GIB, "NVIDIA-B200") == 8192
    assert default_batched_tokens(178 * GIB, "NVIDIA-B200", huge_tokens=16384) == 16384


def test_sampling_follows_the_same_cards():
    band = constants().choose("vllm", "0.19.0").band

    assert default_sequences(band, 80 * GIB, "NVIDIA-H100-80GB-HBM3") == 1024
    assert default_sequences(band, 80 * GIB, "NVIDIA-A100-SXM4-80GB") == 256


@pytest.mark.parametrize(
    ("layers", "experts", "printed_gib"), [(32, 0, 0.91), (80, 0, 1.79), (28, 0, 0.87), (40, 0, 1.07), (27, 64, 1.57)]
)
def test_graphs_take_so_much_of_each_layer(layers, experts, printed_gib):
    """Llama-3.1-8B, Llama-3.3-70B, Qwen2.5-7B, phi-4 and DeepSeek-V2-Lite, 51 sizes on H100."""
    band = constants().choose("vllm", "0.19.0").band
    found = vllm_graph_bytes(some_facts(experts=experts), band, stages_of(layers, 1)[0], sequences=1024)

    assert found / GIB == pytest.approx(printed_gib, rel=0.1)


@pytest.mark.parametrize(
    ("gpus", "stages", "peer_access", "printed_gib"),
    [(1, 1, True, 0.25), (2, 1, True, 2.09), (1, 4, True, 0.07), (2, 1, False, 0.25)],
)
def test_libraries_take_most_where_gpus_write_to_each_other(gpus, stages, peer_access, printed_gib):
    band = constants().choose("vllm", "0.19.0").band
    found = vllm_non_torch_bytes(band, gpus=gpus, stages=stages, peer_access=peer_access)

    assert found / GIB == pytest.approx(printed_gib, abs=0.03)


def test_experts_workspaces_stay_beside_the_samplers_peak():
    """Mixtral-8x7B over two GPUs prints 1.21 GiB, Qwen1.5-MoE-A2.7B 2.47, DeepSeek-V2-Lite 1.93."""
    mixtral = peak_gib(hidden=4096, width=14336, chosen=2, vocabulary=32000, gpus=2)
    qwen = peak_gib(hidden=2048, width=1408, chosen=4, vocabulary=151936)
    deepseek = peak_gib(hidden=2048, width=1408, chosen=6, vocabulary=102400)

    assert (mixtral, qwen, deepseek) == pytest.approx((1.21, 2.47, 1.93), rel=0.02)


def peak_gib(*, hidden, width, chosen, vocabulary, gpus=1):
    experts = {"experts": 8, "experts_per_token": chosen, "expert_intermediate_size": width}
    facts = some_facts(hidden_size=hidden, vocab_size=vocabulary, **experts)
    band, stage = constants().choose("vllm", "0.19.0").band, stages_of(32, 1)[0]
    return vllm_activation_bytes(facts, band, stage, tokens=8192, sequences=1024, gpus=gpus, element_bytes=2) / GIB


@pytest.mark.parametrize(
    ("context_tokens", "sequences", "printed_mib"),
    [(512, 1, 15.33), (8192, 1, 22.83), (2048, 4, 17.39), (2048, 8, 18.14)],
)
def test_llamacpps_buffers_are_met_from_above(context_tokens, sequences, printed_mib):
    band = constants().choose("llamacpp", "b11669").band
    found = llamacpp_compute_bytes(smollm(), band, context_tokens=context_tokens, sequences=sequences) / MIB

    assert printed_mib <= found <= printed_mib * 1.1
