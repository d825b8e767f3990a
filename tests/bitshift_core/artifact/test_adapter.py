"""LoRA adapters, told from their configuration and the shapes of their tensors."""

import json

import pytest

from bitshift_core.artifact.adapter import AdapterFacts, adapter_facts
from bitshift_core.artifact.errors import ArtifactError
from bitshift_core.artifact.roles import Tensor


def an_adapter(**changes):
    known = {"base": "org/base", "rank": 8, "hidden_size": 576, "layers": 30}
    return AdapterFacts(**(known | changes))


def tensors(hidden=576, rank=8, layers=2):
    shapes = {}
    for layer in range(layers):
        name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        shapes[f"{name}.lora_A.weight"], shapes[f"{name}.lora_B.weight"] = (rank, hidden), (hidden, rank)
        name = f"base_model.model.model.layers.{layer}.mlp.down_proj"
        shapes[f"{name}.lora_A.weight"] = (rank, 4 * hidden)
    return [Tensor(name, "F32", shape, shape[0] * shape[1], 4 * shape[0] * shape[1]) for name, shape in shapes.items()]


def config(**changes):
    return json.dumps({"peft_type": "LORA", "base_model_name_or_path": "org/base", "r": 8} | changes).encode()


def test_an_adapter_tells_its_base_by_the_shapes_of_its_tensors():
    found = adapter_facts(config(target_modules=["q_proj", "down_proj"]), tensors(), "")

    assert (found.base, found.rank, found.hidden_size, found.layers) == ("org/base", 8, 576, 2)
    assert found.target_modules == ("q_proj", "down_proj")


def test_the_highest_rank_of_any_module_counts():
    assert adapter_facts(config(), tensors(rank=32), "").rank == 32


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (config(peft_type="IA3"), "IA3"),
        (config(r="many"), "no rank"),
        (b"[]", "adapter_config.json"),
    ],
)
def test_what_is_no_adapter_is_refused_by_its_own_words(raw, words):
    with pytest.raises(ArtifactError, match=words):
        adapter_facts(raw, [], "")


def test_an_adapter_for_two_widths_is_not_believed():
    with pytest.raises(ArtifactError, match="several widths"):
        adapter_facts(config(), [*tensors(hidden=576), *tensors(hidden=960)], "")
