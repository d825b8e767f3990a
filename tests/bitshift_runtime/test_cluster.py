"""The two writes of a Job, against a server on loopback."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bitshift_runtime import cluster
from bitshift_runtime.cluster import ApiServer, ClusterError, patch_config_map, write_termination


@contextmanager
def api_server(*statuses):
    """Answer PATCH with the statuses in turn, the last one for ever; yield the server and what was asked."""
    asked, left = [], list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_PATCH(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append((self.path, self.headers, body))
            status = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield ApiServer(f"http://127.0.0.1:{server.server_port}", "team", "secret"), asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(cluster, "PAUSE_SECONDS", 0)


def test_a_config_map_is_merged_with_the_pods_own_account():
    with api_server(200) as (server, asked):
        patch_config_map("facts", {"facts.json": "{}", "error.json": None}, server)

    ((path, headers, body),) = asked
    assert path == "/api/v1/namespaces/team/configmaps/facts"
    assert headers["authorization"] == "Bearer secret"
    assert headers["content-type"] == "application/merge-patch+json"
    assert body == {"data": {"facts.json": "{}", "error.json": None}}


def test_hiccups_are_retried():
    with api_server(503, 429, 200) as (server, asked):
        patch_config_map("facts", {"a": "b"}, server)

    assert len(asked) == 3


def test_a_refusal_is_not_retried():
    with api_server(403) as (server, asked), pytest.raises(ClusterError, match="403"):
        patch_config_map("facts", {"a": "b"}, server)

    assert len(asked) == 1


def test_a_server_that_stays_away_is_given_up():
    with api_server(500) as (server, asked), pytest.raises(ClusterError, match="5 attempts"):
        patch_config_map("facts", {"a": "b"}, server)

    assert len(asked) == 5


def test_outside_a_pod_there_is_nothing_to_write_to(monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(ClusterError, match="service account"):
        patch_config_map("facts", {"a": "b"})


def test_the_termination_message_is_cut_to_what_the_kubelet_keeps(tmp_path, monkeypatch):
    path = tmp_path / "log"
    path.touch()
    monkeypatch.setenv("BITSHIFT_TERMINATION_LOG", str(path))
    write_termination("ü" * 3_000)

    assert path.read_text(encoding="utf-8") == "ü" * 2_048


def test_outside_a_pod_the_message_goes_to_standard_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BITSHIFT_TERMINATION_LOG", str(tmp_path / "none"))
    write_termination("done")

    assert capsys.readouterr().err == "done\n"
