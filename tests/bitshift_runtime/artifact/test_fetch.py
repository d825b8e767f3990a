"""A download is whole and what was promised, or not there."""

import hashlib

import pytest

from bitshift_core.artifact.errors import ArtifactError
from bitshift_runtime.artifact import fetch as module
from bitshift_runtime.artifact.fetch import fetch
from tests.bitshift_runtime.artifact.servers import FileServer

DATA = bytes(range(256)) * 4096
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
URL = "https://models.example/m.gguf"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0)


def fetched(target, server, digest=DIGEST):
    with server.client() as client:
        fetch(URL, target, digest, client, lambda *_: None)


def test_a_file_is_downloaded_and_verified(tmp_path):
    fetched(tmp_path / "deep" / "m.gguf", FileServer({"/m.gguf": DATA}))

    assert (tmp_path / "deep" / "m.gguf").read_bytes() == DATA


def test_a_lost_connection_is_continued_where_it_broke(tmp_path):
    server = FileServer({"/m.gguf": DATA}, breaks_after=300_000, breaks=2)
    fetched(tmp_path / "m.gguf", server)

    assert (tmp_path / "m.gguf").read_bytes() == DATA
    assert [request.headers.get("range") for request in server.requests] == [None, "bytes=300000-", "bytes=600000-"]


def test_a_server_that_ignores_the_range_is_read_from_the_start(tmp_path):
    fetched(tmp_path / "m.gguf", FileServer({"/m.gguf": DATA}, ranges=False, breaks_after=100, breaks=1))

    assert (tmp_path / "m.gguf").read_bytes() == DATA


def test_other_bytes_than_promised_are_not_left_behind(tmp_path):
    with pytest.raises(ArtifactError) as caught:
        fetched(tmp_path / "m.gguf", FileServer({"/m.gguf": DATA + b"!"}))

    assert caught.value.reason == "DigestMismatch"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_and_right_is_not_downloaded_again(tmp_path):
    (tmp_path / "m.gguf").write_bytes(DATA)
    server = FileServer({})
    fetched(tmp_path / "m.gguf", server)

    assert server.requests == []


def test_a_stale_file_is_replaced(tmp_path):
    (tmp_path / "m.gguf").write_bytes(b"old")
    fetched(tmp_path / "m.gguf", FileServer({"/m.gguf": DATA}))

    assert (tmp_path / "m.gguf").read_bytes() == DATA


def test_a_download_that_keeps_breaking_gives_up_with_a_reason(tmp_path):
    with pytest.raises(ArtifactError) as caught:
        fetched(tmp_path / "m.gguf", FileServer({"/m.gguf": DATA}, breaks_after=10, breaks=99))

    assert caught.value.reason == "ArtifactUnreachable"
    assert not (tmp_path / "m.gguf").exists()


def test_a_missing_file_is_not_retried(tmp_path):
    server = FileServer({})
    with pytest.raises(ArtifactError, match="HTTP 404"):
        fetched(tmp_path / "m.gguf", server)

    assert len(server.requests) == 1


def test_a_disk_that_is_too_small_is_known_before_it_is_full(tmp_path, monkeypatch):
    class Usage:
        free = 10

    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: Usage)
    with pytest.raises(ArtifactError) as caught:
        fetched(tmp_path / "m.gguf", FileServer({"/m.gguf": DATA}))

    assert caught.value.reason == "NotEnoughDisk"
