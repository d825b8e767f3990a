"""What a GGUF header says of the model."""

import pytest

from bitshift_core.artifact.errors import ArtifactError
from bitshift_core.artifact.facts import FileFact, LayerGroup
from bitshift_core.artifact.gguf import read_gguf_header
from bitshift_core.artifact.gguf_model import facts_from_gguf
from tests.bitshift_core.artifact.builders import TINY, TINY_TENSORS, gguf, gguf_facts, reader


def test_the_facts_of_a_small_llama():
    facts = gguf_facts()

    assert (facts.architecture, facts.scheme, facts.layers, facts.hidden_size) == ("llama", "Q8_0", 2, 64)
    assert (facts.vocab_size, facts.context_tokens, facts.intermediate_size) == (96, 2048, 128)
    assert facts.attention == (LayerGroup(kind="full", layers=2, kv_heads=2, key_dim=16, value_dim=16),)
    assert {(group.role, group.dtype): group.count for group in facts.tensors} == {
        ("embedding", "Q8_0"): 1,
        ("block", "Q8_0"): 2,
        ("other", "F32"): 2,
    }
    assert facts.ties_output_to_embedding
    assert facts.tokenizer_digest.startswith("sha256:")


def test_the_tokenizer_digest_tells_vocabularies_apart_but_not_names_or_padding():
    renamed = gguf_facts(TINY | {"general.name": "other", "tokenizer.ggml.padding_token_id": ("u32", 3)})
    changed = gguf_facts(TINY | {"tokenizer.ggml.merges": ["a b"]})

    assert renamed.tokenizer_digest == gguf_facts().tokenizer_digest
    assert changed.tokenizer_digest != gguf_facts().tokenizer_digest


def test_the_chat_template_is_told_apart_from_the_tokenizer():
    other = gguf_facts(TINY | {"tokenizer.chat_template": "{{ other }}"})

    assert other.tokenizer_digest == gguf_facts().tokenizer_digest
    assert other.chat_template_digest != gguf_facts().chat_template_digest


@pytest.mark.parametrize(
    ("file_type", "dtype", "scheme", "is_noted"),
    [
        (1, "F16", "F16", False),
        (15, "Q4_K", "Q4_K_M", False),
        (15, "Q5_0", "Q4_K_M", True),  # rows that are no multiple of 256 fall back to another type
        (1, "Q8_0", "Q8_0", True),  # the name promises more than the bytes hold
        (32, "F16", "F16", True),
        (999, "IQ4_XS", "IQ4_XS", False),
    ],
)
def test_the_scheme_is_the_files_word_unless_the_bytes_contradict_it(file_type, dtype, scheme, is_noted):
    tensors = TINY_TENSORS | {"blk.1.ffn_down.weight": (dtype, (256, 4096))}
    facts = gguf_facts(TINY | {"general.file_type": ("u32", file_type)}, tensors)

    assert facts.scheme == scheme
    assert bool(facts.notes) == is_noted


def as_architecture(name: str, **keys) -> dict:
    kept = {key.replace("llama.", f"{name}."): item for key, item in TINY.items()}
    return kept | {"general.architecture": name} | {f"{name}.{key}": item for key, item in keys.items()}


def test_sliding_layers_come_from_the_family_where_the_file_does_not_say():
    metadata = as_architecture("gemma3", **{"attention.sliding_window": ("u32", 512), "block_count": ("u32", 26)})
    groups = {group.kind: group for group in gguf_facts(metadata).attention}

    assert (groups["sliding"].layers, groups["sliding"].window_tokens, groups["full"].layers) == (22, 512, 4)


def test_a_pattern_in_the_file_goes_before_the_familys():
    pattern = {
        "attention.sliding_window": ("u32", 512),
        "attention.sliding_window_pattern": ("bool", [True, False]),
    }
    groups = gguf_facts(as_architecture("gemma3", **pattern)).attention

    assert [(group.kind, group.layers) for group in groups] == [("sliding", 1), ("full", 1)]


def test_a_window_that_the_engine_ignores_counts_as_full():
    facts = gguf_facts(TINY | {"llama.attention.sliding_window": ("u32", 512)})

    assert [group.kind for group in facts.attention] == ["full"]


def test_latent_attention_is_one_head_of_latent_and_rotary_part():
    keys = {
        "attention.kv_lora_rank": ("u32", 512),
        "rope.dimension_count": ("u32", 64),
        "attention.head_count_kv": ("u32", 1),
    }

    (group,) = gguf_facts(as_architecture("deepseek2", **keys)).attention
    assert (group.kind, group.key_dim, group.value_dim) == ("mla", 576, 512)


def test_recurrent_layers_keep_a_state_and_no_cache():
    keys = {
        "attention.head_count_kv": ("u32", [0, 2]),
        "ssm.state_size": ("u32", 128),
        "ssm.inner_size": ("u32", 256),
        "ssm.conv_kernel": ("u32", 4),
    }
    linear, full = gguf_facts(as_architecture("jamba", **keys)).attention

    assert (linear.kind, linear.state_bytes) == ("linear", 4 * (128 * 256 + 3 * 256))
    assert full.kind == "full"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"general.architecture": "clip"}, "UnknownArchitecture"),
        ({"general.architecture": ("u32", 3)}, "UnknownArchitecture"),
        ({"llama.block_count": ("u32", 0)}, "UnsupportedArtifact"),
        ({"llama.block_count": ("u64", 1 << 63)}, "MalformedArtifact"),
        ({"llama.embedding_length": "wide"}, "MalformedArtifact"),
        ({"llama.attention.head_count_kv": ("u32", [1])}, "MalformedArtifact"),
        ({"split.count": ("u32", 3)}, "MissingShard"),
        ({"split.tensors.count": ("u32", 99)}, "MissingShard"),
    ],
)
def test_metadata_that_describes_no_model_is_refused_with_a_reason(change, reason):
    with pytest.raises(ArtifactError) as caught:
        gguf_facts(TINY | change)

    assert caught.value.reason == reason


def test_a_split_model_is_the_sum_of_its_parts():
    names = list(TINY_TENSORS)
    first, second = ({name: TINY_TENSORS[name] for name in part} for part in (names[:2], names[2:]))
    split = {"split.count": ("u32", 2), "split.tensors.count": ("i32", 5)}
    parts = [gguf(TINY | split, first), gguf(split, second)]
    headers = [read_gguf_header(reader(part), len(part)) for part in parts]
    files = [FileFact(name=f"m-{n}.gguf", size_bytes=len(part)) for n, part in enumerate(parts)]

    assert facts_from_gguf(headers, files).tensors == gguf_facts().tensors


def test_facts_of_a_model_with_many_kinds_of_layers_stay_small():
    heads = [1 + number % 60 for number in range(4000)]
    metadata = TINY | {"llama.block_count": ("u32", 4000), "llama.attention.head_count_kv": ("u32", heads)}

    assert len(gguf_facts(metadata).model_dump_json(by_alias=True)) < 64 << 10
