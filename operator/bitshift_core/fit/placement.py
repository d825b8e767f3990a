"""Nodes as sizing sees them, and who may run there.

Here: manifests → `Node`, taints and selectors. Not here: kinds of GPUs (`offers`), seats on many nodes (`fleet`), the
verdict (`plan`).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .accelerators import MAJOR_LABEL, MINOR_LABEL
from .need import Need
from .offers import AMD_GPU, NVIDIA_GPU, PRODUCT_LABEL, Offer, is_gpu, is_mig, memory_of, offers_of, sharing_of
from .quantities import millis, whole
from .sums import Gpu
from .units import MIB

GPU_RESOURCE = NVIDIA_GPU
FINISHED = frozenset({"Succeeded", "Failed"})
HARD_EFFECTS = frozenset({"NoSchedule", "NoExecute"})
POOL_LABELS = (
    "karpenter.sh/nodepool",
    "cloud.google.com/gke-nodepool",
    "eks.amazonaws.com/nodegroup",
    "kubernetes.azure.com/agentpool",
)
"""Labels of nodes that come from pools: another pool may have none at the moment."""


@dataclass(frozen=True)
class Taint:
    """A node's taint."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True)
class Holder:
    """A pod and how many GPUs it holds."""

    pod: str
    """`namespace/name`."""
    resource: str
    gpus: int
    labels: tuple[tuple[str, str], ...] = ()
    """Its labels, by which its owner is recognised."""


@dataclass(frozen=True)
class Node:
    """What a node offers and what is taken of it."""

    name: str
    labels: Mapping[str, str]
    gpu_count: int
    gpu_free: int
    gpu_memory_bytes: int
    """Of each GPU, by the driver's figure; 0 where no label tells."""
    memory_allocatable_bytes: int
    memory_requested_bytes: int
    cpu_allocatable_millis: int
    cpu_requested_millis: int
    taints: tuple[Taint, ...] = ()
    ready: bool = True
    pod_names: tuple[str, ...] = ()
    other_offers: tuple[Offer, ...] = ()
    """GPUs under other names than `nvidia.com/gpu`: slices, shared cards, other makers', claimed devices."""
    holders: tuple[Holder, ...] = ()
    """The pods that hold GPUs here."""

    @property
    def offers(self) -> tuple[Offer, ...]:
        """Return every kind of GPU that pods may ask for here."""
        if not self.gpu_count:
            return self.other_offers
        own = Offer(
            GPU_RESOURCE,
            self.gpu_count,
            self.gpu_free,
            self.gpu_memory_bytes,
            self.labels.get(PRODUCT_LABEL, ""),
            sharing_of(self.labels),
            is_mig(self.labels),
        )
        return (own, *self.other_offers)

    @property
    def gpu(self) -> Gpu:
        """Return the kind of GPU here."""
        return Gpu(self.gpu_memory_bytes, self.labels.get(PRODUCT_LABEL, ""))

    @property
    def compute_capability(self) -> tuple[int, int] | None:
        """Return the GPUs' compute capability as numbers, so that 10.0 is more than 9.0."""
        major = self.labels.get(MAJOR_LABEL, "")
        return (int(major), whole(self.labels.get(MINOR_LABEL))) if major.isdecimal() else None


def node_from_manifests(
    node: Mapping[str, Any], pods: Iterable[Mapping[str, Any]], claimed: Sequence[Offer] = ()
) -> Node:
    """Return the node with what the pods on it request; pods elsewhere and finished ones count for nothing.

    `claimed` are the devices that its drivers publish for claims (`devices.claimed_offers`).
    """
    name, status = node["metadata"]["name"], node.get("status", {})
    labels = node["metadata"].get("labels") or {}
    here = [pod for pod in pods if pod.get("spec", {}).get("nodeName") == name]
    active = [pod for pod in here if pod.get("status", {}).get("phase") not in FINISHED]
    offered = status.get("allocatable") or {}
    taken = Counter[str]()
    holders = [holder for pod in active for holder in _holders(pod, offered)]
    for holder in holders:
        taken[holder.resource] += holder.gpus
    gpus = whole(offered.get(GPU_RESOURCE))
    return Node(
        name=name,
        labels=labels,
        gpu_count=gpus,
        gpu_free=max(0, gpus - taken[GPU_RESOURCE]),
        gpu_memory_bytes=memory_of(labels),
        memory_allocatable_bytes=whole(offered.get("memory")),
        memory_requested_bytes=sum(whole_request(pod, "memory") for pod in active),
        cpu_allocatable_millis=millis(offered.get("cpu")),
        cpu_requested_millis=sum(_request(pod, "cpu", millis) for pod in active),
        taints=tuple(_taint(taint) for taint in node.get("spec", {}).get("taints") or ()),
        ready=any(
            condition.get("type") == "Ready" and condition.get("status") == "True"
            for condition in status.get("conditions") or ()
        ),
        pod_names=tuple(sorted(pod["metadata"]["name"] for pod in active)),
        other_offers=(*offers_of(offered, taken, labels), *claimed),
        holders=tuple(holders),
    )


