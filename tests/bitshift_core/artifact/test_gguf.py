"""The GGUF header: what a good file says, and that no bad one does harm."""

import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitshift_core.artifact.errors import ArtifactError
from bitshift_core.artifact.facts import FileFact
from bitshift_core.artifact.ggml import GGML_TYPES
from bitshift_core.artifact.gguf import ArraySummary, read_gguf_header
from bitshift_core.artifact.gguf_model import facts_from_gguf
from tests.bitshift_core.artifact.builders import TINY, TINY_TENSORS, gguf, reader, tensor_info, text, value
from tests.examples import examples

WHOLE = gguf()


def header_of(data: bytes, size: int | None = None):
    return read_gguf_header(reader(data), len(data) if size is None else size)


def refusal_of(data: bytes, size: int | None = None) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        header_of(data, size)
    return caught.value


def with_counts(tensors: int, keys: int, rest: bytes = b"") -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, keys) + rest


def test_a_whole_file_is_read_from_its_header_alone():
    header = header_of(WHOLE)

    assert header.version == 3
    assert header.metadata["llama.block_count"] == 2
    assert [tensor.name for tensor in header.tensors] == list(TINY_TENSORS)
    assert header.tensors[0].bytes == 64 * 96 // 32 * 34


def test_version_2_is_read_like_version_3():
    assert header_of(gguf(version=2)).tensors == header_of(WHOLE).tensors


@pytest.mark.parametrize("version", [0, 1, 4, 3 << 24])
def test_other_versions_are_refused_by_name(version):
    assert refusal_of(gguf(version=version)).reason == "UnsupportedArtifact"


def test_a_large_array_is_digested_and_not_kept():
    many = [f"t{number}" for number in range(50_000)]
    tokens = header_of(gguf(TINY | {"tokenizer.ggml.tokens": many})).metadata["tokenizer.ggml.tokens"]

    assert isinstance(tokens, ArraySummary)
    assert (tokens.count, tokens.values) == (50_000, ())
    other = header_of(gguf(TINY | {"tokenizer.ggml.tokens": [*many[:-1], "x"]})).metadata["tokenizer.ggml.tokens"]
    assert tokens.digest != other.digest


def test_small_arrays_of_numbers_keep_their_values():
    header = header_of(gguf(TINY | {"llama.attention.head_count_kv": ("u32", [2, 4])}))

    assert header.metadata["llama.attention.head_count_kv"].values == (2, 4)


def test_digests_do_not_depend_on_how_the_reads_were_cut():
    many = TINY | {"tokenizer.ggml.tokens": [f"token{number}" * 9 for number in range(40_000)]}
    data = gguf(many)
    lengths = []

    def counting(offset, length):
        lengths.append(length)
        return data[offset : offset + length]

    assert read_gguf_header(counting, len(data)).metadata == header_of(data).metadata
    assert len(lengths) < 10


@pytest.mark.parametrize("number", GGML_TYPES)
def test_every_type_of_ggml_is_sized_by_its_blocks(number):
    stored = GGML_TYPES[number]
    data = gguf(TINY, {"blk.0.w.weight": (stored.name, (512, 3))})

    assert header_of(data).tensors[0].bytes == 512 * 3 * stored.block_bytes // stored.block_elements


def test_a_file_that_was_cut_short_says_how_many_bytes_are_missing():
    refusal = refusal_of(WHOLE[:-100])

    assert refusal.reason == "TruncatedArtifact"
    assert f"{len(WHOLE) - 100} of at least" in str(refusal)


def test_a_file_cut_within_its_header_is_truncated_too():
    assert refusal_of(WHOLE[:200]).reason == "TruncatedArtifact"
    assert refusal_of(b"GGUF").reason == "TruncatedArtifact"
    assert refusal_of(b"").reason == "TruncatedArtifact"


