"""The safetensors header and the index of a sharded checkpoint."""

import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitshift_core.artifact.errors import ArtifactError
from bitshift_core.artifact.safetensors import check_shards, read_safetensors_header, shards_of_index
from tests.bitshift_core.artifact.builders import reader, safetensors, safetensors_of
from tests.examples import examples

WHOLE = safetensors(
    {"model.layers.0.a.weight": ("BF16", (4, 8)), "lm_head.weight": ("F32", (2, 2)), "empty": ("I32", (0,))}
)


def header_of(data: bytes, size: int | None = None):
    return read_safetensors_header(reader(data), len(data) if size is None else size)


def refusal_of(data: bytes, size: int | None = None) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        header_of(data, size)
    return caught.value


def test_tensors_are_read_with_their_bytes():
    tensors = {tensor.name: tensor for tensor in header_of(WHOLE).tensors}

    assert tensors["model.layers.0.a.weight"].bytes == 64
    assert (tensors["lm_head.weight"].dtype, tensors["lm_head.weight"].elements) == ("F32", 4)


@pytest.mark.parametrize("length", [0, 7, 8, 50, len(WHOLE) - 1])
def test_a_file_that_was_cut_short_is_truncated(length):
    assert refusal_of(WHOLE[:length]).reason == "TruncatedArtifact"


def entry(**change):
    return {"t": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} | change}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (struct.pack("<Q", 1 << 63) + bytes(64), "MalformedArtifact"),
        (safetensors_of([1, 2]), "MalformedArtifact"),
        (struct.pack("<Q", 6) + b"{{{{{{", "MalformedArtifact"),
        (struct.pack("<Q", 400_000) + b"[" * 400_000, "MalformedArtifact"),
        (struct.pack("<Q", 5_009) + b'{"a":1' + b"0" * 5_002 + b"}", "MalformedArtifact"),
        (struct.pack("<Q", 17) + b'{"a": {}, "a":{}}', "MalformedArtifact"),
        (safetensors_of(entry(dtype="F128"), bytes(4)), "UnsupportedArtifact"),
        (safetensors_of(entry(dtype=["F32"]), bytes(4)), "UnsupportedArtifact"),
        (safetensors_of(entry(shape=[-1]), bytes(4)), "MalformedArtifact"),
        (safetensors_of(entry(shape=[True]), bytes(4)), "MalformedArtifact"),
        (safetensors_of(entry(shape=[2]), bytes(4)), "MalformedArtifact"),
        (safetensors_of(entry(data_offsets=[0]), bytes(4)), "MalformedArtifact"),
        (safetensors_of(entry(data_offsets=[4, 0]), bytes(4)), "MalformedArtifact"),
        (safetensors_of(entry(data_offsets=[4, 8]), bytes(8)), "MalformedArtifact"),
        (safetensors_of(entry() | {"u": entry()["t"]}, bytes(8)), "MalformedArtifact"),
        (safetensors_of(entry(shape=[1 << 40], data_offsets=[0, 1 << 42])), "TruncatedArtifact"),
    ],
)
def test_what_contradicts_the_format_is_refused(data, reason):
    assert refusal_of(data).reason == reason


@settings(max_examples=examples(300))
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_flipped_bytes_are_read_or_refused_but_never_crash(flips):
    data = bytearray(WHOLE)
    for position, byte in flips:
        data[position] = byte
    try:
        header_of(bytes(data))
    except ArtifactError as error:
        assert error.reason


def test_a_shard_that_lacks_a_tensor_of_the_index_is_named():
    index = json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}).encode()
    shards = {"one.safetensors": header_of(safetensors({"a": ("F32", (1,))}))}

    with pytest.raises(ArtifactError) as caught:
        check_shards(shards_of_index(index, "index"), shards)
    assert caught.value.reason == "MissingTensors"
    assert "1 of 2 tensors" in str(caught.value)


@pytest.mark.parametrize("shard", ["../x.safetensors", "/etc/passwd", "", ".hidden", 7])
def test_an_index_that_points_out_of_its_folder_is_refused(shard):
    with pytest.raises(ArtifactError) as caught:
        shards_of_index(json.dumps({"weight_map": {"a": shard}}).encode(), "index")
    assert caught.value.reason == "MalformedArtifact"
