"""From a claim or a URL to facts."""

import hashlib
import json

import pytest

from bitshift_core.artifact.errors import ArtifactError
from bitshift_runtime.artifact.inspect import inspect
from bitshift_runtime.artifact.location import source_of
from tests.bitshift_core.artifact.builders import TINY, TINY_TENSORS, gguf, safetensors
from tests.bitshift_core.artifact.test_checkpoint import CONFIG, TENSORS
from tests.bitshift_runtime.artifact.servers import FileServer

GGUF = gguf()


def facts_of(uri, mount=None, server=None):
    with (server or FileServer({})).client() as client:
        return inspect(source_of(uri, mount, client), lambda *_: None)


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
