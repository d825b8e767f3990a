"""The facts of a Hugging Face checkpoint."""

import json

from bitshift_core.artifact.checkpoint import Beside, facts_from_checkpoint
from bitshift_core.artifact.config import read_config
from bitshift_core.artifact.facts import FileFact
from bitshift_core.artifact.safetensors import read_safetensors_header
from tests.bitshift_core.artifact.builders import gguf_facts, reader, safetensors

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": 1,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 96,
    "max_position_embeddings": 2048,
}
TENSORS = {
    "model.embed_tokens.weight": ("BF16", (96, 64)),
    "model.layers.0.self_attn.q_proj.weight": ("BF16", (64, 64)),
    "model.layers.0.mlp.gate.weight": ("BF16", (8, 64)),
    "model.layers.0.input_layernorm.weight": ("BF16", (64,)),
    "model.layers.1.mlp.up_proj.weight": ("BF16", (128, 64)),
    "visual.blocks.0.attn.weight": ("BF16", (64, 64)),
    "lm_head.weight": ("BF16", (96, 64)),
}


def checkpoint_facts(beside=None, digests=("",), **config):
    data = safetensors(TENSORS)
    files = [FileFact(name=f"{n}.safetensors", size_bytes=9, sha256=digest) for n, digest in enumerate(digests)]
    header = read_safetensors_header(reader(data), len(data))
    return facts_from_checkpoint(read_config(json.dumps(CONFIG | config).encode()), [header], files, beside or Beside())


def roles(facts):
    return {group.role: group.count for group in facts.tensors}


def test_tensors_are_grouped_by_what_becomes_of_them():
    assert roles(checkpoint_facts()) == {"embedding": 1, "output": 1, "block": 1, "other": 2, "tower": 1, "draft": 1}


def test_a_tied_output_in_the_file_is_not_counted_twice():
    facts = checkpoint_facts(tie_word_embeddings=True)

    assert "output" not in roles(facts)
    assert "tied" in facts.notes[0]


def test_a_checkpoint_without_quantization_is_named_by_its_bytes():
    assert checkpoint_facts().scheme == "BF16"


def test_the_vocabulary_is_the_embeddings_height_where_the_configuration_is_silent():
    assert checkpoint_facts(vocab_size=None).vocab_size == 96


def test_the_digest_of_several_files_is_that_of_their_manifest():
    one, other = "sha256:" + "1" * 64, "sha256:" + "2" * 64

    assert checkpoint_facts(digests=(one,)).weights_digest == one
    assert checkpoint_facts(digests=(one, other)).weights_digest not in (one, other, "")
    assert checkpoint_facts(digests=(one, "")).weights_digest == ""


def test_one_template_has_one_digest_in_either_format():
    template = "{{ messages }}"
    in_config = Beside(tokenizer_config=json.dumps({"chat_template": template}).encode())
    in_list = {"chat_template": [{"name": "tools", "template": "x"}, {"name": "default", "template": template}]}
    digests = {
        checkpoint_facts(in_config).chat_template_digest,
        checkpoint_facts(Beside(tokenizer_config=json.dumps(in_list).encode())).chat_template_digest,
        checkpoint_facts(Beside(chat_template=template.encode() + b"\n")).chat_template_digest,
        gguf_facts().chat_template_digest,
    }

    assert len(digests) == 1


def test_a_tokenizer_saved_by_another_version_has_the_same_digest():
    old = {"model": {"type": "BPE", "merges": ["a b"], "vocab": {"a": 0}}, "padding": {"length": 3}}
    new = {"model": {"vocab": {"a": 0}, "merges": [["a", "b"]], "type": "BPE"}, "padding": None}
    other = {"model": {"type": "BPE", "merges": ["b a"], "vocab": {"a": 0}}}
    first, second, third = (
        checkpoint_facts(Beside(tokenizer_json=json.dumps(tokenizer).encode())).tokenizer_digest
        for tokenizer in (old, new, other)
    )

    assert first == second != third
