"""The verbs as a container runs them: what is printed, written and returned."""

import hashlib
import json

import pytest
from click.testing import CliRunner

from bitshift_core.artifact.adapter import AdapterFacts
from bitshift_core.artifact.facts import ArtifactFacts
from bitshift_runtime.artifact import command
from bitshift_runtime.cli import main
from tests.bitshift_core.artifact.builders import gguf, safetensors
from tests.bitshift_runtime.artifact.loopback import Hub, Registry
from tests.bitshift_runtime.artifact.test_oci import TAR, tar

GGUF = gguf()


@pytest.fixture
def patched(monkeypatch):
    found = {}
    monkeypatch.setattr(command, "patch_config_map", lambda name, data: found.update({name: data}))
    return found


@pytest.fixture
def termination(tmp_path, monkeypatch):
    path = tmp_path / "termination-log"
    path.touch()
    monkeypatch.setenv("BITSHIFT_TERMINATION_LOG", str(path))
    return path


def run(*arguments):
    return CliRunner().invoke(main, arguments)


def test_facts_go_into_the_config_map_and_a_line_into_the_termination_message(tmp_path, patched, termination):
    (tmp_path / "m.gguf").write_bytes(GGUF)
    result = run("facts", "--uri", "pvc://models/m.gguf", "--mount", str(tmp_path), "--config-map", "facts-1")

    assert result.exit_code == 0
    assert ArtifactFacts.model_validate_json(patched["facts-1"]["facts.json"]).architecture == "llama"
    assert patched["facts-1"]["error.json"] is None
    assert json.loads(termination.read_text())["reason"] == "FactsRead"


def test_a_refusal_is_an_answer_and_ends_with_0(tmp_path, patched, termination):
    result = run("facts", "--uri", "pvc://models/none.gguf", "--mount", str(tmp_path), "--config-map", "facts-1")

    assert result.exit_code == 0
    error = json.loads(termination.read_text())
    assert error["reason"] == "ArtifactNotFound"
    assert json.loads(patched["facts-1"]["error.json"]) == error
    assert patched["facts-1"]["facts.json"] is None


def test_other_bytes_than_the_rung_names_are_refused(tmp_path, patched, termination):
    (tmp_path / "m.gguf").write_bytes(GGUF)
    right, wrong = f"sha256:{hashlib.sha256(GGUF).hexdigest()}", "sha256:" + "0" * 64
    for digest, reason in ((right, "FactsRead"), (wrong, "DigestMismatch")):
        run("facts", "--uri", "pvc://models/m.gguf", "--mount", str(tmp_path), "--config-map", "f", "--digest", digest)
        assert json.loads(termination.read_text())["reason"] == reason


def test_without_a_config_map_the_facts_alone_are_printed(tmp_path):
    (tmp_path / "m.gguf").write_bytes(GGUF)
    result = run("facts", "--uri", f"file://{tmp_path}/m.gguf", "--headers-only")

    assert ArtifactFacts.model_validate_json(result.stdout).files[0].sha256 == ""
    assert "headers: 1 of 1" in result.stderr


def test_a_crash_ends_non_zero(tmp_path, monkeypatch, termination):
    monkeypatch.setattr(command, "read_facts", lambda *_, **__: 1 / 0)

    assert run("facts", "--uri", "pvc://models/m.gguf").exit_code != 0


def test_a_fetch_that_fails_keeps_the_engine_from_starting(tmp_path, termination):
    result = run("fetch", "--uri", "http://127.0.0.1:9/m.gguf", "--to", str(tmp_path / "m.gguf"))

    assert result.exit_code == 1
    assert json.loads(termination.read_text())["reason"] == "ArtifactUnreachable"


def test_facts_of_a_branch_say_which_commit_they_are_of_and_whether_it_moved(patched, termination, monkeypatch):
    with Hub({"m.gguf": GGUF}).started() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        run("facts", "--uri", "hf://org/m@main", "--config-map", "facts-1")
        first = ArtifactFacts.model_validate_json(patched["facts-1"]["facts.json"])
        monkeypatch.setattr(command, "read_config_map", lambda name: patched[name])
        hub.push({"m.gguf": GGUF, "README.md": b"new"})
        run("facts", "--uri", "hf://org/m@main", "--config-map", "facts-1")
        second = ArtifactFacts.model_validate_json(patched["facts-1"]["facts.json"])

    assert first.pinned_uri.startswith("hf://org/m@") and first.moved == ""
    assert second.pinned_uri == f"hf://org/m@{hub.branches['main']}" != first.pinned_uri
    assert "hf://org/m@main is now" in second.moved
    assert second.moved in json.loads(termination.read_text())["message"]


def test_a_gated_model_is_refused_and_no_token_is_told(patched, termination, monkeypatch):
    with Hub({"m.gguf": GGUF}, token="hf_right").started() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", "hf_wrong")
        result = run("facts", "--uri", "hf://org/m", "--config-map", "facts-1")

    assert json.loads(patched["facts-1"]["error.json"])["reason"] == "ArtifactGated"
    assert "hf_wrong" not in result.output + termination.read_text() + str(patched)


def test_a_model_is_fetched_as_a_folder(tmp_path, termination, monkeypatch):
    with Hub({"m.gguf": GGUF}).started() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        digest = f"sha256:{hashlib.sha256(GGUF).hexdigest()}"
        result = run("fetch", "--uri", "hf://org/m", "--to", str(tmp_path / "artifact"), "--digest", digest)

    assert result.exit_code == 0
    assert (tmp_path / "artifact" / "m.gguf").read_bytes() == GGUF


def test_an_image_is_told_to_be_mountable(patched, termination):
    with Registry().started() as registry:
        registry.push("v1", [(tar({"m.gguf": GGUF}), TAR, "")])
        run("facts", "--uri", f"{registry.address}:v1", "--config-map", "facts-1")

    assert ArtifactFacts.model_validate_json(patched["facts-1"]["facts.json"]).mountable


def test_an_adapter_is_told_from_a_model(tmp_path, patched, termination):
    weights = {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": ("F32", (8, 576))}
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 8, "base_model_name_or_path": "org/b"}')
    (tmp_path / "adapter_model.safetensors").write_bytes(safetensors(weights))
    run("facts", "--uri", "pvc://models/", "--mount", str(tmp_path), "--config-map", "facts-1")
    found = AdapterFacts.model_validate_json(patched["facts-1"]["adapter.json"])

    assert (found.base, found.rank, found.hidden_size, found.layers) == ("org/b", 8, 576, 1)
    assert found.weights_digest.startswith("sha256:")
    assert patched["facts-1"]["facts.json"] is None


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr("bitshift_runtime.artifact.fetch.PAUSE_SECONDS", 0)
