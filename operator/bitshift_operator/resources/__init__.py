"""Builds manifests; one module per kind; pure.

Here in the package itself: what every manifest shares, so that the modules need not know each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bitshift_core.api.base import API_VERSION
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


def model_volume(uri: str, claim: str | None) -> Manifest:
    """Return the volume that an artifact lies in: its claim, read-only, or scratch space that it is fetched into."""
    if claim:
        return {"name": "models", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
    return {"name": "models", "emptyDir": {}}
