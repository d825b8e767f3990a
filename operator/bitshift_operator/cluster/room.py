"""Caches → nodes with what is free on them: pods that run, devices that are claimed, GPUs that others were promised.

Here: joining what the caches hold. Not here: what one node offers (`fit.placement`), who may go there (`fit.plan`).
"""

from collections.abc import Sequence
from typing import Any

from bitshift_core.fit.devices import claimed_offers
from bitshift_core.fit.placement import Node, node_from_manifests
from bitshift_core.fit.promises import promises_of
from bitshift_core.fit.room import without_promised
from bitshift_core.rollout import names
from bitshift_core.rollout.snapshot import Snapshot

from .caches import Caches, is_ours
from .client import Manifest
from .kernels import load_kernels, load_losses


def room(caches: Caches, read: Snapshot) -> dict[str, Any]:
    """Return the nodes as they are, as they would be without the pods of each release, and what is known of kernels.

    What others were promised is taken: a release of another model that was started a moment ago has no node yet.
    """
    pods = caches.pods.list()
    without = {name: _nodes(caches, [pod for pod in pods if not _is_of(pod, name)], read) for name in read.deployments}
    infos = [(each.get("status") or {}).get("nodeInfo") or {} for each in caches.nodes.list()]
    known = {"kernels": load_kernels(), "losses": load_losses(), "node_infos": infos}
    return {"nodes": _nodes(caches, pods, read), "nodes_without_ours": without} | known


def _nodes(caches: Caches, pods: Sequence[Manifest], read: Snapshot) -> list[Node]:
    nodes = _counted(caches, pods)
    others = [pod for pod in pods if not _belongs_to(pod, read)]
    theirs = [each for each in caches.deployments.list() if is_ours(each) and not _belongs_to(each, read)]
    return without_promised(nodes, promises_of(others, theirs, nodes))


def _counted(caches: Caches, pods: Sequence[Manifest]) -> list[Node]:
    by_node: dict[str, list[Manifest]] = {}
    for pod in pods:
        by_node.setdefault(pod.get("spec", {}).get("nodeName") or "", []).append(pod)
    claimed = claimed_offers(caches.resource_slices.list(), caches.resource_claims.list())
    return [
        node_from_manifests(node, by_node.get(node["metadata"]["name"], []), claimed.get(node["metadata"]["name"], ()))
        for node in caches.nodes.list()
    ]


def _belongs_to(manifest: Manifest, read: Snapshot) -> bool:
    metadata = manifest["metadata"]
    model = (metadata.get("labels") or {}).get(names.MODEL)
    return bool(model == read.name and metadata.get("namespace", "") == read.namespace)


def _is_of(pod: Manifest, revision: str) -> bool:
    return (pod["metadata"].get("labels") or {}).get(names.REVISION) == revision