def test_a_source_that_ends_before_its_size_is_truncated():
    assert refusal_of(WHOLE[:300], size=len(WHOLE)).reason == "TruncatedArtifact"


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"PK\x03\x04" + bytes(64), "not GGUF"),
        (with_counts(1 << 63, 0), "tensors"),
        (with_counts(0, 1 << 63), "metadata keys"),
        (with_counts(0, 1, text("k") + struct.pack("<IIQ", 9, 4, 1 << 62)), "elements"),
        (with_counts(0, 1, text("k") + struct.pack("<I", 99)), "value type"),
        (gguf(TINY | {"general.alignment": ("u32", 3)}), "alignment"),
        (gguf(TINY | {"general.alignment": ("u32", 0)}), "alignment"),
        (with_counts(0, 2, (text("k") + value("a")) * 2) + bytes(64), "twice"),
        (with_counts(2, 0, tensor_info("t", "F32", (1,), 0) * 2) + bytes(64), "twice"),
        (with_counts(1, 0, tensor_info("t", "F32", (1 << 40, 1 << 40), 0)) + bytes(64), "shape"),
        (with_counts(1, 0, tensor_info("t", "F32", (0,), 0)) + bytes(64), "shape"),
        (with_counts(1, 0, tensor_info("t", "Q8_0", (33,), 0)) + bytes(64), "blocks"),
        (with_counts(1, 0, tensor_info("t", "F32", (1,), 7)) + bytes(64), "aligned"),
        (
            with_counts(2, 0, tensor_info("a", "F32", (64,), 0) + tensor_info("b", "F32", (1,), 32)) + bytes(999),
            "overlaps",
        ),
        (with_counts(0, 1, struct.pack("<Q", 2) + b"\xff\xfe") + bytes(64), "UTF-8"),
        (with_counts(0, 1, struct.pack("<Q", 1 << 12) + bytes(1 << 12)), "string"),
    ],
)
def test_what_contradicts_the_format_or_any_real_model_is_malformed(data, word):
    refusal = refusal_of(data)

    assert refusal.reason == "MalformedArtifact"
    assert word in str(refusal)


def test_a_string_that_claims_more_than_the_file_is_a_truncation():
    data = with_counts(0, 1, text("k") + struct.pack("<IQ", 8, 1 << 63))

    assert refusal_of(data).reason == "TruncatedArtifact"


def test_an_unknown_tensor_type_is_unsupported():
    info = text("t") + struct.pack("<IQIQ", 1, 32, 77, 0)

    assert refusal_of(with_counts(1, 0, info) + bytes(64)).reason == "UnsupportedArtifact"


def judged(data: bytes, size: int) -> None:
    """Read header and facts; anything but an ArtifactError fails the test."""
    try:
        header = read_gguf_header(reader(data), size)
        facts_from_gguf([header], [FileFact(name="m.gguf", size_bytes=size)])
    except ArtifactError as error:
        assert error.reason and str(error)


@settings(max_examples=examples(300))
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_flipped_bytes_are_read_or_refused_but_never_crash(flips):
    data = bytearray(WHOLE)
    for position, byte in flips:
        data[position % 3000] = byte
    judged(bytes(data), len(data))


@settings(max_examples=examples(150))
@given(st.integers(0, len(WHOLE) - 1))
def test_every_truncation_is_refused_as_one(length):
    assert refusal_of(WHOLE[:length]).reason == "TruncatedArtifact"


@settings(max_examples=examples(100))
@given(st.binary(max_size=300))
def test_noise_after_the_magic_is_refused(noise):
    judged(b"GGUF" + struct.pack("<I", 3) + noise, 1 << 40)


def test_a_claim_of_exabytes_costs_no_memory():
    tracemalloc.start()
    refusal = refusal_of(with_counts(0, 1, text("k") + struct.pack("<IIQ", 9, 0, 1 << 22)), size=1 << 60)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert refusal.reason == "TruncatedArtifact"
    assert peak < 8 << 20