def _holders(pod: Mapping[str, Any], offered: Mapping[str, Any]) -> Iterable[Holder]:
    for resource in offered:
        if is_gpu(resource) and (gpus := whole_request(pod, resource)):
            metadata = pod["metadata"]
            name = f"{metadata.get('namespace', '')}/{metadata['name']}".lstrip("/")
            yield Holder(name, resource, gpus, tuple(sorted((metadata.get("labels") or {}).items())))


def whole_request(pod: Mapping[str, Any], resource: str) -> int:
    """Return what the scheduler counts a pod for: its containers, or its largest start-up step."""
    return _request(pod, resource, whole)


def _request(pod: Mapping[str, Any], resource: str, parse: Any) -> int:
    spec = pod.get("spec", {})
    if resource in ((spec.get("resources") or {}).get("requests") or {}):
        return _asked(spec, resource, parse)  # said of the whole pod
    running = sum(_asked(container, resource, parse) for container in spec.get("containers") or ())
    sidecars = highest = 0
    for container in spec.get("initContainers") or ():
        asked = _asked(container, resource, parse)
        if container.get("restartPolicy") == "Always":
            sidecars += asked
        highest = max(highest, sidecars + (0 if container.get("restartPolicy") == "Always" else asked))
    return max(running + sidecars, highest) + int(parse((spec.get("overhead") or {}).get(resource)))


def _asked(container: Mapping[str, Any], resource: str, parse: Any) -> int:
    resources = container.get("resources") or {}
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    return int(parse(requests.get(resource, limits.get(resource))))


def _taint(taint: Mapping[str, str]) -> Taint:
    return Taint(taint.get("key", ""), taint.get("value", ""), taint.get("effect", ""))


def label_for(needed_bytes: int) -> int:
    """Return the smallest `nvidia.com/gpu.memory` label, in MiB, whose GPU offers so much."""
    label = needed_bytes // MIB
    while Gpu(label * MIB).usable_bytes < needed_bytes:
        label += max(1, (needed_bytes - Gpu(label * MIB).usable_bytes) // MIB)
    return label


def is_eligible(node: Node, need: Need) -> bool:
    """Return whether the scheduler would consider the node at all."""
    return node.ready and is_selected(node, need) and tolerates(need, node.taints)


def is_selected(node: Node, need: Need) -> bool:
    """Return whether the node carries all labels that the need's selector asks for."""
    return all(node.labels.get(key) == value for key, value in need.node_selector.items())


def tolerates(need: Need, taints: Iterable[Taint]) -> bool:
    """Return whether a pod gets past all taints that keep pods away."""
    return are_tolerated(taints, tolerations_of(need))


def are_tolerated(taints: Iterable[Taint], tolerations: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a pod with such tolerations gets past all taints that keep pods away."""
    return all(_is_tolerated(taint, tolerations) for taint in taints if taint.effect in HARD_EFFECTS)


def tolerations_of(need: Need) -> tuple[dict[str, str], ...]:
    """Return what pods must carry: what was asked for, and the GPUs' own taints, which keep CPU pods away."""
    own = ({"key": key, "operator": "Exists"} for key in (NVIDIA_GPU, AMD_GPU)) if need.gpus_per_replica else ()
    return (*(dict(each) for each in need.tolerations), *own)


def _is_tolerated(taint: Taint, tolerations: Sequence[Mapping[str, Any]]) -> bool:
    return any(
        (toleration.get("effect") or taint.effect) == taint.effect
        and (
            toleration.get("key", taint.key) == taint.key
            if toleration.get("operator") == "Exists"
            else toleration.get("key") == taint.key and toleration.get("value", "") == taint.value
        )
        for toleration in tolerations
    )
