"""What of the cluster is kept in memory, and in which form.

Here: the cached kinds, their projections, their reflectors. Not here: how a cache works (`watch`), who reads it
(`observe`), whom a change wakes (`controller.interests`).

Kept are what we own and what decides about room or about users' routes. Not kept: ConfigMaps (facts and scores are
large) and Secrets; they are read when they are needed.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from bitshift_core.rollout import names

from .client import Kube, Manifest
from .kinds import (
    DEPLOYMENT,
    HTTP_ROUTE,
    JOB,
    LEADER_WORKER_SET,
    MODEL_REVISION,
    NODE,
    POD,
    RESOURCE_CLAIM,
    RESOURCE_SLICE,
    SERVICE,
    Key,
    Kind,
)
from .watch import Cache, Change, Reflector, slim

OURS = f"{names.MANAGED_BY}={names.MANAGER}"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
NEWS = Callable[[Kind, Change[Manifest]], None]


class Caches:
    """One cache for each kind; all hold manifests, foreign ones cut down to what is read of them."""

    def __init__(self, on_change: NEWS | None = None) -> None:
        """`on_change` hears of everything that a projection shows."""
        self.revisions = self._cache(MODEL_REVISION, slim, on_change)
        self.deployments = self._cache(DEPLOYMENT, deployment, on_change)
        self.groups = self._cache(LEADER_WORKER_SET, slim, on_change)
        self.pods = self._cache(POD, pod, on_change)
        self.jobs = self._cache(JOB, slim, on_change)
        self.services = self._cache(SERVICE, without_last_applied, on_change)
        self.routes = self._cache(HTTP_ROUTE, without_last_applied, on_change)
        self.nodes = self._cache(NODE, node, on_change)
        self.resource_slices = self._cache(RESOURCE_SLICE, slim, on_change)
        self.resource_claims = self._cache(RESOURCE_CLAIM, resource_claim, on_change)

    def workloads(self, namespace: str = "") -> list[Manifest]:
        """Return everything that makes pods to serve from, of all namespaces or of one."""
        return [*self.deployments.list(namespace), *self.groups.list(namespace)]

    def workloads_of(self, model: Key) -> list[Manifest]:
        """Return what makes the pods of one model."""
        return [*self.deployments.by_owner(model), *self.groups.by_owner(model)]

    @staticmethod
    def _cache(kind: Kind, project: Callable[[Manifest], Manifest | None], on_change: NEWS | None) -> Cache[Manifest]:
        return Cache(project, on_change=partial(on_change, kind) if on_change else None)

    def reflectors(self, kube: Kube, namespaces: Sequence[str] = ()) -> Iterator[Reflector]:
        """Yield what feeds the caches. Nodes and pods are always those of the whole cluster: room is shared by all."""
        yield Reflector(kube, NODE, self.nodes)
        yield Reflector(kube, POD, self.pods)
        yield Reflector(kube, RESOURCE_SLICE, self.resource_slices, optional=True)
        yield Reflector(kube, RESOURCE_CLAIM, self.resource_claims, optional=True)
        for namespace in namespaces or ("",):
            yield Reflector(kube, MODEL_REVISION, self.revisions, namespace=namespace)
            yield Reflector(kube, DEPLOYMENT, self.deployments, namespace=namespace)
            yield Reflector(kube, LEADER_WORKER_SET, self.groups, namespace=namespace, optional=True)
            yield Reflector(kube, JOB, self.jobs, namespace=namespace, label_selector=OURS)
            yield Reflector(kube, SERVICE, self.services, namespace=namespace)
            yield Reflector(kube, HTTP_ROUTE, self.routes, namespace=namespace, optional=True)


def without_last_applied(manifest: Manifest) -> Manifest:
    """Return an object without what `kubectl apply` remembers of itself."""
    metadata = slim(manifest)["metadata"]
    if LAST_APPLIED in (metadata.get("annotations") or {}):
        kept = {key: value for key, value in metadata["annotations"].items() if key != LAST_APPLIED}
        metadata = metadata | {"annotations": kept}
    return manifest | {"metadata": metadata}


def is_ours(manifest: Manifest) -> bool:
    """Return whether we made an object."""
    return bool((manifest["metadata"].get("labels") or {}).get(names.MANAGED_BY) == names.MANAGER)


def deployment(manifest: Manifest) -> Manifest:
    """Return a Deployment of ours as it is, of a foreign one its size and state; its template is read when adopted."""
    if is_ours(manifest):
        return slim(manifest)
    some, noted = _some(manifest), _of(manifest["metadata"].get("annotations"), names.LENT)
    return some | {
        "metadata": some["metadata"] | {"annotations": noted},
        "spec": _of(manifest.get("spec"), "replicas", "selector", "paused"),
        "status": _of(manifest.get("status"), "replicas", "readyReplicas", "availableReplicas", "observedGeneration"),
    }


def pod(manifest: Manifest) -> Manifest | None:
    """Return a pod of ours as it is, of a foreign one what it takes from its node; None once it takes nothing."""
    if is_ours(manifest):
        return slim(manifest)
    spec, status = manifest.get("spec") or {}, manifest.get("status") or {}
    if status.get("phase") in ("Succeeded", "Failed"):
        return None
    conditions = [_of(condition, "type", "status") for condition in status.get("conditions") or ()]
    where = () if spec.get("nodeName") else ("nodeSelector", "affinity", "tolerations", "schedulingGates")
    return _some(manifest) | {
        "spec": _of(spec, "nodeName", "overhead", "resources", "resourceClaims", "priority", *where)
        | {
            "containers": [_of(each, "name", "resources", "ports") for each in spec.get("containers") or ()],
            "initContainers": [
                _of(each, "name", "resources", "restartPolicy") for each in spec.get("initContainers") or ()
            ],
        },
        "status": _of(status, "phase", "podIP") | {"conditions": conditions},
    }


def node(manifest: Manifest) -> Manifest:
    """Return what a node offers and whether it may be used; its heartbeats and images are no news."""
    status = manifest.get("status") or {}
    conditions = [_of(condition, "type", "status", "reason") for condition in status.get("conditions") or ()]
    return _some(manifest) | {
        "spec": _of(manifest.get("spec"), "taints", "unschedulable"),
        "status": _of(status, "allocatable", "capacity", "addresses")
        | {"conditions": conditions}
        | {"nodeInfo": _of(status.get("nodeInfo"), "containerRuntimeVersion", "kubeletVersion")},
    }


def resource_claim(manifest: Manifest) -> Manifest:
    """Return which devices a claim holds; what it asked for is its own business."""
    return _some(manifest) | {"status": _of(manifest.get("status"), "allocation")}


def _some(manifest: Manifest) -> Manifest:
    keys = ("name", "namespace", "uid", "labels", "generation", "ownerReferences")
    metadata = _of(manifest["metadata"], *keys, "creationTimestamp", "deletionTimestamp")
    return {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": metadata}


def _of(mapping: Manifest | None, *keys: str) -> dict[str, Any]:
    return {key: mapping[key] for key in keys if key in mapping} if mapping else {}
