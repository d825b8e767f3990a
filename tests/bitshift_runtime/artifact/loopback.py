"""Servers on loopback that artifacts are read from: a Hub and a registry, as small as their protocols allow.

Here: what they answer. Not here: a store that speaks S3 (moto is one).
"""

import base64
import hashlib
import json
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class Answer(Exception):
    """An answer other than the bytes of a file."""

    def __init__(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        super().__init__(status)
        self.status, self.headers, self.body = status, headers or {}, body


def as_json(value: Any, headers: dict[str, str] | None = None) -> Answer:
    return Answer(200, {"content-type": "application/json"} | (headers or {}), json.dumps(value).encode())


class Loopback:
    """A server whose `bytes_of` returns what lies at a path or raises an `Answer`; ranges are its own."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.breaks = 0
        """So many answers break off half-way."""

    def bytes_of(self, path: str, query: dict[str, str], headers: dict[str, str]) -> bytes:
        raise NotImplementedError

    @contextmanager
    def started(self, tls: ssl.SSLContext | None = None) -> Iterator[Any]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def paths(self) -> list[str]:
        return [path for path, _, _ in self.asked]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
                outer.asked.append((unquote(parts.path), parts.query, headers))
                try:
                    data = outer.bytes_of(unquote(parts.path), query, headers)
                except Answer as answer:
                    self.say(answer.status, answer.headers, answer.body)
                    return
                wanted = RANGE.match(headers.get("range", ""))
                if not wanted:
                    self.say(200, {}, data)
                    return
                first, last = int(wanted[1]), min(int(wanted[2] or len(data) - 1), len(data) - 1)
                self.say(206, {"content-range": f"bytes {first}-{last}/{len(data)}"}, data[first : last + 1])

            def say(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if outer.breaks and len(body) > 1_000:
                    outer.breaks -= 1
                    self.wfile.write(body[: len(body) // 2])
                    self.close_connection = True
                else:
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


class Hub(Loopback):
    """One repository with branches; gated ones want the token, large files are answered by another address."""

    def __init__(self, files: dict[str, bytes], *, repo: str = "org/m", token: str = "", page: int = 2) -> None:
        super().__init__()
        self.repo, self.token, self.page = repo, token, page
        self.commits: dict[str, dict[str, bytes]] = {}
        self.branches: dict[str, str] = {}
        self.push(files)

    def push(self, files: dict[str, bytes], branch: str = "main") -> str:
        commit = hashlib.sha1(repr((branch, sorted(files.items()))).encode()).hexdigest()
        self.commits[commit], self.branches[branch] = files, commit
        return commit

    def bytes_of(self, path: str, query: dict[str, str], headers: dict[str, str]) -> bytes:
        root = f"/api/models/{self.repo}"
        if path.startswith(f"{root}/revision/"):
            commit = self._commit(path.removeprefix(f"{root}/revision/"))
            raise as_json({"sha": commit, "gated": bool(self.token)})
        if path.startswith(f"{root}/tree/"):
            raise self._tree(self._commit(path.removeprefix(f"{root}/tree/")), query)
        if path.startswith(f"/{self.repo}/resolve/"):
            commit, _, name = path.removeprefix(f"/{self.repo}/resolve/").partition("/")
            if self.token and headers.get("authorization") != f"Bearer {self.token}":
                raise Answer(403 if "authorization" in headers else 401, {"x-error-code": "GatedRepo"})
            if self._is_large(name):
                raise Answer(302, {"location": f"/cdn/{commit}/{name}"})
            return self._file(commit, name)
        if path.startswith("/cdn/"):
            commit, _, name = path.removeprefix("/cdn/").partition("/")
            return self._file(commit, name)
        raise Answer(401, {"x-error-code": "RepoNotFound"})

    def _commit(self, revision: str) -> str:
        commit = self.branches.get(revision, revision)
        if commit not in self.commits:
            raise Answer(404, {"x-error-code": "RevisionNotFound"})
        return commit

    def _file(self, commit: str, name: str) -> bytes:
        if name not in self.commits.get(commit, {}):
            raise Answer(404, {"x-error-code": "EntryNotFound"})
        return self.commits[commit][name]

    def _tree(self, commit: str, query: dict[str, str]) -> Answer:
        entries = [self._entry(name, data) for name, data in sorted(self.commits[commit].items())]
        start = int(query.get("cursor", 0))
        following = f"{self.url}/api/models/{self.repo}/tree/{commit}?recursive=true&cursor={start + self.page}"
        more = {"link": f'<{following}>; rel="next"'} if start + self.page < len(entries) else {}
        return as_json(entries[start : start + self.page], more)

    def _entry(self, name: str, data: bytes) -> dict[str, Any]:
        entry: dict[str, Any] = {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
        if self._is_large(name):
            entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}
        return entry

    @staticmethod
    def _is_large(name: str) -> bool:
        return name.endswith((".safetensors", ".gguf"))


class Registry(Loopback):
    """One repository with tags and blobs; with a login it gives tokens that are good for a few requests."""

    MANIFEST = "application/vnd.oci.image.manifest.v1+json"

    def __init__(
        self, *, repo: str = "org/m", login: tuple[str, str] | None = None, token_requests: int = 10**6
    ) -> None:
        super().__init__()
        self.repo, self.login, self.token_requests = repo, login, token_requests
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.tokens = 0
        self._left = 0

    @property
    def address(self) -> str:
        return f"oci://{self.url.removeprefix('http://')}/{self.repo}"

    def push(self, tag: str, layers: list[tuple[bytes, str, str]], **manifest: Any) -> str:
        """Store layers (bytes, media type, file name) and a manifest under a tag; return its digest."""
        listed = []
        for data, kind, name in layers:
            digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
            self.blobs[digest] = data
            named = {"annotations": {"org.opencontainers.image.title": name}} if name else {}
            listed.append({"mediaType": kind, "digest": digest, "size": len(data)} | named)
        raw = json.dumps({"schemaVersion": 2, "mediaType": self.MANIFEST, "layers": listed} | manifest).encode()
        return self.put(tag, raw)

    def put(self, tag: str, raw: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        self.manifests[tag] = self.manifests[digest] = raw
        return digest

    def bytes_of(self, path: str, query: dict[str, str], headers: dict[str, str]) -> bytes:
        if path == "/token":
            raise self._token(headers)
        if self.login:
            self._check(headers)
        for kind, held in (("manifests", self.manifests), ("blobs", self.blobs)):
            name = path.removeprefix(f"/v2/{self.repo}/{kind}/")
            if name != path and name in held:
                return held[name]
        raise Answer(404)

    def _check(self, headers: dict[str, str]) -> None:
        if headers.get("authorization") != f"Bearer t{self.tokens}" or not self._left:
            challenge = f'Bearer realm="{self.url}/token",service="here",scope="repository:{self.repo}:pull"'
            raise Answer(401, {"www-authenticate": challenge})
        self._left -= 1

    def _token(self, headers: dict[str, str]) -> Answer:
        assert self.login
        wanted = f"Basic {base64.b64encode(':'.join(self.login).encode()).decode()}"
        if headers.get("authorization") != wanted:
            return Answer(401)
        self.tokens, self._left = self.tokens + 1, self.token_requests
        return as_json({"token": f"t{self.tokens}"})
