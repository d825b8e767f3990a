"""`hf://`: a revision is pinned to its commit, headers are read by range, and what is gated says what to do."""

import hashlib
import json

import httpx
import pytest

from bitshift_core.artifact.errors import ArtifactError
from bitshift_runtime.artifact import fetch as downloads
from bitshift_runtime.artifact.command import moved
from bitshift_runtime.artifact.credentials import Credentials
from bitshift_runtime.artifact.fetch_tree import MARK, fetch_tree
from bitshift_runtime.artifact.hub import HubSource
from bitshift_runtime.artifact.inspect import inspect
from tests.bitshift_core.artifact.builders import gguf
from tests.bitshift_runtime.artifact.loopback import Hub
from tests.bitshift_runtime.artifact.test_inspect import sharded

pytestmark = pytest.mark.long

OTHERS = {
    "README.md": b"# m",
    "pytorch_model.bin": b"pickled",
    "onnx/model.onnx": b"o",
    "consolidated.safetensors": b"x",
}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(downloads, "PAUSE_SECONDS", 0)


@pytest.fixture
def hub():
    with Hub(sharded() | OTHERS).started() as started:
        yield started


@pytest.fixture
def client():
    with httpx.Client(follow_redirects=True) as made:
        yield made


def a_source(hub, client, uri="hf://org/m", token=""):
    return HubSource(uri, client, Credentials(hub_endpoint=hub.url, hub_token=token))


def refusal(hub, client, uri="hf://org/m", token=""):
    with pytest.raises(ArtifactError) as caught:
        source = a_source(hub, client, uri, token)
        inspect(source, lambda *_: None)
    return caught.value.reason, str(caught.value)


def test_a_branch_is_pinned_to_the_commit_that_it_means(hub, client):
    source = a_source(hub, client, "hf://org/m@main")

    assert source.pinned == f"hf://org/m@{hub.branches['main']}"
    assert a_source(hub, client, source.pinned).names() == source.names()


def test_facts_are_read_from_headers_and_the_hubs_own_digests(hub, client):
    facts = inspect(a_source(hub, client), lambda *_: None)
    weights = {name: data for name, data in sharded().items() if name.startswith("model-")}

    assert {file.name: file.sha256 for file in facts.files} == {
        name: f"sha256:{hashlib.sha256(data).hexdigest()}" for name, data in weights.items()
    }
    assert facts.weights_digest


def test_only_ranges_of_weights_are_read_for_facts(client):
    with Hub(sharded()).started() as hub:
        inspect(a_source(hub, client), lambda *_: None)
        weights = [headers for path, _, headers in hub.asked if path.startswith("/cdn/")]

    assert weights and all("range" in headers for headers in weights)


def test_what_an_engine_loads_is_fetched_and_held_to_its_digests(hub, client, tmp_path):
    source = a_source(hub, client)
    digest = inspect(source, lambda *_: None).weights_digest
    fetch_tree(source, tmp_path / "artifact", digest, lambda *_: None)

    found = {path.name: path.read_bytes() for path in (tmp_path / "artifact").iterdir() if path.name[0] != "."}
    assert found == sharded()


def test_a_folder_that_is_complete_is_not_fetched_again(hub, client, tmp_path):
    fetch_tree(a_source(hub, client), tmp_path, "", lambda *_: None)
    before = len([path for path in hub.paths() if path.startswith("/cdn/")])
    fetch_tree(a_source(hub, client), tmp_path, "", lambda *_: None)

    assert len([path for path in hub.paths() if path.startswith("/cdn/")]) == before == 2
    assert json.loads((tmp_path / MARK).read_text())["uri"] == f"hf://org/m@{hub.branches['main']}"


def test_a_download_that_breaks_is_continued(client, tmp_path):
    model = gguf() + bytes(200_000)
    with Hub({"m.gguf": model}).started() as hub:
        source = a_source(hub, client)
        hub.breaks = 2
        fetch_tree(source, tmp_path, "", lambda *_: None)
        ranges = [headers["range"] for path, _, headers in hub.asked if path.startswith("/cdn/")]

    assert (tmp_path / "m.gguf").read_bytes() == model
    assert len(set(ranges)) == 3


