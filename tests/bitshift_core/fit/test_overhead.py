"""Activations and graphs against what vLLM and llama.cpp printed."""

import pytest

from bitshift_core.fit.overhead import (
    captured_sizes,
    default_batched_tokens,
    llamacpp_compute_bytes,
    vllm_activation_bytes,
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


@pytest.mark.parametrize(
    ("context_tokens", "sequences", "printed_mib"),
    [(512, 1, 15.33), (8192, 1, 22.83), (2048, 4, 17.39), (2048, 8, 18.14)],
)
def test_llamacpps_buffers_are_met_from_above(context_tokens, sequences, printed_mib):
    band = constants().choose("llamacpp", "b11669").band
    found = llamacpp_compute_bytes(smollm(), band, context_tokens=context_tokens, sequences=sequences) / MIB

    assert printed_mib <= found <= printed_mib * 1.1
