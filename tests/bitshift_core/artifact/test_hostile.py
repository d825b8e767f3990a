"""Ten thousand artifacts of strangers: each is read or refused by name, in bounded time and memory, and none crashes.

Each of the readers gets its share of `INPUTS`: whole artifacts with bytes, fields and claims replaced by what breaks
parsers. Memory is traced for some of them, since tracing all would take minutes.
"""

import json
import re
import struct
import time
import tracemalloc
from inspect import getsource
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitshift_core.artifact import config as config_module
from bitshift_core.artifact import safetensors as module
from bitshift_core.artifact.checkpoint import Beside, facts_from_checkpoint
from bitshift_core.artifact.config import read_config
from bitshift_core.artifact.errors import ArtifactError
from bitshift_core.artifact.facts import FileFact
from bitshift_core.artifact.gguf import read_gguf_header
from bitshift_core.artifact.gguf_model import TOKENIZER_KEYS, facts_from_gguf
from bitshift_core.artifact.safetensors import json_object, read_safetensors_header, shards_of_index
from tests.bitshift_core.artifact.builders import TINY, TINY_TENSORS, gguf, reader, safetensors, safetensors_of
from tests.bitshift_core.artifact.test_checkpoint import CONFIG, TENSORS
from tests.examples import examples

pytestmark = pytest.mark.long

INPUTS = 10_000
SHARE = {"gguf bytes": 2_500, "gguf keys": 1_500, "safetensors bytes": 2_000, "safetensors entries": 1_500}
SHARE |= {"config": 1_500, "index": 500, "beside": 500}
TRACED_EVERY = 25
MOST_BYTES, MOST_SECONDS = 4 << 20, 2.0
ROUND = count()

WORDS = [
    b"",
    b"\0" * 8,
    b"\xff" * 8,
    struct.pack("<Q", 1 << 63),
    struct.pack("<Q", 1 << 40),
    struct.pack("<I", 1 << 31),
]
WORDS += [b"[" * 60, b"{", b'"', b"\\u0000", b"\x80", b"-", b"1e999", b"NaN", b'{"a":{"a":', b"../", b"9" * 50]
EDITS = st.lists(st.tuples(st.integers(0, 1 << 16), st.sampled_from(WORDS), st.booleans()), max_size=4)
VALUES = [None, True, False, -1, 0, 1, 3, 2**24, 2**31, 2**63, 2**64 + 1, 10**400, -0.5, 1e308, float("nan"), "", "F16"]
VALUES += [
    "x" * 3_000,
    "../x",
    "\0",
    "\ud800",
    "🦙" * 40,
    [],
    [[]],
    [0],
    [1, 2],
    [1 << 62] * 9,
    ["a"] * 2,
    {},
    {"a": 1},
]
VALUES += [{"weights": 1}, {"quant_method": ["x"]}, {"config_groups": {"g": {"weights": {"num_bits": "4"}}}}]
VALUE = st.sampled_from(VALUES)
FIELDS = sorted({*CONFIG, *re.findall(r'"([a-z_]{4,40})"', getsource(config_module))})
"""Every name that the reader of configurations asks for."""
CHANGES = st.dictionaries(st.sampled_from(FIELDS), VALUE, max_size=4)
NAMES = st.sampled_from(
    ["t", "lm_head.weight", "model.layers.0.mlp.up_proj.weight", "x" * 2_000, "", "\0", "__metadata__"]
)
PLACES = st.sampled_from(
    [[0, 4], [4, 8], [0, 0], [4, 0], [-4, 0], [0, 1 << 62], [0], [], None, [0.0, 4.0], "04", [True, 4]]
)
ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "U8", "F4", "F128", 7, None, ["F32"]]),
        "shape": VALUE,
        "data_offsets": PLACES,
    },
)
NUMBERS = [("u32", 0), ("u32", 1), ("u32", 2**32 - 1), ("u64", 2**63), ("i32", -1), ("f32", 0.5), ("f32", float("nan"))]
ARRAYS = [("u32", []), ("u32", [0, 0]), ("u32", [2**31] * 5_000), ("f32", [1.5]), []]
KEYS = st.dictionaries(
    st.sampled_from(
        [*TINY, *TOKENIZER_KEYS, "general.alignment", "split.count", "split.tensors.count", "llama.ssm.state_size"]
    ),
    st.sampled_from([*NUMBERS, *ARRAYS, ("bool", True), "", "x" * 3_000]),
    max_size=4,
)
WHOLE_GGUF, WHOLE_SAFETENSORS = gguf(), safetensors(TENSORS)
RAW_CONFIG, HEADER = json.dumps(CONFIG).encode(), WHOLE_SAFETENSORS


