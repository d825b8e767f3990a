"""Room beside what runs: which GPUs are missing and who holds them, what others were promised, what a swap would free.

Here: nodes and pods → room. Not here: how large a replica is (`sums`), whether it fits at all (`plan`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from .need import Need
from .offers import NVIDIA_GPU
from .options import Together
from .placement import Holder, Node
from .promises import Promise

MOST_HOLDERS = 4


def missing_sentence(need: Need, group: Together) -> str:
    """Return how many GPUs are missing and who holds them, the largest holders first; '' on hosts."""
    if not need.gpus_per_replica:
        return ""
    missing = (need.pods - group.now) * need.gpus_per_pod
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
    ordered = sorted(promises, key=lambda each: (-each.gpus, each.pod))
    if not ordered:
        return list(nodes)
    free = {node.name: {offer.resource: offer.free for offer in node.offers} for node in nodes}
    promised: dict[str, list[Holder]] = {}
    for promise in ordered:
        rooms = [
            (free[name][promise.resource], name)
            for name in promise.node_names & free.keys()
            if free[name].get(promise.resource, 0) >= promise.gpus
        ]
        if rooms:
            name = min(rooms)[1]
            free[name][promise.resource] -= promise.gpus
            holder = Holder(f"{promise.pod} (pending)", promise.resource, promise.gpus)
            promised.setdefault(name, []).append(holder)
    return [
        replace(_with_free(node, free[node.name]), holders=(*node.holders, *promised[node.name]))
        if node.name in promised
        else node
        for node in nodes
    ]


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
    own = free.get(NVIDIA_GPU, node.gpu_free)
    return replace(node, gpu_free=own, other_offers=others)
