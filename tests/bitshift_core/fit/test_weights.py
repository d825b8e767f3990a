"""Bytes of weights against what engines printed (startup logs of public runs)."""

import pytest

from bitshift_core.artifact.facts import LayerGroup
from bitshift_core.fit.units import GIB
from bitshift_core.fit.weights import llamacpp_weight_bytes, vllm_weight_bytes
from tests.bitshift_core.fit.builders import smollm, some_facts, tensors


@pytest.mark.parametrize(("gpus", "printed_gib"), [(1, 14.99), (2, 7.51)])
def test_llama_8b_loads_as_vllm_printed(gpus, printed_gib):
    assert vllm_weight_bytes(some_facts(), gpus=gpus) / GIB == pytest.approx(printed_gib, abs=0.02)


def test_what_is_not_split_is_on_every_gpu():
    facts = some_facts(tensors=tensors(block=1_000, other=1_000), context_tokens=0)

    assert vllm_weight_bytes(facts, gpus=4) == 500 + 2_000


def test_a_drafters_tensors_are_not_loaded():
    assert vllm_weight_bytes(some_facts(tensors=tensors(draft=1_000), context_tokens=0), gpus=1) == 0


def test_a_32_bit_checkpoint_is_loaded_in_16():
    groups = tuple(group.model_copy(update={"dtype": "F32"}) for group in tensors(block=1_000))

    assert vllm_weight_bytes(some_facts(scheme="F32", tensors=groups, context_tokens=0), gpus=1) == 1_000


def test_latent_attention_keeps_its_absorbed_projections():
    """DeepSeek-V2-Lite printed 0.17 GiB more than its parameters; 0.105 of it are these."""
    mla = LayerGroup(kind="mla", layers=27, kv_heads=1, key_dim=576, value_dim=512)
    facts = some_facts(attention=(mla,), attention_heads=16, tensors=(), context_tokens=0)

    assert vllm_weight_bytes(facts, gpus=1) / GIB == pytest.approx(0.105, abs=0.001)


def test_llamacpp_maps_every_tensor_on_cpu_and_leaves_the_embedding_there_on_gpus():
    untied = some_facts(tensors=tensors(block=32_000, embedding=500, output=500))

    assert llamacpp_weight_bytes(smollm(), gpus=0) == smollm().weight_bytes
    assert llamacpp_weight_bytes(untied, gpus=1) == 2 * 32_500
    assert llamacpp_weight_bytes(smollm(), gpus=1) == smollm().weight_bytes
