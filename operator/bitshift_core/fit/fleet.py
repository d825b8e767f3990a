"""Many nodes as few kinds: what decides about a release is worked out once for each kind, and seats are counted.

Here: nodes → `Kind`, seats now and were the nodes empty. Not here: one node (`placement`), the verdict (`plan`).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from .accelerators import MAJOR_LABEL, MINOR_LABEL, Accelerator, amd, cpu, is_cpuid, nvidia
from .need import Need
from .offers import AMD_MEMORY_LABELS, AMD_PRODUCT_LABELS, MEMORY_LABEL, PRODUCT_LABEL, SHARING_LABEL, Offer
from .placement import POOL_LABELS, Node, Taint, is_selected, tolerates

UNBOUNDED = 1 << 16
KEPT_LABELS = (MEMORY_LABEL, PRODUCT_LABEL, MAJOR_LABEL, MINOR_LABEL, SHARING_LABEL)


@dataclass(frozen=True)
class Kind:
    """Ready nodes that are alike in all that decides whether a release may run there; in order of their names."""

    offer: Offer | None
    """The GPUs under one name; None for the hosts themselves. Its counts are those of no node in particular."""
    labels: Mapping[str, str]
    """Those that an affinity may name."""
    taints: tuple[Taint, ...]
    nodes: tuple[Node, ...]
    free: tuple[int, ...] = ()
    """Free GPUs of each node."""
    counts: tuple[int, ...] = ()

    @cached_property
    def sizes(self) -> tuple[tuple[tuple[int, int, int], int], ...]:
        """Return how many nodes have so many GPUs, so much CPU and so much memory."""
        counts = self.counts or (0,) * len(self.nodes)
        shapes = zip(counts, self.nodes, strict=True)
        found = Counter((count, node.cpu_allocatable_millis, node.memory_allocatable_bytes) for count, node in shapes)
        return tuple(found.items())

    def accelerator(self, products: Mapping[str, str]) -> Accelerator:
        """Return what kind of GPU it is, as kernels ask; the host's CPU where there is none."""
        offer = self.offer
        if offer is None:
            return cpu(self.labels)
        if offer.platform == "rocm":
            return amd(offer.product, products)
        found = nvidia(self.labels, offer.product, products)
        return replace(found, capability=offer.capability) if offer.capability else found

    def selected(self, need: Need) -> "Kind":
        """Return the kind with only the nodes that the need's selector names."""
        if not need.node_selector:
            return self
        kept = [index for index, node in enumerate(self.nodes) if is_selected(node, need)]
        return replace(
            self,
            nodes=tuple(self.nodes[index] for index in kept),
            free=tuple(self.free[index] for index in kept) if self.free else (),
            counts=tuple(self.counts[index] for index in kept) if self.counts else (),
        )

    def seats_now(self, need: Need, needed_bytes: int) -> Sequence[int]:
        """Return how many pods of a release each node takes beside what runs there."""
        gpus, cpu = need.gpus_per_pod, need.cpu_millis
        if self.offer and not cpu:
            return [free // gpus for free in self.free]
        rooms = [node.cpu_allocatable_millis - node.cpu_requested_millis for node in self.nodes]
        if self.offer:
            return [min(free // gpus, max(0, room) // cpu) for free, room in zip(self.free, rooms, strict=True)]
        memory = [max(0, node.memory_allocatable_bytes - node.memory_requested_bytes) for node in self.nodes]
        return [min(bytes_ // needed_bytes, _by_cpu(room, cpu)) for bytes_, room in zip(memory, rooms, strict=True)]

    def seats_empty(self, need: Need, needed_bytes: int) -> int:
        """Return how many pods of a release all nodes would take if nothing else ran there."""
        return sum(_seats(self.offer, size, need, needed_bytes) * many for size, many in self.sizes)

    def names_of_empty(self, need: Need, needed_bytes: int) -> tuple[str, ...]:
        """Return the nodes that would take a pod if nothing else ran there."""
        counts = self.counts or (0,) * len(self.nodes)
        return tuple(
            node.name
            for node, count in zip(self.nodes, counts, strict=True)
            if _seats(
                self.offer, (count, node.cpu_allocatable_millis, node.memory_allocatable_bytes), need, needed_bytes
            )
        )


def _seats(offer: Offer | None, size: tuple[int, int, int], need: Need, needed_bytes: int) -> int:
    gpus, cpu, memory = size
    return min(gpus // need.gpus_per_pod if offer else memory // needed_bytes, _by_cpu(cpu, need.cpu_millis))


def _by_cpu(free_millis: int, asked_millis: int) -> int:
    return max(0, free_millis) // asked_millis if asked_millis else UNBOUNDED


@dataclass(frozen=True)
class Fleet:
    """All ready nodes by kind: made once, asked by every rung."""

    kinds: tuple[Kind, ...]
    has_pools: bool = False
    """Some node came from a pool, so another pool may have none at the moment."""

    def kinds_for(self, need: Need) -> Iterator[Kind]:
        """Yield the kinds that the scheduler would consider: with GPUs where they are needed, else the hosts."""
        for kind in self.kinds:
            if (kind.offer is None) == bool(need.gpus_per_replica) or not tolerates(need, kind.taints):
                continue
            if (selected := kind.selected(need)).nodes:
                yield selected


def fleet_of(nodes: Iterable[Node]) -> Fleet:
    """Return the nodes by kind; those that are not ready are none."""
    members: dict[tuple[object, ...], list[tuple[Node, int, int]]] = {}
    firsts: dict[tuple[object, ...], tuple[Offer | None, dict[str, str], tuple[Taint, ...]]] = {}
    ready = sorted((node for node in nodes if node.ready), key=lambda node: node.name)
    for node in ready:
        for offer in (None, *node.offers):
            labels = _kept(node.labels, offer)
            key = (_identity(offer), tuple(labels.items()), node.taints)
            firsts.setdefault(key, (offer, labels, node.taints))
            members.setdefault(key, []).append((node, offer.free if offer else 0, offer.count if offer else 0))
    return Fleet(
        tuple(_kind(*first, members[key]) for key, first in firsts.items()),
        any(label in node.labels for label in POOL_LABELS for node in ready),
    )


def _kind(
    offer: Offer | None, labels: dict[str, str], taints: tuple[Taint, ...], members: list[tuple[Node, int, int]]
) -> Kind:
    nodes, free, counts = zip(*members, strict=True)
    return Kind(offer, labels, taints, nodes, free, counts) if offer else Kind(None, labels, taints, nodes)


def _identity(offer: Offer | None) -> tuple[object, ...]:
    """Return all of an offer but its counts."""
    if offer is None:
        return ()
    return (
        offer.resource,
        offer.memory_bytes,
        offer.product,
        offer.sharing,
        offer.is_slice,
        offer.claim_driver,
        offer.capability,
    )


def _kept(labels: Mapping[str, str], offer: Offer | None) -> dict[str, str]:
    if offer is None:
        return {name: labels[name] for name in sorted(labels) if is_cpuid(name)}
    names = {*KEPT_LABELS, offer.memory_label, offer.product_label, *AMD_MEMORY_LABELS, *AMD_PRODUCT_LABELS}
    return {name: labels[name] for name in sorted(names) if name in labels}