def test_other_weights_than_were_judged_are_not_left_behind(hub, client, tmp_path):
    with pytest.raises(ArtifactError, match="not sha256:0000") as caught:
        fetch_tree(a_source(hub, client), tmp_path, "sha256:" + 64 * "0", lambda *_: None)

    assert caught.value.reason == "DigestMismatch"
    assert not (tmp_path / "model-1.safetensors").exists() and not (tmp_path / MARK).exists()


def test_a_branch_that_moved_is_told_with_both_commits(hub, client):
    before = a_source(hub, client).pinned
    commit = hub.push(sharded())
    after = a_source(hub, client).pinned

    assert moved("hf://org/m@main", after, before) == (
        f"hf://org/m@main is now {commit[:12]}; it was {before.rpartition('@')[2][:12]} when it was last read."
    )
    assert moved("hf://org/m@main", after, after) == moved("hf://org/m@main", after, "") == ""


def test_what_was_pinned_stays_what_it_was_after_the_branch_moved(hub, client):
    pinned = a_source(hub, client).pinned
    hub.push({"m.gguf": gguf()})

    assert set(a_source(hub, client, pinned).names()) >= set(sharded())


def test_one_file_of_a_repository_is_named_by_its_path(client):
    with Hub({"q4/m.gguf": gguf(), "q8/m.gguf": b"other"}).started() as hub:
        source = a_source(hub, client, "hf://org/m@main/q4/m.gguf")

        assert (source.entry, source.size("m.gguf")) == ("m.gguf", len(gguf()))
        assert source.pinned.endswith("/q4/m.gguf")


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("", ["is gated: accept its terms at http://127.0.0.1", "`spec.sources.secret`", "HF_TOKEN"]),
        ("hf_wrong", ["the token in `spec.sources.secret` may not read it", "with its account"]),
    ],
)
def test_a_gated_model_says_what_to_do(client, token, words):
    with Hub(sharded(), token="hf_right").started() as hub:
        reason, message = refusal(hub, client, token=token)

    assert reason == "ArtifactGated"
    assert all(word in message for word in words) and "hf_" not in message


def test_a_token_that_the_hub_does_not_know_is_told_apart_from_one_that_may_not_read():
    refusing = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(401)))
    with pytest.raises(ArtifactError) as caught:
        HubSource("hf://org/m", refusing, Credentials(hub_endpoint="http://hub", hub_token="hf_old"))

    assert caught.value.reason == "ArtifactForbidden"
    assert "does not know the token in `spec.sources.secret`" in str(caught.value) and "hf_" not in str(caught.value)


def test_a_gated_model_is_read_with_its_token_which_no_other_host_hears_of(client):
    with Hub(sharded(), token="hf_right").started() as hub:
        assert inspect(a_source(hub, client, token="hf_right"), lambda *_: None).format == "safetensors"


def test_the_token_is_not_carried_on_to_where_the_hub_sends_us(client, tmp_path):
    with Hub({}).started() as cdn, Hub({"m.gguf": gguf()}, token="hf_right").started() as hub:
        cdn.commits = hub.commits
        original = hub.bytes_of

        def elsewhere(path, query, headers):
            try:
                return original(path, query, headers)
            except Exception as answer:
                if getattr(answer, "status", 0) == 302:
                    answer.headers["location"] = cdn.url + answer.headers["location"]
                raise

        hub.bytes_of = elsewhere
        fetch_tree(a_source(hub, client, token="hf_right"), tmp_path, "", lambda *_: None)

        assert all("authorization" not in headers for _, _, headers in cdn.asked) and cdn.asked
        assert any(headers.get("authorization") == "Bearer hf_right" for _, _, headers in hub.asked)


@pytest.mark.parametrize(
    ("uri", "reason", "words"),
    [
        ("hf://org/m@v2", "RevisionNotFound", "has no revision 'v2'"),
        ("hf://org/none", "ArtifactNotFound", "HF_TOKEN"),
        ("hf://org/m@main/q4.gguf", "ArtifactNotFound", "holds no 'q4.gguf'"),
        ("hf://gpt2", "MalformedArtifact", "hf://ORG/NAME"),
    ],
)
def test_what_is_not_there_is_named_with_the_way_out(hub, client, uri, reason, words):
    found = refusal(hub, client, uri)

    assert found[0] == reason
    assert words in found[1]


def test_a_hub_that_is_not_there_is_the_artifacts_failure(client):
    with Hub({}).started() as hub:
        pass

    assert refusal(hub, client)[0] == "ArtifactUnreachable"
