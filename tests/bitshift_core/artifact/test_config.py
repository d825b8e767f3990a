"""config.json across model families, and the names of quantization schemes."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitshift_core.artifact.config import read_config
from bitshift_core.artifact.errors import ArtifactError
from bitshift_core.artifact.schemes import kv_cache_dtype_of, scheme_of
from tests.examples import examples

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "torch_dtype": "bfloat16",
}
W4A16 = {"weights": {"num_bits": 4, "type": "int"}, "input_activations": None}
FP8 = {"weights": {"num_bits": 8, "type": "float"}, "input_activations": {"num_bits": 8, "type": "float"}}
NVFP4 = {"weights": {"num_bits": 4, "type": "float"}, "input_activations": {"num_bits": 4, "type": "float"}}


def config_of(**change):
    return read_config(json.dumps(LLAMA | change).encode())


def shapes_of(**change):
    return {group.kind: group for group in config_of(**change).attention}


def test_a_dense_model():
    config = config_of()
    (group,) = config.attention

    assert (config.architecture, config.layers, config.vocab_size) == ("LlamaForCausalLM", 32, 128256)
    assert (group.kind, group.layers, group.kv_heads, group.key_dim) == ("full", 32, 8, 128)
    assert (config.scheme, config.ties_output) == ("", False)


def test_a_multimodal_model_is_read_from_its_text_part():
    whole = {"architectures": ["Gemma3ForConditionalGeneration"], "text_config": LLAMA, "tie_word_embeddings": True}

    assert read_config(json.dumps(whole).encode()).layers == 32


def test_the_head_width_may_differ_from_hidden_over_heads():
    assert config_of(head_dim=256).attention[0].key_dim == 256


@pytest.mark.parametrize(
    ("change", "sliding", "full"),
    [
        ({"model_type": "gemma2", "sliding_window": 4096}, 16, 16),
        ({"model_type": "gemma3_text", "sliding_window": 1024, "sliding_window_pattern": 6}, 27, 5),
        ({"model_type": "mistral", "sliding_window": 4096}, 32, 0),
        ({"model_type": "mistral", "sliding_window": None}, 0, 32),
        ({"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": False}, 0, 32),
        ({"layer_types": ["sliding_attention", "full_attention"] * 16, "sliding_window": 128}, 16, 16),
        ({"layer_types": ["chunked_attention"] * 24 + ["full_attention"] * 8, "attention_chunk_size": 8192}, 24, 8),
    ],
)
def test_which_layers_slide(change, sliding, full):
    shapes = shapes_of(**change)

    assert (getattr(shapes.get("sliding"), "layers", 0), getattr(shapes.get("full"), "layers", 0)) == (sliding, full)


def test_latent_attention():
    group = shapes_of(kv_lora_rank=512, qk_rope_head_dim=64)["mla"]

    assert (group.layers, group.kv_heads, group.key_dim) == (32, 1, 576)


def test_linear_layers_keep_a_state():
    shapes = shapes_of(
        full_attention_interval=4,
        linear_num_value_heads=48,
        linear_value_head_dim=128,
        linear_num_key_heads=16,
        linear_key_head_dim=128,
        linear_conv_kernel_dim=4,
    )

    assert shapes["full"].layers == 8
    assert shapes["linear"].state_bytes == 48 * 128 * 128 * 4 + (2 * 16 * 128 + 48 * 128) * 3 * 2


def test_a_layer_kind_that_is_unknown_is_sized_as_full_and_said():
    config = config_of(layer_types=["hyper_attention"] * 32)

    assert config.attention[0].kind == "full"
    assert "hyper_attention" in config.notes[0]


@pytest.mark.parametrize(
    ("quantization", "scheme"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "awq"),
        ({"quant_method": "gptq", "bits": 4, "desc_act": False}, "gptq"),
        ({"quant_method": "gptq", "bits": 8}, "gptq-int8"),
        ({"quant_method": "fp8", "activation_scheme": "dynamic"}, "fp8"),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8-block"),
        ({"quant_method": "mxfp4"}, "mxfp4"),
        ({"quant_method": "modelopt", "quant_algo": "MXFP8"}, "modelopt/mxfp8"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes/nf4"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes/int8"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "modelopt/nvfp4"),
        ({"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}, "modelopt/fp8"),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": W4A16}}, "compressed-tensors/w4a16"),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": FP8}}, "compressed-tensors/fp8"),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": NVFP4}}, "compressed-tensors/nvfp4"),
        ({"quant_method": "compressed-tensors"}, "compressed-tensors/unknown"),
        ({"quant_method": "auto-round", "bits": 4}, "auto-round"),
        ({}, "unknown"),
    ],
)
def test_schemes_have_one_name_each(quantization, scheme):
    assert scheme_of(quantization) == scheme


def test_a_checkpoint_may_turn_on_its_own_kv_cache_type():
    assert kv_cache_dtype_of({"kv_cache_quant_algo": "FP8"}) == "fp8"
    assert kv_cache_dtype_of({"kv_cache_scheme": {"num_bits": 8, "type": "float"}}) == "fp8"
    assert kv_cache_dtype_of({}) == ""


def test_modelopts_own_file_counts_where_the_configuration_is_silent():
    beside = json.dumps({"quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8"}}).encode()
    config = read_config(json.dumps(LLAMA).encode(), beside)

    assert (config.scheme, config.kv_cache_dtype) == ("modelopt/nvfp4", "fp8")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"num_hidden_layers": None}, "UnknownArchitecture"),
        ({"architectures": [], "model_type": None}, "UnknownArchitecture"),
        ({"num_hidden_layers": 1 << 63}, "MalformedArtifact"),
        ({"num_hidden_layers": 0}, "MalformedArtifact"),
        ({"hidden_size": -1}, "MalformedArtifact"),
        ({"vocab_size": "many"}, "MalformedArtifact"),
        ({"num_attention_heads": True}, "MalformedArtifact"),
    ],
)
def test_a_configuration_that_describes_no_model_is_refused(change, reason):
    with pytest.raises(ArtifactError) as caught:
        config_of(**change)
    assert caught.value.reason == reason


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)  # fmt: skip
FIELDS = (*LLAMA, "head_dim", "sliding_window", "layer_types", "text_config", "quantization_config", "kv_lora_rank")


@settings(max_examples=examples(200))
@given(st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=5))
def test_any_value_in_any_field_is_read_or_refused(change):
    try:
        config_of(**change)
    except ArtifactError as error:
        assert error.reason
