"""Where the cluster keeps things, and the versions and addresses that it is made of."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

KUBERNETES_VERSION = "1.35.4"
CONTAINERD_VERSION = "2.2.9"  # Debian 12 has 1.6, which mounts no images
ETCD_VERSION = "3.6.5"
COREDNS_VERSION = "1.13.1"
HELM_VERSION = "3.17.3.post1"  # of the Python package that ships it
TRAEFIK_VERSION = "3.7.15"
GATEWAY_API_VERSION = "1.7.0"
KWOK_VERSION = "0.8.0"
REGISTRY_VERSION = "3.1.2"
VERSITYGW_VERSION = "1.8.0"
PROMETHEUS_VERSION = "0.315.0"  # of the Go module, which is release 3.15; Debian's build cannot discover pods
OLDEST_GO = (1, 26)

NODE = "node-1"
# Outside the service range, because kube-proxy drops unknown addresses in it; not loopback, because pods must reach it.
NODE_ADDRESS = "10.95.0.1"
SERVICE_RANGE = "10.96.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"
DNS_SERVICE_ADDRESS = "10.96.0.10"
POD_RANGE = "10.244.0.0/24"
GATEWAY_PORT = 8000
PROMETHEUS_NODE_PORT = 30090

LONGEST_STATE_PATH = 70  # a Unix socket's path may have 107 characters, and the socket's own name comes after this


@dataclass(frozen=True)
class Paths:
    """Every folder that the cluster writes to; the first two outlive it and make the next start fast."""

    cache: Path
    state: Path

    @classmethod
    def from_environment(cls) -> Paths:
        """Return the paths under the user's cache folder; `BITSHIFT_STATE` moves the running cluster elsewhere."""
        cache = Path(os.environ.get("BITSHIFT_CACHE") or Path.home() / ".cache" / "bitshift")
        return cls(cache=cache, state=Path(os.environ.get("BITSHIFT_STATE") or cache / "cluster").absolute())

    @property
    def bin(self) -> Path:
        """Binaries built from Go modules or taken from Python packages."""
        return self.cache / "bin"

    @property
    def images(self) -> Path:
        """Image archives, each named after the hash of what it was made from."""
        return self.cache / "images"

    @property
    def models(self) -> Path:
        """Model files that pods read through a volume of the node."""
        return self.cache / "models"

    @property
    def tools(self) -> Path:
        """A Python environment of our own: it brings pip, and packages that ship a binary."""
        return self.cache / "tools"

    @property
    def crds(self) -> Path:
        """The Gateway API's resource definitions."""
        return self.cache / "crds" / f"gateway-api-{GATEWAY_API_VERSION}"

    @property
    def log(self) -> Path:
        """What each process and each step wrote."""
        return self.state / "log"

    @property
    def pki(self) -> Path:
        """The certificate authority and what it issued."""
        return self.state / "pki"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's way in."""
        return self.state / "kubeconfig"

    @property
    def registries(self) -> Path:
        """How containerd reaches registries, a folder for each; none is known unless a test makes one."""
        return self.state / "registries"

    @property
    def containerd_socket(self) -> Path:
        """Where containerd listens; its shims carry this path in their command line."""
        return self.state / "containerd.sock"
