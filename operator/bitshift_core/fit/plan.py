"""The answer a user reads before anything is downloaded: does it fit, where, and if not, what would.

Here: the verdict with its sentence and the affinity that makes it true. Not here: formulas (`sums`), seats
(`placement`), ways out (`advice`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..api.v1alpha1 import SizeItem
from .advice import ways_out
from .engines import Chosen, EngineConstants
from .need import Need
from .placement import MEMORY_LABEL, Node, Seats, is_eligible, label_for, seats_on
from .quantities import whole
from .sums import Gpu, SizeSum, size_of
from .units import gib

__all__ = ["Fit", "Need", "Node", "Verdict", "plan_release"]

Verdict = Literal["Fits", "Waiting", "DoesNotFit"]
SHORT_OF_MEMORY = ("InsufficientGPUMemory", "InsufficientMemory")


@dataclass(frozen=True)
class Fit:
    """The verdict, the sum it rests on, and where the replicas may go."""

    verdict: Verdict
    needed_bytes: int
    """Of each GPU, or of host memory."""
    items: tuple[SizeItem, ...]
    node_names: tuple[str, ...]
    affinity: dict[str, Any] | None
    """What pods must carry: the scheduler knows nothing of GPU memory."""
    reason: str
    message: str


def plan_release(need: Need, nodes: Sequence[Node], engines: EngineConstants) -> Fit:
    """Return whether all replicas fit beside what runs now, would fit on emptier nodes, or fit nowhere."""
    chosen = engines.choose(need.runtime, need.engine_version)
    eligible = [node for node in nodes if is_eligible(node, need)]
    if need.gpus_per_replica:
        eligible = [node for node in eligible if node.gpu_count]
    fit = _verdict(need, eligible, chosen)
    return replace(fit, message=f"{fit.message} {chosen.caveat}".strip())


def _verdict(need: Need, eligible: Sequence[Node], chosen: Chosen) -> Fit:
    seats = seats_on(eligible, need, chosen)
    size = _shown_size(need, seats, chosen)
    if sum(one.now for one in seats) >= need.replicas:
        return _fits(need, seats, size)
    if sum(one.empty for one in seats) >= need.replicas:
        return _waits(need, seats, size)
    if not seats:
        return _nowhere(need, size)
    return _does_not_fit(need, seats, size, chosen)


def _shown_size(need: Need, seats: Sequence[Seats], chosen: Chosen) -> SizeSum:
    """Return the sum on the node a reader asks about: the one with room, else the largest."""
    if not need.gpus_per_replica:
        return size_of(need, chosen, None)
    node = max(seats, key=lambda one: (one.now, one.empty, one.offered_bytes)).node if seats else None
    return size_of(need, chosen, node.gpu if node else Gpu(0))


def _fits(need: Need, seats: Sequence[Seats], size: SizeSum) -> Fit:
    names = tuple(one.node.name for one in seats if one.now)
    where = "per GPU" if need.gpus_per_replica else "of free memory"
    room = f"{_counted(len(names), 'node')} with room for {_counted(sum(one.now for one in seats), 'replica')}"
    message = f"{_needs(need, size)} {names[0]} offers {gib(seats[0].offered_bytes)} {where}: {room}."
    return Fit("Fits", size.needed_bytes, size.items, names, _affinity(need, seats), "Fits", message)


def _waits(need: Need, seats: Sequence[Seats], size: SizeSum) -> Fit:
    names = tuple(one.node.name for one in seats if one.empty)
    now, empty = sum(one.now for one in seats), sum(one.empty for one in seats)
    message = (
        f"{_needs(need, size)} {now} of {_counted(need.replicas, 'replica')} fit beside what runs now; "
        f"{_counted(len(names), 'node')} would hold {empty} if nothing else ran there. Waiting for room."
    )
    return Fit("Waiting", size.needed_bytes, size.items, names, _affinity(need, seats), "WaitsForRoom", message)


def _nowhere(need: Need, size: SizeSum) -> Fit:
    """Return the answer where no node qualifies: a selector may name a pool that scales from zero."""
    what = "GPU node" if need.gpus_per_replica else "node"
    if need.node_selector:
        wanted = ", ".join(f"{key}={value}" for key, value in sorted(need.node_selector.items()))
        message = f"{_needs(need, size)} No ready {what} carries {wanted}; a pool that scales from zero may bring one."
        return Fit("Waiting", size.needed_bytes, size.items, (), None, "NoSuchNodeYet", message)
    reason = "NoGPUNodes" if need.gpus_per_replica else "NoNodes"
    message = f"{_needs(need, size)} There is no ready, untainted {what}. Add one, or tolerate its taints."
    return Fit("DoesNotFit", size.needed_bytes, size.items, (), None, reason, message)


def _does_not_fit(need: Need, seats: Sequence[Seats], size: SizeSum, chosen: Chosen) -> Fit:
    nodes = [one.node for one in seats]
    reason, why = _why_not(need, seats)

    def fits(other: Need) -> bool:
        return sum(one.empty for one in seats_on(nodes, other, chosen)) >= other.replicas

    if reason in SHORT_OF_MEMORY:
        why += " " + ways_out(need, fits, most_gpus=max(node.gpu_count for node in nodes))
    message = f"{_needs(need, size)} {why}"
    return Fit("DoesNotFit", size.needed_bytes, size.items, (), None, reason, message)


def _why_not(need: Need, seats: Sequence[Seats]) -> tuple[str, str]:
    """Return the reason and its sentence, the nearest miss first: too few seats, then too small, then the rest."""
    largest = max(seats, key=lambda one: one.capacity_bytes)
    large_enough = [one for one in seats if one.capacity_bytes >= one.needed_bytes]
    if room := sum(one.empty for one in seats):
        held = f"Empty nodes would hold {room} of {_counted(need.replicas, 'replica')}."
        return "TooFewNodes", f"{held} Add nodes or lower `serving.replicas`."
    if need.gpus_per_replica and not largest.capacity_bytes:
        return "GPUMemoryUnknown", f"Label the GPU nodes with `{MEMORY_LABEL}` (GPU feature discovery does)."
    if not large_enough:
        what = "has the largest GPU" if need.gpus_per_replica else "is the largest node"
        short = gib(largest.needed_bytes - largest.capacity_bytes)
        offers = f"{largest.node.name} {what} and offers {gib(largest.capacity_bytes)}: {short} short."
        return SHORT_OF_MEMORY[0 if need.gpus_per_replica else 1], offers
    if need.gpus_per_replica > max(one.node.gpu_count for one in large_enough):
        few = f"No node with such GPUs has {need.gpus_per_replica} of them."
        return "TooFewGPUs", f"{few} Lower `serving.gpusPerReplica`."
    return "InsufficientCPU", f"No node has {need.cpu_millis}m of CPU for it. Lower `serving.cpuMillis`."


def _affinity(need: Need, seats: Sequence[Seats]) -> dict[str, Any] | None:
    """Return the node affinity that keeps pods off GPUs that are too small; host memory is the pod's own request.

    A lower bound lets a node that comes later qualify. Where it would let in a GPU that does not fit (engines spend
    more on large ones; a shared one offers a part), the labels that do fit are listed instead.
    """
    if not need.gpus_per_replica:
        return None
    fitting = sorted({one.node.labels[MEMORY_LABEL] for one in seats if one.empty})
    lowest = label_for(max(one.needed_bytes for one in seats if one.empty))
    refused = [whole(one.node.labels.get(MEMORY_LABEL)) for one in seats if one.needed_bytes > one.capacity_bytes]
    if any(label >= lowest for label in refused):
        expression = {"key": MEMORY_LABEL, "operator": "In", "values": fitting}
    else:
        expression = {"key": MEMORY_LABEL, "operator": "Gt", "values": [str(lowest - 1)]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def _needs(need: Need, size: SizeSum) -> str:
    where = f"on each of {need.gpus_per_replica} GPUs" if need.gpus_per_replica > 1 else "of GPU memory"
    items = ", ".join(f"{item.name} {gib(item.bytes)}" for item in size.items)
    return f"Each replica needs {gib(size.needed_bytes)} {where if need.gpus_per_replica else 'of memory'} ({items})."


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
