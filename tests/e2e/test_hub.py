"""The Hub of the end-to-end tests, read as pods read it: what it refuses is told as the Hub's own refusals are."""

import pytest

from bitshift_core.artifact.errors import ArtifactError
from bitshift_runtime.artifact.credentials import Credentials
from bitshift_runtime.artifact.fetch_tree import fetch_tree
from bitshift_runtime.artifact.hub import HubSource
from bitshift_runtime.artifact.inspect import inspect
from e2e.stores.hub import FILE, STRANGER, TOKEN, Hub
from e2e.stores.servers import Trust
from tests.bitshift_core.artifact.builders import gguf


@pytest.fixture
def trust(tmp_path):
    return Trust.made(tmp_path, "127.0.0.1")


@pytest.fixture
def hub(tmp_path, trust):
    with Hub(tmp_path).started("127.0.0.1", trust) as started:
        yield started


@pytest.fixture
def client(trust):
    with trust.client(follow_redirects=True) as made:
        yield made


@pytest.fixture
def put(hub, tmp_path):
    file = tmp_path / "whole.gguf"
    file.write_bytes(gguf())
    return hub.put("m", file)


def a_source(hub, client, uri, token=TOKEN):
    return HubSource(uri, client, Credentials(hub_endpoint=hub.url, hub_token=token))


def test_a_model_is_pinned_read_by_range_and_fetched(hub, client, put, tmp_path):
    source = a_source(hub, client, put.address)
    facts = inspect(source, lambda *_: None)
    fetch_tree(source, tmp_path / "there", facts.weights_digest, lambda *_: None)

    assert source.pinned == put.pinned
    assert (tmp_path / "there" / FILE).read_bytes() == gguf()
    assert source.read("README.md", 0, 3) == b"# m"


@pytest.mark.parametrize(
    ("token", "reason"), [("", "ArtifactGated"), (STRANGER, "ArtifactGated"), ("hf_none", "ArtifactForbidden")]
)
def test_who_may_not_read_is_told_why(hub, client, put, token, reason):
    with pytest.raises(ArtifactError) as caught:
        inspect(a_source(hub, client, put.address, token), lambda *_: None)

    assert caught.value.reason == reason


def test_a_damaged_file_keeps_its_promise_and_is_refused(hub, client, put, tmp_path):
    hub.damage("m")
    source = a_source(hub, client, put.address)
    with pytest.raises(ArtifactError) as caught:
        fetch_tree(source, tmp_path / "there", "", lambda *_: None)

    assert caught.value.reason == "DigestMismatch"


def test_a_branch_that_moved_leaves_its_commits_where_they_are(hub, client, put, tmp_path):
    other = tmp_path / "other.gguf"
    other.write_bytes(gguf() + b"more")
    moved = hub.put("m", other)

    assert a_source(hub, client, moved.address).pinned == moved.pinned != put.pinned
    assert a_source(hub, client, put.pinned).size(FILE) == len(gguf())
