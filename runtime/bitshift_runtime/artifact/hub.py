"""`hf://ORG/NAME@REVISION/PATH`: models of the Hugging Face Hub, or of a server that is shaped like it.

Here: a revision → its commit, the commit's files with their digests. Not here: which of them make a model (`inspect`).
API: https://huggingface.co/docs/hub/api, and huggingface_hub's `hf_api.py` for the tree and its pages.
"""

import re
from urllib.parse import quote, unquote

import httpx

from bitshift_core.artifact.errors import ArtifactError, malformed

from .credentials import WAY_OUT, Credentials
from .spans import HeaderAuth, Span, SpanSource, asked, inside

COMMIT = re.compile(r"^[0-9a-f]{40}$")
_ADDRESS = re.compile(r"^(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/@]+))?(?:/(?P<path>.+))?$")
MAX_PAGES = 100


class HubSource(SpanSource):
    """Files of one commit."""

    def __init__(self, uri: str, client: httpx.Client, credentials: Credentials) -> None:
        found = _ADDRESS.match(uri.removeprefix("hf://"))
        if not found:
            raise malformed(f"{uri} must be hf://ORG/NAME, with @REVISION and /PATH as needed (a `/` in it as %2F).")
        self._repo, self._endpoint = found["repo"], credentials.hub_endpoint
        self._token, self._client = credentials.hub_token, client
        path = found["path"] or ""
        self.revision = unquote(found["revision"] or "main")
        self.commit = self.revision if COMMIT.match(self.revision) else self._commit_of(self.revision)
        self.pinned = f"hf://{self._repo}@{self.commit}" + (f"/{path}" if path else "")
        super().__init__(client, *inside(self._files(), path, f"hf://{self._repo}@{self.commit}"))

    def auth(self) -> httpx.Auth | None:
        """Return the token; httpx does not carry it on to another host that the Hub sends us to."""
        return HeaderAuth(f"Bearer {self._token}") if self._token else None

    def refused(self, name: str, answer: httpx.Response) -> ArtifactError:
        """Return what the Hub means: it tells gated, private and missing things apart in a header of its own."""
        status, code = answer.status_code, answer.headers.get("x-error-code", "")
        where = f"hf://{self._repo}"
        if code == "GatedRepo" or (status == httpx.codes.FORBIDDEN and code != "RepoNotFound"):
            return self._gated(where)
        if code == "RevisionNotFound":
            return ArtifactError("RevisionNotFound", f"{where} has no revision '{self.revision}'.")
        if status == httpx.codes.UNAUTHORIZED and self._token and not code:
            return ArtifactError(
                "ArtifactForbidden",
                f"{where}: {self._endpoint} does not know the token in `spec.sources.secret`: put a valid one there, "
                "under `HF_TOKEN`.",
            )
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.NOT_FOUND):
            private = "the token may not see it" if self._token else f"it is private. {WAY_OUT} with HF_TOKEN"
            return ArtifactError("ArtifactNotFound", f"{where}: there is no {name}, or {private}.")
        return super().refused(f"{where}: {name}", answer)

    def _gated(self, where: str) -> ArtifactError:
        terms = f"accept its terms at {self._endpoint}/{self._repo}"
        if self._token:
            message = (
                f"{where} is gated, and the token in `spec.sources.secret` may not read it: {terms} with its account."
            )
        else:
            message = f"{where} is gated: {terms}. {WAY_OUT}, with that account's token under `HF_TOKEN`."
        return ArtifactError("ArtifactGated", message)

    def _commit_of(self, revision: str) -> str:
        url = f"{self._endpoint}/api/models/{self._repo}/revision/{quote(revision, safe='')}"
        commit = str(self._json(url, f"revision '{revision}'").get("sha", ""))
        if not COMMIT.match(commit):
            raise malformed(f"hf://{self._repo}: the Hub names no commit for '{revision}'.")
        return commit

    def _files(self) -> dict[str, Span]:
        url: str = f"{self._endpoint}/api/models/{self._repo}/tree/{self.commit}?recursive=true"
        found: dict[str, Span] = {}
        for _ in range(MAX_PAGES):
            answer = self._asked(url, f"commit {self.commit}")
            for entry in answer.json():
                if entry.get("type") == "file":
                    found[entry["path"]] = self._span(entry)
            following = answer.links.get("next", {}).get("url")
            if not following:
                return found
            url = following
        raise malformed(f"hf://{self._repo} lists more than {MAX_PAGES} pages of files.")

    def _span(self, entry: dict[str, object]) -> Span:
        large = entry.get("lfs") or {}
        oid = large.get("oid", "") if isinstance(large, dict) else ""
        path, size = str(entry["path"]), int(str(entry.get("size", 0)))
        url = f"{self._endpoint}/{self._repo}/resolve/{self.commit}/{quote(path)}"
        return Span(url, size, sha256=f"sha256:{oid}" if len(str(oid)) == 64 else "")

    def _json(self, url: str, what: str) -> dict[str, object]:
        found = self._asked(url, what).json()
        return found if isinstance(found, dict) else {}

    def _asked(self, url: str, what: str) -> httpx.Response:
        answer = asked(self._client, url, auth=self.auth())
        if not answer.is_success:
            raise self.refused(what, answer)
        return answer