def inputs(reader_name: str):
    return settings(
        max_examples=examples(SHARE[reader_name]),
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def judged(read) -> None:
    """Read; anything but an answer or an `ArtifactError` that people can read fails, as does too much of anything."""
    traced = next(ROUND) % TRACED_EVERY == 0
    if traced:
        tracemalloc.start()
    started = time.process_time()
    try:
        read()
    except ArtifactError as error:
        assert re.fullmatch(r"[A-Z][A-Za-z]+", error.reason)
        assert 10 < len(str(error)) < 600
    finally:
        seconds = time.process_time() - started
        peak = tracemalloc.get_traced_memory()[1] if traced else 0
        tracemalloc.stop()
    assert seconds < MOST_SECONDS
    assert peak < MOST_BYTES


def edited(whole: bytes, edits, reach: int) -> bytes:
    """Return the file with words written over its first bytes, or inserted there; an empty word cuts it short."""
    data = bytearray(whole)
    for position, word, inserted in edits:
        at = position % min(reach, len(data) or 1)
        if not word:
            del data[at:]
        data[at : at if inserted else at + len(word)] = word
    return bytes(data)


def test_the_shares_add_up_to_what_is_promised():
    assert sum(SHARE.values()) == INPUTS


def gguf_facts_of(data: bytes):
    header = read_gguf_header(reader(data), len(data), what="m.gguf")
    return facts_from_gguf([header], [FileFact(name="m.gguf", size_bytes=len(data))])


@inputs("gguf bytes")
@given(EDITS)
def test_gguf_files_with_other_bytes(edits):
    judged(lambda: gguf_facts_of(edited(WHOLE_GGUF, edits, 3_000)))


@inputs("gguf keys")
@given(KEYS)
def test_gguf_files_with_other_metadata(keys):
    data = gguf(TINY | keys, TINY_TENSORS)
    judged(lambda: gguf_facts_of(data))


def checkpoint_facts_of(data: bytes, config: bytes = RAW_CONFIG, beside: Beside = Beside()):  # noqa: B008
    header = read_safetensors_header(reader(data), len(data), what="m.safetensors")
    files = [FileFact(name="m.safetensors", size_bytes=len(data))]
    return facts_from_checkpoint(read_config(config), [header], files, beside)


@inputs("safetensors bytes")
@given(EDITS)
def test_safetensors_files_with_other_bytes(edits):
    judged(lambda: checkpoint_facts_of(edited(WHOLE_SAFETENSORS, edits, 900)))


@inputs("safetensors entries")
@given(st.dictionaries(NAMES, ENTRY | VALUE, max_size=3), st.integers(0, 16))
def test_safetensors_files_with_other_entries(entries, data_bytes):
    data = safetensors_of(entries, bytes(data_bytes))
    judged(lambda: checkpoint_facts_of(data))


@inputs("config")
@given(CHANGES, EDITS)
def test_configurations_with_other_fields(changes, edits):
    raw = json.dumps(CONFIG | changes).encode()
    config = edited(raw, edits[:1], len(raw)) if len(edits) > 2 else raw
    judged(lambda: checkpoint_facts_of(WHOLE_SAFETENSORS, config))


@inputs("index")
@given(VALUE | st.dictionaries(st.sampled_from(["a", "b", ""]), VALUE, max_size=2), EDITS)
def test_indices_that_name_anything(weight_map, edits):
    raw = json.dumps({"weight_map": weight_map}).encode()
    data = edited(raw, edits[:1], len(raw))

    def read():
        for shard in shards_of_index(data, "the index").values():
            assert "/" not in shard and "\\" not in shard and not shard.startswith(".") and "\0" not in shard

    judged(read)


@inputs("beside")
@given(VALUE, VALUE, VALUE)
def test_tokenizers_and_templates_that_are_none(model, merges, template):
    tokenizer = (
        {"model": {"merges": merges, "vocab": model}, "added_tokens": model} if merges != 0 else {"model": model}
    )
    beside = Beside(
        tokenizer_json=json.dumps(tokenizer).encode(), tokenizer_config=json.dumps({"chat_template": template}).encode()
    )
    judged(lambda: checkpoint_facts_of(WHOLE_SAFETENSORS, beside=beside))


# What would fill the memory

MANY = 40_000
BOMBS = {
    "lists": b"[" + b",".join([b"[]"] * MANY) + b"]",
    "lists in lists": b"[" + b",".join([b"[[[]]]"] * MANY) + b"]",
    "objects": b"[" + b",".join([b'{"a":{}}'] * MANY) + b"]",
    "numbers": b"[" + b",".join([b"0.5"] * MANY) + b"]",
    "long numbers": b"[" + b",".join([b"9999999999999999999"] * MANY) + b"]",
    "texts": b"[" + b",".join([b'"abc"'] * MANY) + b"]",
    "names": b"{" + b",".join(b'"k%06d":{}' % number for number in range(MANY)) + b"}",
    "wide letters": b"{" + b",".join(f'"🦙{number:06d}":"🦙ab"'.encode() for number in range(MANY)) + b"}",
    "one wide letter": '["🦙'.encode() + b"a" * 10 * MANY + b'"]',
    "escapes": b'["' + b"\\u20ac" * MANY + b'"]',
}


@pytest.mark.parametrize("name", BOMBS)
def test_json_is_never_larger_in_memory_than_it_was_estimated(name):
    raw = b'{"a":' + BOMBS[name] + b"}"
    tracemalloc.start()
    try:
        json_object(raw, "It")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak <= module._parsed_bytes(raw)


@pytest.mark.parametrize("name", BOMBS)
def test_json_that_would_fill_the_memory_is_refused_before_it_is_parsed(name, monkeypatch):
    raw = b'{"a":' + BOMBS[name] + b"}"
    monkeypatch.setattr(module, "MAX_PARSED_BYTES", 8 * len(raw))
    tracemalloc.start()
    with pytest.raises(ArtifactError) as caught:
        json_object(raw, "It")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert caught.value.reason == "MalformedArtifact"
    assert peak < 64 << 10


def test_the_largest_headers_that_exist_are_far_below_what_is_refused():
    entry = '"model.layers.10.mlp.experts.200.down_proj.weight":{"dtype":"F8_E4M3","shape":[7168,2048],"data_offsets":[0,14680064]},'
    deepseek_v3 = entry.encode() * 91_991

    assert module._parsed_bytes(deepseek_v3) < module.MAX_PARSED_BYTES
    assert len(deepseek_v3) < module.MAX_HEADER_BYTES


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"num_hidden_layers": 0}, "MalformedArtifact"),
        ({"num_hidden_layers": None}, "UnknownArchitecture"),
        ({"num_hidden_layers": 1 << 40}, "MalformedArtifact"),
        ({"num_attention_heads": None, "num_key_value_heads": None}, "UnknownArchitecture"),
        ({"num_attention_heads": 0}, "MalformedArtifact"),
        ({"architectures": None}, "UnknownArchitecture"),
        ({"architectures": [7]}, "UnknownArchitecture"),
    ],
)
def test_a_configuration_without_what_sizing_needs_is_refused_by_name(change, reason):
    with pytest.raises(ArtifactError) as caught:
        read_config(json.dumps(CONFIG | change).encode())
    assert caught.value.reason == reason


def test_a_gguf_model_without_attention_heads_is_not_sized_as_if_it_had_no_cache():
    without = {key: value for key, value in TINY.items() if "head_count" not in key}

    with pytest.raises(ArtifactError) as caught:
        gguf_facts_of(gguf(without))
    assert caught.value.reason == "UnknownArchitecture"
    assert "head_count" in str(caught.value)


def test_an_architecture_that_nobody_knows_is_still_read_from_its_header():
    other = {key.replace("llama.", "novel."): value for key, value in TINY.items()} | {"general.architecture": "novel"}

    assert gguf_facts_of(gguf(other)).attention == gguf_facts_of(WHOLE_GGUF).attention
