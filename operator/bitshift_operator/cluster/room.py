"""Caches → nodes with what is free on them: pods that run, devices that are claimed, GPUs that others were promised.

Here: joining what the caches hold, counting a node anew only when something of it changed. Not here: what one node
offers (`fit.placement`), who may go there (`fit.plan`).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitshift_core.fit.devices import claimed_offers
from bitshift_core.fit.offers import Offer
from bitshift_core.fit.placement import Node, node_from_manifests
from bitshift_core.fit.promises import promises_of
from bitshift_core.fit.room import without_promised
from bitshift_core.rollout import names
from bitshift_core.rollout.snapshot import Snapshot

from .caches import Caches, is_ours
from .client import Manifest
from .kernels import load_kernels, load_losses

ByNode = Mapping[str, list[Manifest]]
Claimed = Mapping[str, tuple[Offer, ...]]


@dataclass(frozen=True)
class _Counted:
    """A node, and the very objects that it was counted from."""

    manifest: Manifest
    pods: list[Manifest]
    claimed: tuple[Offer, ...]
    node: Node

    def is_of(self, manifest: Manifest, pods: list[Manifest], claimed: tuple[Offer, ...]) -> bool:
        """Say whether nothing changed: caches put a new object in the place of one that did."""
        same = manifest is self.manifest and len(pods) == len(self.pods) and claimed == self.claimed
        return same and all(now is before for now, before in zip(pods, self.pods, strict=True))


class Room:
    """The nodes of the cluster, by the caches; remembers only what it would count again."""

    def __init__(self, caches: Caches) -> None:
        self._caches = caches
        self._counted: dict[str, _Counted] = {}

    def beside(self, read: Snapshot) -> dict[str, Any]:
        """Return the nodes as they are, those without the pods of each release, and what is known of kernels.

        What others were promised is taken: a release of another model that was started a moment ago has no node yet.
        """
        pods, manifests = self._caches.pods.list(), self._caches.nodes.list()
        by_node: defaultdict[str, list[Manifest]] = defaultdict(list)
        for pod in pods:
            by_node[pod.get("spec", {}).get("nodeName") or ""].append(pod)
        claimed = claimed_offers(self._caches.resource_slices.list(), self._caches.resource_claims.list())
        nodes = self._count(manifests, by_node, claimed)
        others = [pod for pod in pods if not _belongs_to(pod, read)]
        theirs = [each for each in self._caches.workloads() if is_ours(each) and not _belongs_to(each, read)]
        promises = promises_of(others, theirs, nodes)
        without = {
            name: without_promised(_without(nodes, manifests, by_node, claimed, name), promises)
            for name in read.workloads
        }
        return {
            "nodes": without_promised(nodes, promises),
            "nodes_without_ours": without,
            "kernels": load_kernels(),
            "losses": load_losses(),
            "node_infos": [(each.get("status") or {}).get("nodeInfo") or {} for each in manifests],
        }

    def _count(self, manifests: Sequence[Manifest], by_node: ByNode, claimed: Claimed) -> list[Node]:
        counted: dict[str, _Counted] = {}
        for manifest in manifests:
            name = manifest["metadata"]["name"]
            pods, devices = by_node.get(name, []), claimed.get(name, ())
            before = self._counted.get(name)
            if before is None or not before.is_of(manifest, pods, devices):
                before = _Counted(manifest, pods, devices, node_from_manifests(manifest, pods, devices))
            counted[name] = before
        self._counted = counted
        return [each.node for each in counted.values()]


def _without(
    nodes: Sequence[Node], manifests: Sequence[Manifest], by_node: ByNode, claimed: Claimed, revision: str
) -> list[Node]:
    """Return the nodes as they would be without the pods of one release: only those that hold any are counted again."""
    found = []
    for node, manifest in zip(nodes, manifests, strict=True):
        pods = by_node.get(node.name, [])
        others = [pod for pod in pods if not _is_of(pod, revision)]
        unchanged = len(others) == len(pods)
        found.append(node if unchanged else node_from_manifests(manifest, others, claimed.get(node.name, ())))
    return found


def _belongs_to(manifest: Manifest, read: Snapshot) -> bool:
    metadata = manifest["metadata"]
    model = (metadata.get("labels") or {}).get(names.MODEL)
    return bool(model == read.name and metadata.get("namespace", "") == read.namespace)


def _is_of(pod: Manifest, revision: str) -> bool:
    return (pod["metadata"].get("labels") or {}).get(names.REVISION) == revision
