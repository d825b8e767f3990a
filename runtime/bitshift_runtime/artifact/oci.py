"""`oci://REGISTRY/REPOSITORY:TAG/PATH`: models in a registry, as files (ORAS, ModelPack) or in an image's layers.

Here: a tag → its digest, the manifest's files as ranges of blobs. Not here: mounting an image (`rollout.places`).
Protocol: opencontainers/distribution-spec; files by the annotations of opencontainers/image-spec and CNCF ModelPack.
"""

import base64
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from posixpath import basename, dirname
from typing import Any

import httpx

from bitshift_core.artifact.errors import ArtifactError, malformed, unsupported

from .credentials import DOCKER_HUB, WAY_OUT, Credentials
from .source import HASH_CHUNK_BYTES, unreachable
from .spans import HeaderAuth, Span, SpanSource, asked, inside, not_given

_ADDRESS = re.compile(
    r"^(?P<host>[^/@]+)/(?P<repo>[a-z0-9][a-z0-9._/-]*)"
    r"(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?(?:/(?P<path>.+))?$"
)
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
IMAGE_LAYERS = ("application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs.")
NAMED_BY = ("org.opencontainers.image.title", "org.cncf.model.filepath", "org.cnai.model.filepath")
MAX_MANIFEST_BYTES, MAX_MEMBERS = 4 << 20, 20_000
TAR_BUFFER_BYTES = 64 << 10
HERE = ("localhost", "127.0.0.1", "[::1]")


class OciSource(SpanSource):
    """Files of one manifest."""

    def __init__(self, uri: str, client: httpx.Client, credentials: Credentials) -> None:
        address, _, query = uri.removeprefix("oci://").partition("?")
        found = _ADDRESS.match(address)
        if not found:
            raise malformed(f"{uri} must be oci://REGISTRY/REPOSITORY:TAG or …@sha256:DIGEST, with /PATH as needed.")
        self._host, self._repo = _at_docker_hub(found["host"], found["repo"])
        plain = self._host.rpartition(":")[0] in HERE or self._host in HERE or "plain-http=true" in query
        self._base = f"{'http' if plain else 'https'}://{self._host}/v2/{self._repo}"
        self._client, self._login = client, credentials.login_of(self._host)
        self._authorization = ""
        self._layers: list[Span] = []
        """Those that are archives: a digest is promised of each, but of none of the files in it."""
        self._what = f"oci://{found['host']}/{found['repo']}"
        wanted = found["digest"] or found["tag"] or "latest"
        top, digest = self._manifest(wanted)
        files, is_image = self._files(self._chosen(top))
        self.mountable = is_image and not credentials.registry_login
        """Nodes could pull it, too: of logins they understand docker configurations alone."""
        path = found["path"] or _folder_of_model(files)
        self.pinned = f"{self._what}@{digest}" + (f"/{path}" if path else "") + (f"?{query}" if query else "")
        super().__init__(client, *inside(files, path, self._what))

    def auth(self) -> httpx.Auth | None:
        """Return the token that the registry gave for this repository."""
        return HeaderAuth(self._authorization) if self._authorization else None

    def renew(self, answer: httpx.Response) -> bool:
        """Return whether the registry names a way to be known to it, and that way was gone."""
        challenge = answer.headers.get("www-authenticate", "")
        scheme, _, rest = challenge.partition(" ")
        said = dict(_CHALLENGE.findall(rest))
        if scheme.lower() == "basic" and self._login and "authorization" not in answer.request.headers:
            self._authorization = f"Basic {base64.b64encode(':'.join(self._login).encode()).decode()}"
            return True
        if scheme.lower() != "bearer" or "realm" not in said:
            return False
        query = {"scope": said.get("scope") or f"repository:{self._repo}:pull"}
        query |= {"service": said["service"]} if "service" in said else {}
        token = asked(
            self._client, said["realm"], params=query, auth=httpx.BasicAuth(*self._login) if self._login else None
        )
        if not token.is_success:
            return False
        body = token.json()
        self._authorization = f"Bearer {body.get('token') or body.get('access_token') or ''}"
        return True

    def refused(self, name: str, answer: httpx.Response) -> ArtifactError:
        """Return what the registry means; what may not be read is often answered as if it were not there."""
        mend = f"{WAY_OUT} with `.dockerconfigjson`, or REGISTRY_USERNAME and REGISTRY_PASSWORD."
        if self._login:
            mend = "The login in `spec.sources.secret` may not pull it: put one there that may."
        return not_given(self._what, name, answer, mend) or super().refused(f"{self._what}: {name}", answer)

    def check(self, folder: Path, names: Iterable[str]) -> None:
        """Hold layers to their digests: what was fetched of one is read here, the rest of it from the registry."""
        for layer in self._layers:
            parts = sorted((self._spans[name].start, name) for name in names if self._spans[name].url == layer.url)
            if parts and (found := self._digest_of(layer, folder, parts)) != layer.sha256:
                raise ArtifactError(
                    "DigestMismatch",
                    f"{self._what}: the layer that {parts[0][1]} lies in has {found}, not {layer.sha256} as asked for.",
                )

    def _digest_of(self, layer: Span, folder: Path, parts: Iterable[tuple[int, str]]) -> str:
        digest, at = hashlib.sha256(), 0
        for start, name in parts:
            for piece in self._pieces(layer, at, start):
                digest.update(piece)
            with (folder / name).open("rb") as file:
                while chunk := file.read(HASH_CHUNK_BYTES):
                    digest.update(chunk)
            at = start + self._spans[name].size
        for piece in self._pieces(layer, at, layer.size):
            digest.update(piece)
        return f"sha256:{digest.hexdigest()}"

    def _pieces(self, layer: Span, start: int, end: int) -> Iterator[bytes]:
        for at in range(start, end, HASH_CHUNK_BYTES):
            yield self.read_span(layer, "a layer", at, min(HASH_CHUNK_BYTES, end - at))

    def _manifest(self, reference: str) -> tuple[dict[str, Any], str]:
        """Return a manifest and its digest; one that was asked for by digest is held to it."""
        headers = {"Accept": ", ".join((*INDEXES, *MANIFESTS))}
        url = f"{self._base}/manifests/{reference}"
        try:
            with self._answered(url, headers) as answer:
                if not answer.is_success:
                    raise self.refused(f"'{reference}'", answer)
                raw = answer.read()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise unreachable(url, error) from error
        if len(raw) > MAX_MANIFEST_BYTES:
            raise unsupported(f"{self._what}: its manifest has {len(raw)} bytes; {MAX_MANIFEST_BYTES} are read.")
        digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        if reference.startswith("sha256:") and reference != digest:
            raise ArtifactError("DigestMismatch", f"{self._what}@{reference} answered bytes with the digest {digest}.")
        try:
            found = json.loads(raw)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise malformed(f"{self._what}: its manifest is no JSON object.")
        return found, digest

    def _chosen(self, top: dict[str, Any]) -> dict[str, Any]:
        """Return the manifest itself, or of an index the one for Linux: a model is the same on every processor."""
        listed = top.get("manifests")
        if not isinstance(listed, list):
            return top
        usable = [each for each in listed if (each.get("platform") or {}).get("os", "linux") == "linux"]
        if not usable:
            raise unsupported(f"{self._what} lists no manifest for Linux.")
        return self._manifest(str(usable[0]["digest"]))[0]

    def _files(self, manifest: Mapping[str, Any]) -> tuple[dict[str, Span], bool]:
        """Return the files of all layers, and whether a container runtime could mount them."""
        layers = [each for each in manifest.get("layers") or () if isinstance(each, dict)]
        found: dict[str, Span] = {}
        for layer in layers:
            kind, span = str(layer.get("mediaType", "")), self._blob(layer)
            name = next((layer["annotations"][key] for key in NAMED_BY if key in (layer.get("annotations") or {})), "")
            if "gzip" in kind or "zstd" in kind:
                raise unsupported(
                    f"{self._what}: its layers are compressed ({kind}), so headers cannot be read by ranges. Push it "
                    "uncompressed, for weights hardly shrink: `oras push` of its files, or `docker buildx build` with "
                    "`--output type=registry,compression=uncompressed,force-compression=true`."
                )
            if kind.startswith(IMAGE_LAYERS) or kind.endswith("tar"):
                _lay(found, self._members(span))
                self._layers.append(span)
            elif name:
                found[_plain(str(name))] = span
        if not found:
            raise unsupported(f"{self._what} holds no files: neither layers of an image nor blobs with a name.")
        return found, bool(layers) and all(str(each.get("mediaType", "")).startswith(IMAGE_LAYERS) for each in layers)

    def _blob(self, layer: Mapping[str, Any]) -> Span:
        digest = str(layer.get("digest", ""))
        return Span(f"{self._base}/blobs/{digest}", int(layer.get("size", 0)), sha256=digest)

    def _members(self, layer: Span) -> dict[str, Span]:
        """Return an uncompressed layer's files as ranges of it, by their headers alone."""
        ranges = _Ranges(lambda offset, length: self.read_span(layer, "a layer", offset, length), layer.size)
        found: dict[str, Span] = {}
        try:
            with tarfile.open(fileobj=io.BufferedReader(ranges, TAR_BUFFER_BYTES), mode="r:") as tar:
                for member in tar:
                    if member.isfile():
                        found[_plain(member.name)] = Span(layer.url, member.size, member.offset_data)
                    if len(found) > MAX_MEMBERS:
                        raise unsupported(f"{self._what}: a layer holds more than {MAX_MEMBERS} files.")
        except tarfile.TarError as error:
            raise malformed(f"{self._what}: a layer is no tar archive: {error}.") from None
        return found


