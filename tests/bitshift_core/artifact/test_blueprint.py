"""A checkpoint worked out from its configuration: bytes against files and logs of public models."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitshift_core.artifact.checkpoint import Beside, facts_from_config
from bitshift_core.artifact.config import read_config
from bitshift_core.artifact.errors import ArtifactError
from bitshift_core.artifact.facts import ArtifactFacts, FileFact
from bitshift_core.artifact.families import is_known
from tests.bitshift_core.artifact.test_config import FP8, LLAMA, NVFP4, VALUES, W4A16
from tests.examples import examples

GIB = 1 << 30
FILES = (FileFact(name="model.safetensors", size_bytes=1),)
QWEN_7B = LLAMA | {
    "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
    "num_key_value_heads": 4, "vocab_size": 152064,
}  # fmt: skip
LLAMA2_13B = LLAMA | {
    "hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40,
    "num_key_value_heads": 40, "vocab_size": 32000,
}  # fmt: skip
MIXTRAL = LLAMA | {
    "num_local_experts": 8, "num_experts_per_tok": 2, "vocab_size": 32000, "tie_word_embeddings": False,
}  # fmt: skip
QWEN_235B = LLAMA | {
    "hidden_size": 4096, "num_hidden_layers": 94, "num_attention_heads": 64, "num_key_value_heads": 4, "head_dim": 128,
    "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 1536, "vocab_size": 151936,
}  # fmt: skip
DEEPSEEK_V2_LITE = LLAMA | {
    "hidden_size": 2048, "num_hidden_layers": 27, "num_attention_heads": 16, "kv_lora_rank": 512,
    "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "n_routed_experts": 64, "n_shared_experts": 2,
    "num_experts_per_tok": 6, "moe_intermediate_size": 1408, "intermediate_size": 10944, "first_k_dense_replace": 1,
    "vocab_size": 102400,
}  # fmt: skip
HYBRID_27B = LLAMA | {
    "hidden_size": 5120, "intermediate_size": 17408, "num_hidden_layers": 64, "num_attention_heads": 24,
    "num_key_value_heads": 4, "head_dim": 256, "full_attention_interval": 4, "linear_num_value_heads": 48,
    "linear_value_head_dim": 128, "linear_num_key_heads": 16, "linear_key_head_dim": 128, "vocab_size": 248320,
}  # fmt: skip


def facts_of(config=LLAMA, **change) -> ArtifactFacts:
    return facts_from_config(read_config(json.dumps(config | change).encode()), FILES, Beside())


def gib_of(config=LLAMA, **change) -> float:
    return facts_of(config, **change).weight_bytes / GIB


def billions_of(config) -> float:
    return sum(group.elements for group in facts_of(config).tensors) / 1e9


@pytest.mark.parametrize(
    ("config", "billions"),
    [(LLAMA, 8.03), (QWEN_7B, 7.62), (LLAMA2_13B, 13.02), (MIXTRAL, 46.7), (QWEN_235B, 235.1), (DEEPSEEK_V2_LITE, 15.7),
     (HYBRID_27B, 26.9)],
)  # fmt: skip
def test_a_family_has_as_many_parameters_as_its_card_says(config, billions):
    assert billions_of(config) == pytest.approx(billions, rel=0.004)


W4A16_GROUPS = W4A16 | {"weights": W4A16["weights"] | {"group_size": 128, "symmetric": True}}
CT = {"quant_method": "compressed-tensors", "ignore": ["lm_head"]}


@pytest.mark.parametrize(
    ("config", "quantization", "gib"),
    [
        (LLAMA, None, 14.96),
        (LLAMA, {"quant_method": "fp8"}, 8.46),
        (LLAMA, {"quant_method": "fp8", "weight_block_size": [128, 128]}, 8.46),
        (LLAMA, CT | {"config_groups": {"group_0": FP8}}, 8.46),
        (LLAMA, CT | {"config_groups": {"group_0": W4A16_GROUPS}}, 5.31),
        (LLAMA, {"quant_method": "modelopt", "quant_algo": "NVFP4", "exclude_modules": ["lm_head"]}, 5.61),
        (LLAMA, CT | {"config_groups": {"group_0": NVFP4}}, 5.61),
        (LLAMA, {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_use_double_quant": True}, 5.31),
        (LLAMA, {"quant_method": "bitsandbytes", "load_in_4bit": True}, 5.61),
        (LLAMA, {"quant_method": "bitsandbytes", "load_in_8bit": True}, 8.46),
        (LLAMA2_13B, {"quant_method": "gptq", "bits": 4, "group_size": 128}, 7.26e9 / GIB),
        (LLAMA2_13B, {"quant_method": "gptq", "bits": 4, "group_size": 64, "desc_act": True}, 7.51e9 / GIB),
        (QWEN_7B, {"quant_method": "awq", "bits": 4, "group_size": 128}, 5.19),
    ],
)
def test_a_scheme_takes_what_public_files_take(config, quantization, gib):
    assert gib_of(config, quantization_config=quantization) == pytest.approx(gib, rel=0.009)


def test_what_a_method_leaves_alone_stays_in_16_bits():
    """Llama-3.1-405B-FP8 keeps attention and its first and last layers: 462 GiB (vllm issue 6746)."""
    large = LLAMA | {
        "hidden_size": 16384, "intermediate_size": 53248, "num_hidden_layers": 126, "num_attention_heads": 128,
    }  # fmt: skip
    kept = ["self_attn", "lm_head", "model.layers.0", "model.layers.125"]

    assert gib_of(large, quantization_config={"quant_method": "fbgemm_fp8", "modules_to_not_convert": kept}) == (
        pytest.approx(462, rel=0.02)
    )


@pytest.mark.parametrize(
    "pattern", ["re:.*self_attn.*", "re:.*(q|k|v|o)_proj$", "*self_attn*", "re:model\\.layers\\.\\d+\\.self_attn.*"]
)
def test_patterns_name_modules_as_their_writers_mean(pattern):
    config = CT | {"config_groups": {"group_0": FP8}}
    attention = 32 * (2 * 4096 * 4096 + 2 * 1024 * 4096)
    without = facts_of(quantization_config=config).weight_bytes
    scales = 32 * 4 * (4096 + 1024 + 1024 + 4096)

    kept = facts_of(quantization_config=config | {"ignore": ["lm_head", pattern]})
    assert kept.weight_bytes == without + attention - scales


@pytest.mark.parametrize("pattern", ["re:(a+)+$", "re:" + "x" * 500, "re:(?=.*)(.*){9}", "re:[", "re:" + ".*" * 9])
def test_a_pattern_that_could_run_for_ever_is_named_and_ignored(pattern):
    facts = facts_of(quantization_config=CT | {"config_groups": {"group_0": FP8}, "ignore": [pattern]})

    assert any("not understood" in note for note in facts.notes)


def test_each_group_of_modules_has_its_own_scheme():
    groups = {
        "attention": FP8 | {"targets": ["re:.*self_attn.*"]},
        "mlp": W4A16 | {"targets": ["re:.*mlp.*"]},
    }
    mixed = gib_of(quantization_config=CT | {"config_groups": groups})

    assert gib_of(quantization_config=CT | {"config_groups": {"all": W4A16}}) < mixed
    assert mixed < gib_of(quantization_config=CT | {"config_groups": {"all": FP8}})


def test_experts_alone_are_quantized_in_mxfp4():
    gpt_oss = LLAMA | {
        "hidden_size": 2880, "intermediate_size": 2880, "num_hidden_layers": 36, "num_attention_heads": 64,
        "num_key_value_heads": 8, "head_dim": 64, "num_local_experts": 128, "num_experts_per_tok": 4,
        "vocab_size": 201088,
        "quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["self_attn", "router", "lm_head"]},
    }  # fmt: skip

    assert gib_of(gpt_oss) == pytest.approx(60.7, rel=0.003)


def test_a_layout_that_is_not_known_is_refused_without_headers():
    with pytest.raises(ArtifactError) as caught:
        facts_of(quantization_config={"quant_method": "exl3"})
    assert caught.value.reason == "UnsupportedArtifact"
    assert "exl3" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"vocab_size": None}, "UnsupportedArtifact"),
        ({"num_attention_heads": None, "num_key_value_heads": None}, "UnknownArchitecture"),
    ],
)
def test_a_configuration_without_a_vocabulary_or_heads_is_refused_without_headers(change, reason):
    with pytest.raises(ArtifactError) as caught:
        facts_of(**change)
    assert caught.value.reason == reason


def test_it_is_said_that_nothing_was_read():
    facts = facts_of()

    assert facts.tensors_from == "config"
    assert any("no header was read" in note for note in facts.notes)
    assert not facts.is_sure


def test_a_tower_counts_and_one_that_is_not_described_is_guessed():
    siglip = {"num_hidden_layers": 27, "hidden_size": 1152, "intermediate_size": 4304}
    described = facts_of(vision_config=siglip)
    tower = next(group for group in described.tensors if group.role == "tower")

    assert tower.elements == pytest.approx(0.41e9, rel=0.02)
    assert any("0.43 billion" in note for note in facts_of(vision_config={}).notes)
    assert not any("0.43 billion" in note for note in described.notes)


def test_an_output_tied_by_the_familys_default_is_not_counted():
    silent, said = facts_of(model_type="gemma2"), facts_of(model_type="gemma2", tie_word_embeddings=False)

    assert said.weight_bytes - silent.weight_bytes == 128_256 * 4096 * 2


def test_draft_layers_are_counted_apart():
    facts = facts_of(HYBRID_27B, mtp_num_hidden_layers=1)

    assert facts.weight_bytes == facts_of(HYBRID_27B).weight_bytes
    assert next(group for group in facts.tensors if group.role == "draft").elements > 0.3e9


def test_matrices_that_an_engine_fuses_are_one_piece():
    sizes = {(piece.bytes >> 20, piece.count) for piece in facts_of(QWEN_7B).pieces if piece.role == "block"}

    assert sizes == {(259, 28), (129, 28), (31, 28), (24, 28)}


def test_an_architecture_that_is_not_known_says_so():
    assert is_known("LlamaForCausalLM") and is_known("gpt-oss") and is_known("Qwen3MoeForCausalLM")
    assert not is_known("DeepseekV4ForCausalLM") and not is_known("Mamba1ForCausalLM")
    assert any("not known" in note for note in facts_of(architectures=["BrandNewForCausalLM"]).notes)


def test_facts_written_before_pieces_and_parts_are_still_read():
    old = facts_of().as_json()
    for key in ("pieces", "tensorsFrom", "experts", "expertsPerToken", "expertIntermediateSize"):
        del old[key]
    for group in old["tensors"]:
        del group["part"]

    assert ArtifactFacts.model_validate(old).weight_bytes == facts_of().weight_bytes


NESTED = st.one_of(VALUES, st.lists(st.text(max_size=30), max_size=4), st.dictionaries(st.text(max_size=9), VALUES))
METHODS = st.sampled_from(["awq", "gptq", "fp8", "compressed-tensors", "modelopt", "bitsandbytes", "mxfp4", "new"])
KEYS = st.sampled_from(["bits", "group_size", "ignore", "config_groups", "weight_block_size", "exclude_modules", "dynamic",
                        "quantized_layers", "extra_config", "quant_algo"])  # fmt: skip
SHAPES = st.sampled_from(["num_experts", "n_routed_experts", "moe_intermediate_size", "first_k_dense_replace", "head_dim",
                          "decoder_sparse_step", "mlp_only_layers", "vision_config", "num_nextn_predict_layers",
                          "linear_num_value_heads", "rope_parameters", "partial_rotary_factor"])  # fmt: skip


@settings(max_examples=examples(300))
@given(METHODS, st.dictionaries(KEYS, NESTED, max_size=4), st.dictionaries(SHAPES, NESTED, max_size=3))
def test_any_quantization_of_any_shape_is_sized_or_refused(method, quantization, shapes):
    small = shallow(LLAMA | shapes) | {"quantization_config": quantization | {"quant_method": method}}
    try:
        assert facts_of(small).weight_bytes > 0
    except ArtifactError as error:
        assert error.reason


def shallow(config):
    return config | {"num_hidden_layers": 2}
