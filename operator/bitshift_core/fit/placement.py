"""Nodes as sizing sees them, and how many replicas each could take now and when empty.

Here: manifests → `Node`, who may run there, seats. Not here: what a replica needs (`sums`), the verdict (`plan`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .engines import Chosen
from .need import Need
from .quantities import millis, whole
from .sums import Gpu, size_of
from .units import MIB

GPU_RESOURCE = "nvidia.com/gpu"
MEMORY_LABEL, PRODUCT_LABEL = "nvidia.com/gpu.memory", "nvidia.com/gpu.product"
MAJOR_LABEL, MINOR_LABEL = "nvidia.com/gpu.compute.major", "nvidia.com/gpu.compute.minor"
SHARING_LABEL = "nvidia.com/gpu.replicas"
FINISHED = frozenset({"Succeeded", "Failed"})
UNBOUNDED = 1 << 16
HARD_EFFECTS = frozenset({"NoSchedule", "NoExecute"})


@dataclass(frozen=True)
class Taint:
    """A node's taint."""

    key: str
    value: str
    effect: str


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

    @property
    def gpu(self) -> Gpu:
        """Return the kind of GPU here."""
        return Gpu(self.gpu_memory_bytes, self.labels.get(PRODUCT_LABEL, ""))

    @property
    def compute_capability(self) -> tuple[int, int] | None:
        """Return the GPUs' compute capability as numbers, so that 10.0 is more than 9.0."""
        major = self.labels.get(MAJOR_LABEL, "")
        return (int(major), whole(self.labels.get(MINOR_LABEL))) if major.isdecimal() else None


@dataclass(frozen=True)
class Seats:
    """How many replicas one node takes: now, and were it empty."""

    node: Node
    needed_bytes: int
    offered_bytes: int
    """What is free of host memory, or what each GPU offers."""
    capacity_bytes: int
    """The same, were the node empty."""
    now: int
    empty: int


def node_from_manifests(node: Mapping[str, Any], pods: Iterable[Mapping[str, Any]]) -> Node:
    """Return the node with what the pods on it request; pods elsewhere and finished ones count for nothing."""
    name, status = node["metadata"]["name"], node.get("status", {})
    labels = node["metadata"].get("labels") or {}
    here = [pod for pod in pods if pod.get("spec", {}).get("nodeName") == name]
    active = [pod for pod in here if pod.get("status", {}).get("phase") not in FINISHED]
    offered = status.get("allocatable") or {}
    gpus = whole(offered.get(GPU_RESOURCE))
    return Node(
        name=name,
        labels=labels,
        gpu_count=gpus,
        gpu_free=max(0, gpus - sum(whole_request(pod, GPU_RESOURCE) for pod in active)),
        gpu_memory_bytes=whole(labels.get(MEMORY_LABEL)) * MIB // max(1, whole(labels.get(SHARING_LABEL))),
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
    )


def whole_request(pod: Mapping[str, Any], resource: str) -> int:
    """Return what the scheduler counts a pod for: its containers, or its largest start-up step."""
    return _request(pod, resource, whole)


def _request(pod: Mapping[str, Any], resource: str, parse: Any) -> int:
    spec = pod.get("spec", {})
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
    selected = all(node.labels.get(key) == value for key, value in need.node_selector.items())
    hard = (taint for taint in node.taints if taint.effect in HARD_EFFECTS)
    return node.ready and selected and all(_is_tolerated(taint, need) for taint in hard)


def _is_tolerated(taint: Taint, need: Need) -> bool:
    """Return whether a pod gets past the taint; a GPU pod past the GPU's own, as clusters commonly arrange it."""
    if need.gpus_per_replica and taint.key == GPU_RESOURCE:
        return True
    return any(
        toleration.get("effect", taint.effect) == taint.effect
        and (
            toleration.get("key", taint.key) == taint.key
            if toleration.get("operator") == "Exists"
            else toleration.get("key") == taint.key and toleration.get("value", "") == taint.value
        )
        for toleration in need.tolerations
    )


def seats_on(nodes: Sequence[Node], need: Need, chosen: Chosen) -> tuple[Seats, ...]:
    """Return each node's seats, most free first: the order in which a reader looks for room."""
    sizes: dict[Gpu | None, int] = {}
    found = []
    for node in nodes:
        gpu = node.gpu if need.gpus_per_replica else None
        if gpu not in sizes:
            sizes[gpu] = size_of(need, chosen, gpu).needed_bytes
        found.append(_gpu_seats(node, need, sizes[gpu]) if gpu else _host_seats(node, need, sizes[gpu]))
    return tuple(sorted(found, key=lambda seats: (-seats.now, -seats.offered_bytes, seats.node.name)))


def _gpu_seats(node: Node, need: Need, needed_bytes: int) -> Seats:
    offered = node.gpu.usable_bytes
    fits = 0 < needed_bytes <= offered
    free, whole_node = (node.gpu_free, node.gpu_count) if fits else (0, 0)
    now = min(free // need.gpus_per_replica, _cpu_seats(node.cpu_allocatable_millis - node.cpu_requested_millis, need))
    empty = min(whole_node // need.gpus_per_replica, _cpu_seats(node.cpu_allocatable_millis, need))
    return Seats(node, needed_bytes, offered, offered, now, empty)


def _host_seats(node: Node, need: Need, needed_bytes: int) -> Seats:
    free = max(0, node.memory_allocatable_bytes - node.memory_requested_bytes)
    now = min(free // needed_bytes, _cpu_seats(node.cpu_allocatable_millis - node.cpu_requested_millis, need))
    empty = min(node.memory_allocatable_bytes // needed_bytes, _cpu_seats(node.cpu_allocatable_millis, need))
    return Seats(node, needed_bytes, free, node.memory_allocatable_bytes, now, empty)


def _cpu_seats(free_millis: int, need: Need) -> int:
    return max(0, free_millis) // need.cpu_millis if need.cpu_millis else UNBOUNDED
