"""Builds manifests; one module per kind; pure.

Here in the package itself: what every manifest shares, so that the modules need not know each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bitshift_core.api.base import API_VERSION
from bitshift_core.api.v1alpha1 import CaBundle
from bitshift_core.rollout import names

Manifest = dict[str, Any]
USER_ID = 65532
RESTRICTED_POD: Mapping[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": USER_ID,
    "runAsGroup": USER_ID,
    "fsGroup": USER_ID,
    "seccompProfile": {"type": "RuntimeDefault"},
}
RESTRICTED_CONTAINER: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}

CREDENTIALS: Mapping[str, str] = {
    "HF_TOKEN": "HF_TOKEN",
    "AWS_ACCESS_KEY_ID": "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY": "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN": "AWS_SESSION_TOKEN",
    "AWS_REGION": "AWS_REGION",
    "REGISTRY_USERNAME": "REGISTRY_USERNAME",
    "REGISTRY_PASSWORD": "REGISTRY_PASSWORD",
    ".dockerconfigjson": "REGISTRY_CONFIG_JSON",
    "HTTP_TOKEN": "HTTP_TOKEN",
}
"""Keys of a Secret of `sources.secret`, and the variable that each becomes."""
CA_FILE_VARIABLE, TRUSTED = "BITSHIFT_CA_FILE", "/trusted"


@dataclass(frozen=True)
class Owner:
    """The QuantizedModel that everything of ours belongs to."""

    name: str
    namespace: str
    uid: str

    def reference(self) -> Manifest:
        """Return the owner reference by which the API server cleans up after it."""
        return {"apiVersion": API_VERSION, "kind": "QuantizedModel", "name": self.name, "uid": self.uid}

    def metadata(self, name: str, **labels: str) -> Manifest:
        """Return the metadata of an object of ours."""
        return {
            "name": name,
            "namespace": self.namespace,
            "labels": names.labels(self.name, **labels),
            "ownerReferences": [self.reference()],
        }


def scratch(directories: tuple[str, ...]) -> tuple[list[Manifest], list[Manifest]]:
    """Return volumes and mounts that make directories writable under a read-only root."""
    volumes, mounts = [], []
    for position, path in enumerate(directories):
        medium: Manifest = {"medium": "Memory"} if path == "/dev/shm" else {}
        volumes.append({"name": f"scratch-{position}", "emptyDir": medium})
        mounts.append({"name": f"scratch-{position}", "mountPath": path})
    return volumes, mounts


@dataclass(frozen=True)
class ArtifactAccess:
    """How the containers that read or fetch artifacts reach them."""

    secret: str = ""
    """The Secret that may hold credentials; only its known keys are taken, and none must be there."""
    endpoints: Mapping[str, str] = field(default_factory=dict)
    """Variables that name another Hub or another store than the usual one."""
    ca_bundle: CaBundle | None = None

    def environment(self) -> list[Manifest]:
        """Return the variables; credentials by reference alone."""
        trusted = {CA_FILE_VARIABLE: f"{TRUSTED}/ca.crt"} if self.ca_bundle else {}
        literal: list[Manifest] = [
            {"name": name, "value": value} for name, value in {**self.endpoints, **trusted}.items()
        ]
        keys = CREDENTIALS.items() if self.secret else ()
        return literal + [
            {
                "name": variable,
                "valueFrom": {"secretKeyRef": {"name": self.secret, "key": key, "optional": True}},
            }
            for key, variable in keys
        ]

    def mounts(self) -> list[Manifest]:
        """Return the mount of the certificates, if any are named."""
        return [{"name": "trusted", "mountPath": TRUSTED, "readOnly": True}] if self.ca_bundle else []

    def volumes(self) -> list[Manifest]:
        """Return the volume of the certificates; the container itself says what is missing in it."""
        if not self.ca_bundle:
            return []
        items = [{"key": self.ca_bundle.key, "path": "ca.crt"}]
        source = {"name": self.ca_bundle.config_map, "items": items, "optional": True}
        return [{"name": "trusted", "configMap": source}]


OPEN_ACCESS = ArtifactAccess()
"""Nothing but what anybody may read."""


def volume(name: str, claim: str, *, read_only: bool = True) -> Manifest:
    """Return the volume that an artifact lies on: a claim, or scratch space that it is fetched into."""
    if not claim:
        return {"name": name, "emptyDir": {}}
    source: Manifest = {"claimName": claim} | ({"readOnly": True} if read_only else {})
    return {"name": name, "persistentVolumeClaim": source}
