"""ResourceClaimTemplates: how each pod of a release claims its GPUs where drivers publish devices."""

from collections.abc import Mapping
from typing import Any

from . import Manifest, Owner


def gpus(owner: Owner, revision: str, claim: Mapping[str, Any]) -> Manifest:
    """Return the template of a release's claims; it never changes, for a claim's spec cannot."""
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": owner.metadata(revision, revision=revision),
        "spec": {"spec": dict(claim)},
    }
