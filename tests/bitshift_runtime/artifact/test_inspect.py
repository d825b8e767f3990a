"""From a claim or a URL to facts."""

import hashlib
import json
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitshift_core.artifact.errors import ArtifactError
from bitshift_runtime.artifact import headers
from bitshift_runtime.artifact.command import read_facts
from bitshift_runtime.artifact.inspect import inspect
from bitshift_runtime.artifact.location import source_of
from tests.bitshift_core.artifact.builders import TINY, TINY_TENSORS, gguf, safetensors
from tests.bitshift_core.artifact.test_checkpoint import CONFIG, TENSORS
from tests.bitshift_runtime.artifact.servers import FileServer
from tests.examples import examples

GGUF = gguf()


def facts_of(uri, mount=None, server=None, progress=lambda *_: None, **how):
    with (server or FileServer({})).client() as client:
        return inspect(source_of(uri, mount, client), progress, **how)


def refusal_of(uri, mount=None, server=None) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        facts_of(uri, mount, server)
    return caught.value


def sharded() -> dict[str, bytes]:
    names = list(TENSORS)
    shards = {"model-1.safetensors": names[:3], "model-2.safetensors": names[3:]}
    index = {"weight_map": {name: shard for shard, held in shards.items() for name in held}}
    return {
        "model.safetensors.index.json": json.dumps(index).encode(),
        "config.json": json.dumps(CONFIG).encode(),
        "tokenizer.json": b'{"model": {"vocab": {}}}',
        "tokenizer_config.json": b'{"chat_template": "{{ messages }}"}',
    } | {shard: safetensors({name: TENSORS[name] for name in held}) for shard, held in shards.items()}


