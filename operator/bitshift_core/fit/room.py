"""Room beside what runs: which GPUs are missing and who holds them, what others were promised, what a swap would free.

Here: nodes and pods → room. Not here: how large a replica is (`sums`), whether it fits at all (`plan`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from .need import Need
from .options import Together
from .placement import Holder, Node

MOST_HOLDERS = 4
Mode = Literal["Parallel", "Serial", "Wait"]


@dataclass(frozen=True)
class Promise:
    """GPUs that a plan or a pod was promised and that no node counts yet: one pod."""

    pod: str
    resource: str
    gpus: int
    node_names: frozenset[str]
    """Where it may go."""


@dataclass(frozen=True)
class Room:
    """How a release finds room beside stable, in a word and in a sentence for people."""

    mode: Mode
    sentence: str
    swaps: int = 0
    """Replicas of stable that must go, one at a time, before the last of the release's has its GPUs."""
    reload_seconds: float = 0
    """How long one replica of stable would take to come back."""


def missing_sentence(need: Need, group: Together) -> str:
    """Return how many GPUs are missing and who holds them, the largest holders first; '' on hosts."""
    if not need.gpus_per_replica:
        return ""
    missing = (need.pods - group.now) * need.gpus_per_stage
    held = sorted(
        (-holder.gpus, node.name, holder.pod)
        for option in group.options
        if option.empty
        for node in option.kind.nodes
        for holder in node.holders
        if holder.resource == group.resource
    )
    said = "; ".join(f"{pod} holds {-gpus} on {name}" for gpus, name, pod in held[:MOST_HOLDERS])
    more = f"; {len(held) - MOST_HOLDERS} more pods hold the rest" if len(held) > MOST_HOLDERS else ""
    gpus = "1 GPU is missing" if missing == 1 else f"{missing} GPUs are missing"
    return f"{gpus}: {said}{more}. " if said else f"{gpus}. "


def without_promised(nodes: Sequence[Node], promises: Iterable[Promise]) -> list[Node]:
    """Return the nodes less what others were promised: two rollouts never plan on the same free GPU.

    Each promise is taken from the node with the least room that still holds it, as it costs the others least.
    """
    free = {node.name: {offer.resource: offer.free for offer in node.offers} for node in nodes}
    for promise in sorted(promises, key=lambda each: (-each.gpus, each.pod)):
        rooms = [
            (free[name][promise.resource], name)
            for name in promise.node_names & free.keys()
            if free[name].get(promise.resource, 0) >= promise.gpus
        ]
        if rooms:
            free[min(rooms)[1]][promise.resource] -= promise.gpus
    return [_with_free(node, free[node.name]) for node in nodes]


def without_pods(nodes: Sequence[Node], pods: Iterable[tuple[str, str]]) -> list[Node]:
    """Return the nodes as they would be without some pods, given as `namespace/name` and node."""
    gone = set(pods)
    found = []
    for node in nodes:
        freed: dict[str, int] = {}
        kept: list[Holder] = []
        for holder in node.holders:
            if (holder.pod, node.name) in gone:
                freed[holder.resource] = freed.get(holder.resource, 0) + holder.gpus
            else:
                kept.append(holder)
        free = {offer.resource: offer.free + freed.get(offer.resource, 0) for offer in node.offers}
        found.append(replace(_with_free(node, free), holders=tuple(kept)) if freed else node)
    return found


def _with_free(node: Node, free: Mapping[str, int]) -> Node:
    """Return the node with so many free GPUs under each name; the same node where nothing is different."""
    if all(offer.free == free.get(offer.resource, offer.free) for offer in node.offers):
        return node
    others = tuple(replace(offer, free=free.get(offer.resource, offer.free)) for offer in node.other_offers)
    own = free.get("nvidia.com/gpu", node.gpu_free)
    return replace(node, gpu_free=own, other_offers=others)