class _Ranges(io.RawIOBase):
    """A layer as a file that is read by ranges."""

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        self._read, self._size, self._at = read, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._read(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _lay(found: dict[str, Span], layer: Mapping[str, Span]) -> None:
    """Lay a layer over those below it: it may hide files of theirs."""
    for name in layer:
        if basename(name).startswith(".wh."):
            hidden = f"{dirname(name)}/{basename(name).removeprefix('.wh.')}".lstrip("/")
            for below in [each for each in found if each == hidden or each.startswith(f"{hidden}/")]:
                del found[below]
    found.update({name: span for name, span in layer.items() if not basename(name).startswith(".wh.")})


def _folder_of_model(files: Mapping[str, Span]) -> str:
    """Return the folder that holds a model where only one does; '' is the root, as in most."""
    marks = {dirname(name) for name in files if basename(name) in ("config.json", "adapter_config.json")}
    marks |= {dirname(name) for name in files if name.endswith((".gguf", ".safetensors"))}
    return next(iter(marks)) if len(marks) == 1 else ""


def _plain(name: str) -> str:
    """Return a file's path below the root; one that leads out of it is not believed."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise malformed(f"The file name {name[:80]!r} leads out of the artifact.")
    return "/".join(parts)


def _at_docker_hub(host: str, repo: str) -> tuple[str, str]:
    if host not in DOCKER_HUB:
        return host, repo
    return "registry-1.docker.io", repo if "/" in repo else f"library/{repo}"