def lay(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def test_a_gguf_file_in_a_claim_is_read_and_digested(tmp_path):
    lay(tmp_path / "chat", {"m.gguf": GGUF})
    facts = facts_of("pvc://models/chat/m.gguf", tmp_path)

    assert facts.weights_digest == f"sha256:{hashlib.sha256(GGUF).hexdigest()}"
    assert (facts.files[0].name, facts.files[0].size_bytes) == ("m.gguf", len(GGUF))


def test_a_folder_with_one_gguf_model_needs_no_file_name(tmp_path):
    lay(tmp_path, {"m.gguf": GGUF, "mmproj-m.gguf": b"", "README.md": b""})

    assert facts_of("pvc://models/", tmp_path).files[0].name == "m.gguf"


def test_a_folder_with_several_asks_which(tmp_path):
    lay(tmp_path, {"a.gguf": GGUF, "b.gguf": GGUF})
    refusal = refusal_of("pvc://models/", tmp_path)

    assert refusal.reason == "AmbiguousArtifact"
    assert "a.gguf, b.gguf" in str(refusal)


def test_the_parts_of_a_split_gguf_are_found_by_the_first(tmp_path):
    names, split = list(TINY_TENSORS), {"split.count": ("u32", 2)}
    parts = {f"m-0000{n + 1}-of-00002.gguf": part for n, part in enumerate((names[:2], names[2:]))}
    lay(tmp_path, {name: gguf(TINY | split, {key: TINY_TENSORS[key] for key in part}) for name, part in parts.items()})

    assert len(facts_of("pvc://models/", tmp_path).files) == 2
    (tmp_path / "m-00002-of-00002.gguf").unlink()
    assert refusal_of("pvc://models/", tmp_path).reason == "MissingShard"


def test_a_sharded_checkpoint_in_a_claim(tmp_path):
    lay(tmp_path / "hf", sharded())
    facts = facts_of("pvc://models/hf", tmp_path)

    assert (facts.format, facts.architecture, len(facts.files)) == ("safetensors", "LlamaForCausalLM", 2)
    assert all((facts.weights_digest, facts.tokenizer_digest, facts.chat_template_digest))


def test_the_same_checkpoint_over_http_is_read_by_ranges_and_not_downloaded():
    server = FileServer({f"/org/{name}": content for name, content in sharded().items()})
    facts = facts_of("https://models.example/org/", server=server)

    assert (facts.layers, facts.weights_digest) == (1, "")
    assert all("range" in request.headers for request in server.requests)


def test_a_large_model_over_http_costs_its_header():
    large = gguf(TINY, TINY_TENSORS | {"blk.0.ffn_gate.weight": ("F16", (64, 100_000))})
    server = FileServer({"/a b/m.gguf": large})

    facts_of("https://models.example/a%20b/m.gguf?token=x", server=server)
    assert len(server.requests) < 6
    assert server.requests[-1].url.query == b"token=x"


@pytest.mark.parametrize(
    ("uri", "reason", "words"),
    [
        ("pvc://models/none.gguf", "ArtifactNotFound", ("models", "none.gguf")),
        ("pvc://models/../../etc/passwd", "ArtifactNotFound", ("leads out of the claim",)),
        ("pvc://models/", "ArtifactNotFound", ("model.safetensors.index.json",)),
        ("ftp://host/m.gguf", "UnsupportedSource", ("pvc://CLAIM/PATH",)),
        ("https://models.example/none.gguf", "ArtifactNotFound", ("none.gguf",)),
    ],
)
def test_what_is_not_there_is_named(tmp_path, uri, reason, words):
    refusal = refusal_of(uri, tmp_path)

    assert refusal.reason == reason
    assert all(word in str(refusal) for word in words)


def test_a_link_out_of_the_claim_is_not_followed(tmp_path):
    lay(tmp_path / "outside", {"m.gguf": GGUF})
    (tmp_path / "mount").mkdir()
    (tmp_path / "mount" / "m.gguf").symlink_to(tmp_path / "outside" / "m.gguf")

    assert refusal_of("pvc://models/m.gguf", tmp_path / "mount").reason == "ArtifactNotFound"
    assert refusal_of("pvc://models/", tmp_path / "mount").reason == "ArtifactNotFound"


def test_a_truncated_file_says_how_many_bytes_are_there(tmp_path):
    lay(tmp_path, {"m.gguf": GGUF[:-64]})
    refusal = refusal_of("pvc://models/m.gguf", tmp_path)

    assert refusal.reason == "TruncatedArtifact"
    assert f"m.gguf was cut short: {len(GGUF) - 64} of at least" in str(refusal)


def test_a_server_without_ranges_is_refused_before_it_sends_gigabytes():
    server = FileServer({"/m.gguf": GGUF}, ranges=False)

    assert refusal_of("https://models.example/m.gguf", server=server).reason == "RangeNotSupported"


def test_a_missing_shard_is_counted(tmp_path):
    files = sharded()
    del files["model-2.safetensors"]
    lay(tmp_path, files)

    refusal = refusal_of("pvc://models/", tmp_path)
    assert (refusal.reason, str(refusal)) == ("MissingShard", "1 of 2 files are missing, model-2.safetensors first.")


def test_a_broken_connection_is_the_artifacts_failure_not_a_crash():
    server = FileServer({"/m.gguf": GGUF}, breaks_after=10, breaks=99)

    assert refusal_of("https://models.example/m.gguf", server=server).reason == "ArtifactUnreachable"


def many_shards(count: int, tensors: int = 1) -> dict[str, bytes]:
    """A checkpoint whose layers' tensors are dealt out to that many shards."""
    files = sharded()
    names = [f"model-{number:05d}.safetensors" for number in range(count)]
    held = {
        name: {f"model.layers.0.{name}.{tensor}.weight": ("BF16", (4, 4)) for tensor in range(tensors)}
        for name in names
    }
    held[names[0]]["model.embed_tokens.weight"] = ("BF16", (96, 64))
    index = {"weight_map": {tensor: name for name in names for tensor in held[name]}}
    kept = {name: files[name] for name in ("config.json", "tokenizer.json")}
    shards = {name: safetensors(tensors) for name, tensors in held.items()}
    return {f"/org/{name}": data for name, data in (kept | shards).items()} | {
        "/org/model.safetensors.index.json": json.dumps(index).encode()
    }


def test_over_http_each_shard_costs_one_request_for_its_size_and_its_header():
    server = FileServer(many_shards(40))
    facts = facts_of("https://models.example/org/", server=server, headers_only=True)

    asked = [request.url.path for request in server.requests if request.url.path.startswith("/org/model-")]
    assert len(facts.files) == 40
    assert len(asked) == len(set(asked)) == 40


def test_a_header_longer_than_the_first_answer_is_completed_by_one_more():
    server = FileServer(many_shards(2, tensors=200))

    assert sum(group.count for group in facts_of("https://models.example/org/", server=server).tensors) == 401
    assert len([request for request in server.requests if "model-00001" in request.url.path]) == 2


def test_no_more_than_a_bounded_number_of_shards_is_asked_for_at_a_time(monkeypatch):
    server = FileServer(many_shards(40))
    running, most, lock, four_at_once = 0, 0, threading.Lock(), threading.Barrier(4)
    monkeypatch.setattr(headers, "PARALLEL_READS", 4)
    answer = server.answer

    def counting(request):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        if "model-0" in request.url.path:
            four_at_once.wait(timeout=10)  # breaks unless four are on their way together
        with lock:
            running -= 1
        return answer(request)

    server.answer = counting
    facts_of("https://models.example/org/", server=server, headers_only=True)

    assert most == 4


def test_headers_alone_are_enough_for_sizing_and_read_neither_weights_nor_tokenizer(tmp_path):
    server = FileServer({f"/org/{name}": content for name, content in sharded().items()})
    facts = facts_of("https://models.example/org/", server=server, headers_only=True)
    lay(tmp_path, sharded())
    local = facts_of("pvc://models/", tmp_path, headers_only=True)

    assert not [request for request in server.requests if "tokenizer" in request.url.path]
    assert facts == local
    assert (facts.weights_digest, facts.tokenizer_digest) == ("", "")
    assert facts.tensors == facts_of("pvc://models/", tmp_path).tensors


def test_progress_tells_how_many_files_and_headers_of_how_many_were_read():
    told = []
    facts_of(
        "https://models.example/org/", server=FileServer(many_shards(3)), progress=lambda *parts: told.append(parts)
    )

    assert told == [(what, done, 3) for what in ("files", "headers") for done in (1, 2, 3)]


def test_headers_that_are_large_together_are_refused_before_they_fill_the_memory(monkeypatch):
    monkeypatch.setattr(headers, "MAX_HEADERS_BYTES", 10_000)
    refusal = refusal_of("https://models.example/org/", server=FileServer(many_shards(4, tensors=40)))

    assert (refusal.reason, "more than 10000 bytes" in str(refusal)) == ("MalformedArtifact", True)


def test_a_tensor_in_two_shards_is_not_counted_twice_but_refused(tmp_path):
    files = sharded()
    files["model-2.safetensors"] = safetensors(TENSORS)
    lay(tmp_path, files)
    refusal = refusal_of("pvc://models/", tmp_path)

    assert refusal.reason == "MalformedArtifact"
    assert "is in 2 of the files" in str(refusal)


def test_an_empty_file_and_a_small_one_that_comes_whole_are_understood():
    empty = FileServer({"/org/model.safetensors": b"", "/org/config.json": json.dumps(CONFIG).encode()})
    whole = FileServer({f"/org/{name}": content for name, content in sharded().items()}, ranges=False)

    assert refusal_of("https://models.example/org/", server=empty).reason == "TruncatedArtifact"
    assert refusal_of("https://models.example/org/", server=whole).reason == "RangeNotSupported"
    small = {"model.safetensors": safetensors({"model.embed_tokens.weight": ("BF16", (4, 64))})}
    small = FileServer(
        {f"/{name}": data for name, data in (small | {"config.json": json.dumps(CONFIG).encode()}).items()},
        ranges=False,
    )
    assert facts_of("https://models.example/", server=small).vocab_size == 96


def test_a_link_of_a_hugging_face_cache_keeps_the_name_that_was_asked_for(tmp_path):
    lay(tmp_path / "blobs", {"0a1b2c": GGUF})
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "m.gguf").symlink_to("../blobs/0a1b2c")

    assert facts_of("pvc://models/snapshots/m.gguf", tmp_path).files[0].name == "m.gguf"
    assert facts_of(f"file://{tmp_path}/snapshots/m.gguf").files[0].name == "m.gguf"
    assert facts_of(f"file://{tmp_path}/snapshots").files[0].name == "m.gguf"


