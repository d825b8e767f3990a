"""A server with the shape of the Hugging Face Hub, as far as models are read from it.

Here: revisions, trees by pages, files that are answered elsewhere, gates. The answers are those of the Hub's API as
huggingface_hub reads them (`hf_api.py`, `utils/_http.py`): headers tell errors apart, and large files lie on another host,
which refuses whoever brings a token along. Not here: Xet, uploads, data sets.
"""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from aiohttp import web

from e2e.file_server import answering
from e2e.stores.servers import GUESSED, Put, Trust, flip_last_byte

TOKEN, STRANGER = "hf_mayread", f"hf_{GUESSED}"
"""Of an account that accepted the terms of all models here, and of one that did not."""
FILE, README = "model.gguf", "README.md"
SIGNATURE = "X-Amz-Signature=e2e"
PAGE = 1
INVALID = "Invalid credentials in Authorization header"


class Hub:
    """Repositories `models/PLACE`, each gated, with one branch."""

    secret: Mapping[str, str] = {"HF_TOKEN": TOKEN}
    wrong: Mapping[str, str] = {"HF_TOKEN": STRANGER}

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._heads: dict[str, str] = {}
        self._commits: dict[str, dict[str, Path]] = {}
        self._damaged: dict[str, Path] = {}
        self.url = self._cdn = ""
        self.sent_bytes = 0
        """Of large files."""

    @contextmanager
    def started(self, host: str, trust: Trust) -> Iterator["Hub"]:
        """Answer until the end of the block."""
        here, there = web.Application(), web.Application()
        here.router.add_get("/api/models/{org}/{name}/revision/{revision}", self._revision)
        here.router.add_get("/api/models/{org}/{name}/tree/{revision}", self._tree)
        here.router.add_get("/api/resolve-cache/models/{org}/{name}/{revision}/{path:.+}", self._small)
        here.router.add_get("/{org}/{name}/resolve/{revision}/{path:.+}", self._resolve)
        there.router.add_get("/{org}/{name}/{revision}", self._send_large)
        with answering(there, host, trust.context) as self._cdn, answering(here, host, trust.context) as self.url:
            yield self

    def put(self, place: str, file: Path) -> Put:
        """Commit a model to the branch `main` of a repository."""
        repo, readme = f"models/{place}", self._folder / f"{place}-{README}"
        readme.write_text(f"# {place}\n")
        commit = hashlib.sha1(f"{repo} {len(self._commits)} {file}".encode()).hexdigest()
        self._commits[commit], self._heads[repo] = {FILE: file, README: readme}, commit
        return Put(f"hf://{repo}@main", f"hf://{repo}@{commit}")

    def damage(self, place: str) -> None:
        """Have another last byte sent from where large files lie."""
        repo = f"models/{place}"
        damaged = self._folder / f"{place}-damaged.gguf"
        shutil.copyfile(self._commits[self._heads[repo]][FILE], damaged)
        flip_last_byte(damaged)
        self._damaged[repo] = damaged

    async def _revision(self, request: web.Request) -> web.Response:
        commit = self._commit(request)
        names = [{"rfilename": name} for name in self._commits[commit]]
        return web.json_response({"id": _repo(request), "sha": commit, "gated": "manual", "siblings": names})

    async def _tree(self, request: web.Request) -> web.Response:
        commit = self._commit(request)
        entries = [_entry(name, file) for name, file in sorted(self._commits[commit].items())]
        start = int(request.query.get("cursor", 0))
        following = f"{self.url}{request.path}?recursive=true&cursor={start + PAGE}"
        more = {"Link": f'<{following}>; rel="next"'} if start + PAGE < len(entries) else {}
        return web.json_response(entries[start : start + PAGE], headers=more)

    async def _resolve(self, request: web.Request) -> web.StreamResponse:
        commit, path = self._commit(request), request.match_info["path"]
        token = _token(request)
        if token != TOKEN:
            status = 403 if token else 401
            raise _error(status, "GatedRepo", f"Access to model {_repo(request)} is restricted.")
        file = self._commits[commit].get(path)
        if file is None:
            raise _error(404, "EntryNotFound", "Entry not found")
        if path != FILE:
            raise web.HTTPTemporaryRedirect(f"/api/resolve-cache/models/{_repo(request)}/{commit}/{path}")
        headers = {
            "X-Repo-Commit": commit,
            "X-Linked-Size": str(file.stat().st_size),
            "X-Linked-ETag": f'"{_sha256(file)}"',
        }
        raise web.HTTPFound(f"{self._cdn}/{_repo(request)}/{commit}?{SIGNATURE}", headers=headers)

    async def _small(self, request: web.Request) -> web.StreamResponse:
        commit = self._commit(request)
        file = self._commits[commit][request.match_info["path"]]
        return web.FileResponse(file, headers={"X-Repo-Commit": commit})

    async def _send_large(self, request: web.Request) -> web.StreamResponse:
        """Send a file to whoever has the signed address; like S3, refuse a request with two ways of being known."""
        if "Authorization" in request.headers:
            raise web.HTTPBadRequest(text="Only one auth mechanism allowed")
        if request.query_string != SIGNATURE:
            raise web.HTTPForbidden(text="The signature does not match")
        file = self._damaged.get(_repo(request)) or self._commits[request.match_info["revision"]][FILE]
        asked = request.http_range
        size = file.stat().st_size
        self.sent_bytes += min(asked.stop or size, size) - (asked.start or 0)
        return web.FileResponse(file)

    def _commit(self, request: web.Request) -> str:
        """Return the commit that is meant, to somebody who is known or nobody: a bad token is refused everywhere."""
        if _token(request) not in ("", TOKEN, STRANGER):
            raise web.HTTPUnauthorized(headers={"X-Error-Message": INVALID})
        repo, revision = _repo(request), request.match_info["revision"]
        if repo not in self._heads:
            raise _error(404 if _token(request) else 401, "RepoNotFound", "Repository not found")
        commit = self._heads[repo] if revision == "main" else revision
        if commit not in self._commits:
            raise _error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit


def _repo(request: web.Request) -> str:
    return f"{request.match_info['org']}/{request.match_info['name']}"


def _token(request: web.Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


def _error(status: int, code: str, message: str) -> web.HTTPException:
    kind = {401: web.HTTPUnauthorized, 403: web.HTTPForbidden, 404: web.HTTPNotFound}[status]
    return kind(headers={"X-Error-Code": code, "X-Error-Message": message})


def _entry(name: str, file: Path) -> dict[str, object]:
    size = file.stat().st_size
    large = {"lfs": {"oid": _sha256(file), "size": size, "pointerSize": 134}} if name == FILE else {}
    return {"type": "file", "oid": hashlib.sha1(name.encode()).hexdigest(), "size": size, "path": name} | large


@cache
def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
