"""ConfigMaps: facts, gate configurations, scores, verdicts, live evidence."""

from collections.abc import Mapping

from . import Manifest, Owner


def config_map(
    owner: Owner, name: str, data: Mapping[str, str], annotations: Mapping[str, str] | None = None
) -> Manifest:
    """Return a ConfigMap of ours."""
    metadata = owner.metadata(name)
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(data)}


def owned_too(owner: Owner, name: str) -> Manifest:
    """Return what adds an owner to a ConfigMap of another model's, and nothing else."""
    metadata = {"name": name, "namespace": owner.namespace, "ownerReferences": [owner.reference()]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
