"""An OCI registry: the one that the distribution project keeps, with one login.

Here: its start, and pushing by the distribution protocol: models as ORAS and ModelPack lay them (a blob for each file),
and images that lie in a folder. Not here: making such images (`images`).
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import yaml

from e2e.cluster import Cluster
from e2e.cluster.processes import free_port
from e2e.stores.servers import GUESSED, Put, Trust, flip_last_byte, running

USER, PASSWORD = "e2e", "pulls-models"
HTPASSWD = f"{USER}:$2b$04$Y.MVa81X2sOhu/T4c1GdKOrysrjCZsudAXUsn8.qZxMuSxHuCEm66\n"
"""The registry takes bcrypt alone, which Python does not bring."""
FILE, TAG = "model.gguf", "live"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG, WEIGHTS = "application/vnd.oci.empty.v1+json", "application/vnd.cncf.model.weight.v1.raw"
NOTHING = b"{}"


@dataclass(frozen=True)
class Registry:
    """One registry; a place is a repository with one tag that moves."""

    host: str
    folder: Path
    trust: Trust
    secret: Mapping[str, str] = field(
        default_factory=lambda: {"REGISTRY_USERNAME": USER, "REGISTRY_PASSWORD": PASSWORD}
    )
    wrong: Mapping[str, str] = field(default_factory=lambda: {"REGISTRY_USERNAME": USER, "REGISTRY_PASSWORD": GUESSED})

    @classmethod
    @contextmanager
    def started(cls, cluster: Cluster, folder: Path, host: str, trust: Trust) -> Iterator["Registry"]:
        """Answer until the end of the block."""
        found = cls(f"{host}:{free_port(host)}", folder, trust)
        folder.mkdir(parents=True)
        (folder / "htpasswd").write_text(HTPASSWD)
        (folder / "config.yaml").write_text(yaml.safe_dump(found.configuration()))
        quiet = ("env", "OTEL_TRACES_EXPORTER=none")  # else it tells its log each second that nobody collects traces
        argv = [*quiet, cluster.paths.bin / "registry", "serve", folder / "config.yaml"]
        with running(cluster, "registry", argv, f"https://{found.host}/v2/", trust):
            yield found

    @property
    def docker_config(self) -> str:
        """The login as docker keeps it, and as Secrets of images do."""
        return json.dumps({"auths": {self.host: {"username": USER, "password": PASSWORD}}})

    def configuration(self) -> dict[str, object]:
        """Return what the registry is told."""
        tls = {"certificate": str(self.trust.server), "key": str(self.trust.server)}
        return {
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "blobs")}},
            "http": {"addr": self.host, "tls": tls},
            "auth": {"htpasswd": {"realm": "e2e", "path": str(self.folder / "htpasswd")}},
        }

    def put(self, place: str, file: Path) -> Put:
        """Push a model as one blob under a tag that may have named another one."""
        repo = f"models/{place}"
        with self.trust.client(auth=(USER, PASSWORD)) as client:
            layer = self._blob(client, repo, file) | {"mediaType": WEIGHTS}
            layer |= {"annotations": {"org.opencontainers.image.title": FILE}}
            config = self._blob(client, repo, NOTHING) | {"mediaType": CONFIG}
            manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}
            return self._tag(client, repo, json.dumps(manifest))

    def push(self, repo: str, folder: Path) -> Put:
        """Push an image that lies in a folder as tools write it: `manifest.json`, and blobs called by their digests."""
        raw = (folder / "manifest.json").read_text()
        manifest = json.loads(raw)
        with self.trust.client(auth=(USER, PASSWORD)) as client:
            for each in (manifest["config"], *manifest["layers"]):
                self._blob(client, repo, folder / each["digest"].removeprefix("sha256:"))
            return self._tag(client, repo, raw)

    def damage(self, place: str) -> None:
        """Change the last byte of the blob that the tag names."""
        with self.trust.client(auth=(USER, PASSWORD)) as client:
            url = f"https://{self.host}/v2/models/{place}/manifests/{TAG}"
            (layer,) = client.get(url, headers={"Accept": MANIFEST}).json()["layers"]
        flip_last_byte(self.file_of(layer["digest"]))

    def file_of(self, digest: str) -> Path:
        """Return where the registry keeps a blob."""
        plain = digest.removeprefix("sha256:")
        return self.folder / "blobs" / "docker/registry/v2/blobs/sha256" / plain[:2] / plain / "data"

    def _tag(self, client: httpx.Client, repo: str, manifest: str) -> Put:
        url = f"https://{self.host}/v2/{repo}/manifests/{TAG}"
        answer = client.put(url, content=manifest, headers={"Content-Type": MANIFEST}).raise_for_status()
        address = f"oci://{self.host}/{repo}"
        return Put(f"{address}:{TAG}", f"{address}@{answer.headers['Docker-Content-Digest']}")

    def _blob(self, client: httpx.Client, repo: str, content: Path | bytes) -> dict[str, object]:
        """Upload a blob where it is not there yet, and return how a manifest names it."""
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        described = {"digest": _digest(content), "size": size}
        blobs = f"https://{self.host}/v2/{repo}/blobs"
        if client.head(f"{blobs}/{described['digest']}").is_success:
            return described
        begun = client.post(f"{blobs}/uploads/").raise_for_status()
        url = httpx.URL(begun.headers["Location"]).copy_add_param("digest", str(described["digest"]))
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        client.put(url, content=_pieces(content), headers=headers).raise_for_status()
        return described


def _digest(content: Path | bytes) -> str:
    if isinstance(content, bytes):
        return f"sha256:{hashlib.sha256(content).hexdigest()}"
    with content.open("rb") as opened:
        return f"sha256:{hashlib.file_digest(opened, 'sha256').hexdigest()}"


def _pieces(content: Path | bytes) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as opened:
        while piece := opened.read(1 << 20):
            yield piece
