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
from .placement import MEMORY_LABEL, Node, Seats, is_eligible, seats_on
from .sums import Gpu, SizeSum, size_of
from .units import gib

Verdict = Literal["Fits", "Waiting", "DoesNotFit"]


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
    room = sum(one.now for one in seats)
    message = (
        f"Each replica needs {_sum(need, size)}. {names[0]} offers {gib(seats[0].offered_bytes)}{' per GPU' if need.gpus_per_replica else ' of free memory'}; "
        f"{_counted(len(names), 'node')} {'has' if len(names) == 1 else 'have'} room for {_counted(room, 'replica')}."
    )
    return Fit("Fits", size.needed_bytes, size.items, names, _affinity(need, seats), "Fits", message)


def _waits(need: Need, seats: Sequence[Seats], size: SizeSum) -> Fit:
    names = tuple(one.node.name for one in seats if one.empty)
    now, empty = sum(one.now for one in seats), sum(one.empty for one in seats)
    message = (
        f"Each replica needs {_sum(need, size)}. {now} of {_counted(need.replicas, 'replica')} fit beside what runs now, "
        f"{empty} were {_counted(len(names), 'node')} empty. Free room there, or it is waited for."
    )
    return Fit("Waiting", size.needed_bytes, size.items, names, _affinity(need, seats), "WaitsForRoom", message)


def _nowhere(need: Need, size: SizeSum) -> Fit:
    """Return the answer where no node qualifies: a selector may name a pool that scales from zero."""
    what = "GPU node" if need.gpus_per_replica else "node"
    if need.node_selector:
        wanted = ", ".join(f"{key}={value}" for key, value in sorted(need.node_selector.items()))
        message = (
            f"No ready {what} carries {wanted} now; a pool that scales from zero may bring one. {_needs(need, size)}"
        )
        return Fit("Waiting", size.needed_bytes, size.items, (), None, "NoSuchNodeYet", message)
    reason = "NoGPUNodes" if need.gpus_per_replica else "NoNodes"
    message = f"No ready, untainted {what} is there. {_needs(need, size)} Add one, or tolerate its taints."
    return Fit("DoesNotFit", size.needed_bytes, size.items, (), None, reason, message)


def _does_not_fit(need: Need, seats: Sequence[Seats], size: SizeSum, chosen: Chosen) -> Fit:
    reason, why = _why_not(need, seats)
    nodes = [one.node for one in seats]
    most_gpus = max(node.gpu_count for node in nodes)

    def fits(other: Need) -> bool:
        return sum(one.empty for one in seats_on(nodes, other, chosen)) >= other.replicas

    advice = (
        ways_out(need, fits, most_gpus=most_gpus) if reason in ("InsufficientGPUMemory", "InsufficientMemory") else ""
    )
    message = f"{_needs(need, size)} {why} {advice}".strip()
    return Fit("DoesNotFit", size.needed_bytes, size.items, (), None, reason, message)


def _why_not(need: Need, seats: Sequence[Seats]) -> tuple[str, str]:
    room = sum(one.empty for one in seats)
    largest = max(seats, key=lambda one: one.capacity_bytes)
    if room:
        return (
            "TooFewNodes",
            f"Empty nodes hold {room} of {_counted(need.replicas, 'replica')}. Add nodes or lower `serving.replicas`.",
        )
    if need.gpus_per_replica and not largest.node.gpu_memory_bytes:
        return "GPUMemoryUnknown", f"Label the GPU nodes with `{MEMORY_LABEL}` (GPU feature discovery does)."
    if all(one.capacity_bytes < one.needed_bytes for one in seats):
        noun = "the largest GPU" if need.gpus_per_replica else "the largest node"
        short = largest.needed_bytes - largest.capacity_bytes
        reason = "InsufficientGPUMemory" if need.gpus_per_replica else "InsufficientMemory"
        return reason, f"{largest.node.name}, {noun}, offers {gib(largest.capacity_bytes)}: {gib(short)} short."
    if need.gpus_per_replica > max(one.node.gpu_count for one in seats if one.capacity_bytes >= one.needed_bytes):
        return (
            "TooFewGPUs",
            f"No node with such GPUs has {need.gpus_per_replica} of them. Lower `serving.gpusPerReplica`.",
        )
    return "InsufficientCPU", f"No node has {need.cpu_millis}m of CPU for it. Lower `serving.cpuMillis`."


def _affinity(need: Need, seats: Sequence[Seats]) -> dict[str, Any] | None:
    """Return the node affinity that keeps pods off GPUs that are too small; host memory is the pod's own request.

    A lower bound lets a node that comes later qualify; where a larger GPU needs more than it has (engines spend more
    on large ones), the sizes that fit are listed instead.
    """
    if not need.gpus_per_replica:
        return None
    fitting = {int(one.node.labels[MEMORY_LABEL]) for one in seats if one.empty}
    larger = {int(one.node.labels.get(MEMORY_LABEL, "0")) for one in seats if one.needed_bytes > one.capacity_bytes}
    lowest = min(fitting)
    if all(size < lowest for size in larger):
        expression = {"key": MEMORY_LABEL, "operator": "Gt", "values": [str(lowest - 1)]}
    else:
        expression = {"key": MEMORY_LABEL, "operator": "In", "values": [str(size) for size in sorted(fitting)]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def _needs(need: Need, size: SizeSum) -> str:
    return f"Each replica needs {_sum(need, size)}."


def _sum(need: Need, size: SizeSum) -> str:
    where = f"on each of {need.gpus_per_replica} GPUs" if need.gpus_per_replica > 1 else "of GPU memory"
    items = ", ".join(f"{item.name} {gib(item.bytes)}" for item in size.items)
    return f"{gib(size.needed_bytes)} {where if need.gpus_per_replica else 'of memory'} ({items})"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