@pytest.mark.parametrize("path", ["a", "m\0.gguf", "x" * 300 + ".gguf"])
def test_a_path_that_leads_nowhere_is_refused_and_does_not_crash(tmp_path, path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    with pytest.raises(ArtifactError) as caught:
        read_facts(f"pvc://models/{path}", tmp_path, "")
    assert caught.value.reason in ("ArtifactNotFound", "ArtifactUnreadable")


FILES = {f"/org/{name}": content for name, content in sharded().items()}
NAMES = st.sampled_from(sorted(FILES))
OTHERS = st.one_of(
    st.none(),
    st.sampled_from([b"", b"{}", b"[]", b"\xff" * 9, b"\0" * 5_000, *FILES.values()]),
    st.integers(0, 400),
)


@settings(max_examples=examples(300), database=None)
@given(st.dictionaries(NAMES, OTHERS, min_size=1, max_size=4))
def test_a_folder_whose_files_are_missing_cut_or_each_others_is_read_or_refused(changes):
    files = dict(FILES)
    for name, other in changes.items():
        files[name] = FILES[name][:other] if isinstance(other, int) else other
    try:
        server = FileServer({name: content for name, content in files.items() if content is not None})
        assert facts_of("https://models.example/org/", server=server).weight_bytes > 0
    except ArtifactError as error:
        assert error.reason.isalpha() and 10 < len(str(error)) < 600


@pytest.mark.parametrize(
    "told", ["bytes 0-9/*", "bytes 0-9/-1", f"bytes 0-9/{'9' * 30}", "nonsense", "bytes 0-9/9223372036854775807"]
)
def test_a_server_that_lies_about_a_files_size_is_not_believed(told):
    class Liar(FileServer):
        def _sent(self, status, data, headers):
            return super()._sent(status, data, headers | {"content-range": told})

    refusal = refusal_of("https://models.example/m.gguf", server=Liar({"/m.gguf": GGUF[:300]}))

    assert refusal.reason in ("RangeNotSupported", "TruncatedArtifact", "ArtifactUnreadable")


DENSE = CONFIG | {"tie_word_embeddings": True, "torch_dtype": "bfloat16"}


def pickled(size: int) -> dict[str, bytes]:
    index = {"weight_map": {"model.norm.weight": "pytorch_model-1.bin", "lm_head.weight": "pytorch_model-2.bin"}}
    return {
        "config.json": json.dumps(DENSE).encode(),
        "pytorch_model.bin.index.json": json.dumps(index).encode(),
        "pytorch_model-1.bin": b"p" * (size // 2),
        "pytorch_model-2.bin": b"p" * (size - size // 2),
    }


def described_bytes(tmp_path) -> int:
    lay(tmp_path / "described", {"config.json": json.dumps(DENSE).encode()})
    return sum(group.bytes for group in facts_of("pvc://models/described", tmp_path, headers_only=True).tensors)


def test_pytorchs_own_files_are_sized_from_the_configuration_and_say_so(tmp_path):
    size = described_bytes(tmp_path)
    lay(tmp_path / "m", pickled(size))
    facts = facts_of("pvc://models/m", tmp_path)

    assert (facts.tensors_from, facts.is_sure, facts.weight_bytes) == ("config", False, size)
    assert [file.size_bytes for file in facts.files] == [size // 2, size - size // 2]
    assert facts.weights_digest and all(file.sha256 for file in facts.files)
    assert facts.notes == ("Tensors were worked out from config.json: no header was read.",)


def test_files_of_another_size_than_the_configuration_describes_are_told(tmp_path):
    lay(tmp_path / "m", pickled(2 * described_bytes(tmp_path)))

    assert "one of them tells of more than the other" in facts_of("pvc://models/m", tmp_path).notes[-1]


def test_a_readable_header_comes_before_pytorchs_own_files(tmp_path):
    lay(tmp_path, pickled(64) | sharded())

    assert facts_of("pvc://models/", tmp_path).tensors_from == "header"


def test_a_missing_part_of_pytorchs_files_is_a_missing_shard(tmp_path):
    lay(tmp_path, pickled(64))
    (tmp_path / "pytorch_model-2.bin").unlink()

    assert refusal_of("pvc://models/", tmp_path).reason == "MissingShard"


def test_a_configuration_alone_can_be_sized_but_not_served(tmp_path):
    lay(tmp_path, {"config.json": json.dumps(DENSE).encode()})
    facts = facts_of("pvc://models/", tmp_path, headers_only=True)

    assert (facts.layers, facts.tensors_from) == (1, "config")
    assert "There are no weights beside config.json." in facts.notes
    assert refusal_of("pvc://models/", tmp_path).reason == "ArtifactNotFound"


def test_pytorchs_own_files_over_http_are_not_downloaded():
    server = FileServer({f"/org/{name}": content for name, content in pickled(9_000_000).items()})

    assert facts_of("https://models.example/org/", server=server, headers_only=True).tensors_from == "config"
    assert all("range" in request.headers for request in server.requests)
