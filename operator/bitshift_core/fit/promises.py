"""GPUs that somebody was promised and that no node counts yet: pods without a node, and pods that are still to be made.

Here: pods and workloads → `Promise`, and where a pod may go. Not here: what is left for others (`room`).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .affinity import admits
from .offers import is_gpu
from .placement import FINISHED, Node, are_tolerated, whole_request
from .workloads import group_of, is_worker, templates_of

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Promise:
    """The GPUs of one pod that has no node yet."""

    pod: str
    """`namespace/name`."""
    resource: str
    gpus: int
    node_names: frozenset[str]
    """Where it may go."""


def promises_of(pods: Sequence[Manifest], workloads: Iterable[Manifest], nodes: Sequence[Node]) -> list[Promise]:
    """Return what pods without a node wait for, and what workloads will ask for once their pods are made."""
    offered = {offer.resource for node in nodes for offer in node.offers}
    where: dict[str, frozenset[str]] = {}
    found = []
    for name, pod in (*_waiting(pods), *_missing(workloads, pods)):
        for resource in offered:
            if not is_gpu(resource) or not (gpus := whole_request(pod, resource)):
                continue
            spec = pod["spec"]
            key = repr((spec.get("nodeSelector"), spec.get("affinity"), spec.get("tolerations")))
            if key not in where:
                where[key] = frozenset(node.name for node in nodes if may_go(spec, node))
            found.append(Promise(name, resource, gpus, where[key]))
    return found


def _waiting(pods: Iterable[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Yield pods that the scheduler may place any moment; those that are gated or going are not among them."""
    for pod in pods:
        spec, metadata = pod.get("spec", {}), pod["metadata"]
        is_over = pod.get("status", {}).get("phase") in FINISHED or metadata.get("deletionTimestamp")
        if not spec.get("nodeName") and not is_over and not spec.get("schedulingGates"):
            yield f"{metadata.get('namespace', '')}/{metadata['name']}".lstrip("/"), pod


def _missing(workloads: Iterable[Manifest], pods: Sequence[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Yield a pod for each that a workload asks for and that its controller has not made yet."""
    helping = Counter((pod["metadata"].get("namespace", ""), group_of(pod)[0]) for pod in pods if is_worker(pod))
    for workload in workloads:
        metadata, status = workload["metadata"], workload.get("status") or {}
        namespace, replicas = metadata.get("namespace", ""), int(workload["spec"].get("replicas", 1))
        first, *workers = templates_of(workload)
        made = [(first, int(status.get("replicas", 0)), replicas)]
        if workers:  # they are made after the pod that they compute for, and no status counts them
            made.append((workers[0], helping[namespace, metadata["name"]], replicas * len(workers)))
        for template, there, wanted in made:
            for index in range(there, wanted):
                name = f"{namespace}/{metadata['name']}-{index}"
                yield name, {"metadata": metadata, "spec": template.get("spec") or {}}


def may_go(spec: Manifest, node: Node) -> bool:
    """Return whether the scheduler would consider a node for a pod, were there room: as it reads the pod's spec."""
    selector = spec.get("nodeSelector") or {}
    if not node.ready or any(node.labels.get(key) != value for key, value in selector.items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms = required.get("nodeSelectorTerms")
    if terms is not None and not any(_satisfies(term, node) for term in terms):
        return False
    return are_tolerated(node.taints, spec.get("tolerations") or ())


def _satisfies(term: Manifest, node: Node) -> bool:
    """Return whether a node satisfies one term; a term that says nothing admits nothing."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not (expressions or fields):
        return False
    return admits(expressions, node.labels) and admits(fields, {"metadata.name": node.name})
