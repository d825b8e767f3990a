"""The answer a user reads before anything is downloaded: does it fit, where, with which kernels; if not, what would.

Here: the verdict with its sentence, and what pods must carry to make it true. Not here: formulas (`sums`), seats
(`fleet`, `options`), ways out (`advice`), affinities (`affinity`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..api.v1alpha1 import SizeItem
from . import headline
from .advice import longest_context, most_sequences, most_sequences_held, smaller_bound, spanning, ways_of, ways_out
from .affinity import affinity_for, affinity_of_hosts
from .capacity import Capacity, capacity_of
from .devices import claim_for
from .engines import EngineConstants, VllmBand
from .fleet import Fleet, Kind, fleet_of
from .kernels import Kernel, KernelTable, sentences
from .need import Need
from .offers import MEMORY_LABEL, NVIDIA_GPU
from .options import Known, Option, Together, gpu_of, options_for, sequences_bytes, together
from .placement import Node, label_for, tolerations_of
from .room import missing_sentence
from .sums import Gpu, SizeSum, size_of
from .swap import Room
from .units import gib

__all__ = ["Fit", "Need", "Node", "Verdict", "plan_release"]

Verdict = Literal["Fits", "Waiting", "DoesNotFit"]
SHORT_OF_MEMORY = ("InsufficientGPUMemory", "InsufficientMemory")
MOST_KERNEL_SENTENCES = 3


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
    kernels: tuple[Kernel, ...] = ()
    """What runs it on the first of these nodes; weights first."""
    resource: str = NVIDIA_GPU
    """The name under which pods ask for their GPUs."""
    claim: dict[str, Any] | None = None
    """The spec of the claim by which pods get devices, where no plugin counts them."""
    tolerations: tuple[dict[str, str], ...] = ()
    room: Room = Room("Parallel")
    """How it finds room: beside stable, in place of its replicas one at a time, or not now."""
    gpu: Gpu | None = None
    """The kind of GPU on the first of these nodes; None on hosts."""
    offered_bytes: int = 0
    """What each such GPU offers, or the largest host."""
    sequences_held: int = 0
    """Sequences at the context asked for that one replica would hold there; 0 where it does not fit."""
    why: str = ""
    """Why this rung, where the user named a scenario."""
    headline: str = ""
    """In one line what fits, what is missing and what would help; '' where no node qualifies."""
    held: Capacity | None = None
    """What the engine itself will make of such a GPU, as it prints it; None where it takes no pool."""


def plan_release(
    need: Need,
    nodes: Sequence[Node] | Fleet,
    engines: EngineConstants,
    *,
    kernels: KernelTable | None = None,
) -> Fit:
    """Return whether all replicas fit beside what runs now, would fit on emptier nodes, or fit nowhere."""
    chosen = engines.choose(need.runtime, need.engine_version)
    known = Known(chosen, kernels or KernelTable())
    fleet = nodes if isinstance(nodes, Fleet) else fleet_of(nodes)
    kinds = list(fleet.kinds_for(need))
    groups = together(list(options_for(need, kinds, known)))
    fit = _verdict(need, groups[0], known) if groups else _nowhere(need, fleet, known)
    said = (fit.message, chosen.caveat, _about_facts(need), *_about_kernels(fit))
    return replace(fit, message=" ".join(part for part in said if part), tolerations=tolerations_of(need))


def _about_facts(need: Need) -> str:
    """Return a sentence where the tensors themselves were not seen."""
    if need.facts.tensors_from == "header":
        return ""
    return "Sized from config.json, for no header of its weights could be read: the margin is wide."


def _about_kernels(fit: Fit) -> tuple[str, ...]:
    """Return what runs it, and what a person should know of it; a refusal has said so already."""
    if fit.verdict == "DoesNotFit" or not fit.kernels:
        return ()
    named = f"Kernel: {fit.kernels[0].name}." if fit.kernels[0].name else ""
    return (named, *sentences(fit.kernels)[:MOST_KERNEL_SENTENCES])


def _verdict(need: Need, group: Together, known: Known) -> Fit:
    if group.now >= need.pods:
        return _fits(need, group, known)
    if group.empty >= need.pods:
        return _waits(need, group, known)
    return _does_not_fit(need, group, known)


def _fits(need: Need, group: Together, known: Known) -> Fit:
    ranked = _by_room(group)
    names = tuple(node for _, _, node in ranked)
    first = max((option for option in group.options if option.holds and any(option.now)), key=_shown_first)
    one_fits = _would_fit((first.kind,), known, pods=1)
    takes_turns = not one_fits(need)
    held = (most_sequences if takes_turns else most_sequences_held)(need, one_fits)
    where = "per GPU" if need.gpus_per_replica else "of free memory"
    room = f"{_counted(len(names), 'node')} with room for {_counted(group.now, _seat(need))}"
    message = f"{_needs(need, first.size)} {names[0]} offers {gib(-ranked[0][1])} {where}: {room}."
    if held > need.concurrent_sequences:
        message += f" There {held} sequences of {need.context_tokens:,} tokens would fit."
    if takes_turns:
        message += (
            f" Of {need.concurrent_sequences} sequences of {need.context_tokens:,} tokens, the "
            f"{gib(need.kv_cache_bytes)} that its KV cache may have hold {held}: the others take turns."
        )
    line = headline.of_room(need, sequences=held, context_tokens=longest_context(need, one_fits))
    fit = Fit("Fits", 0, (), names, None, "Fits", message, sequences_held=held, headline=line)
    return _located(fit, need, group, first, known)


def _waits(need: Need, group: Together, known: Known) -> Fit:
    first = max((option for option in group.options if option.empty), key=_shown_first)
    names = tuple(
        name
        for option in group.options
        if option.empty
        for name in option.kind.names_of_empty(need, option.needed_bytes)
    )
    message = (
        f"{_needs(need, first.size)} {group.now} of {_counted(need.pods, _seat(need))} fit beside what runs now; "
        f"{_counted(len(names), 'node')} would hold {group.empty} if nothing else ran there. "
        f"{missing_sentence(need, group)}Waiting for room."
    )
    return _located(Fit("Waiting", 0, (), names, None, "WaitsForRoom", message), need, group, first, known)


def _located(fit: Fit, need: Need, group: Together, first: Option, known: Known) -> Fit:
    """Return the fit with its sum, and with what keeps pods to the nodes that hold them."""
    gpu = gpu_of(first.kind)
    fit = replace(fit, needed_bytes=first.needed_bytes, items=first.size.items, kernels=first.kernels)
    fit = replace(fit, gpu=gpu, offered_bytes=first.capacity_bytes, held=_held(need, gpu, known))
    if not need.gpus_per_replica:
        able = [option.kind for option in group.options if not option.refusal]
        unable = [option.kind for option in group.options if option.refusal]
        return replace(fit, affinity=affinity_of_hosts(able, unable))
    holding = [option for option in group.options if option.holds and option.empty]
    refused = [option.kind for option in group.options if not option.holds]
    needed = max(option.needed_bytes for option in holding)
    offers = [option.kind.offer for option in holding if option.kind.offer]
    fit = replace(fit, resource=group.resource)
    if offers[0].claim_driver:
        smallest = min(min(offer.memory_bytes for offer in offers) >> 20, label_for(needed))
        others = [kind.offer for kind in refused if kind.offer]
        return replace(fit, claim=claim_for(offers, others, gpus=need.gpus_per_pod, label_mib=smallest))
    return replace(fit, affinity=affinity_for([option.kind for option in holding], refused, needed_bytes=needed))


def _held(need: Need, gpu: Gpu | None, known: Known) -> Capacity | None:
    """Return the pool that the engine takes of a GPU by itself; llama.cpp allocates what it is told and no more."""
    return capacity_of(need, known.chosen, gpu) if gpu and isinstance(known.chosen.band, VllmBand) else None


def _nowhere(need: Need, fleet: Fleet, known: Known) -> Fit:
    """Return the answer where no node qualifies: a selector may name a pool that scales from zero."""
    size = size_of(need, known.chosen, Gpu(0) if need.gpus_per_replica else None)
    what = "GPU node" if need.gpus_per_replica else "node"
    if need.node_selector or (need.gpus_per_replica and fleet.has_pools):
        wanted = ", ".join(f"{key}={value}" for key, value in sorted(need.node_selector.items()))
        carries = f"No ready {what} carries {wanted}" if wanted else f"There is no ready, untainted {what}"
        message = f"{_needs(need, size)} {carries}; a pool that scales from zero may bring one."
        return Fit("Waiting", size.needed_bytes, size.items, (), None, "NoSuchNodeYet", message)
    reason = "NoGPUNodes" if need.gpus_per_replica else "NoNodes"
    message = f"{_needs(need, size)} There is no ready, untainted {what}. Add one, or tolerate its taints."
    return Fit("DoesNotFit", size.needed_bytes, size.items, (), None, reason, message)


def _does_not_fit(need: Need, group: Together, known: Known) -> Fit:
    first, line = group.largest, ""
    reason, why = _why_not(need, group)
    if reason in SHORT_OF_MEMORY:
        usable = [option for option in group.options if option.refusal is None]
        kinds = [option.kind for option in usable]
        fits, has_seats = _would_fit(kinds, known), _has_seats(kinds, known)
        ways = ways_of(need, fits, most_gpus=need.nodes_per_replica * max(option.most_gpus for option in usable))
        missing_bytes = first.needed_bytes - first.capacity_bytes
        ways = replace(ways, kv_cache_bytes=smaller_bound(need, has_seats, missing_bytes=missing_bytes))
        why += " " + ways_out(need, ways)
        line = headline.of_shortage(need, ways, missing_bytes=missing_bytes)
    elif reason == "TooFewGPUs":
        why += spanning(need, most_gpus=max(option.most_gpus for option in group.options if option.holds))
    message = f"{_needs(need, first.size)} {why}"
    fit = Fit("DoesNotFit", first.needed_bytes, first.size.items, (), None, reason, message, first.kernels)
    return replace(fit, headline=line, offered_bytes=first.capacity_bytes)


def _why_not(need: Need, group: Together) -> tuple[str, str]:
    """Return the reason and its sentence, the nearest miss first: too few seats, then too small, then the rest."""
    largest, holding = group.largest, [option for option in group.options if option.holds]
    if group.empty:
        held = f"Empty nodes would hold {group.empty} of {_counted(need.pods, _seat(need))}."
        return "TooFewNodes", f"{held} Add nodes or lower `serving.replicas`."
    if largest.refusal:
        return largest.refusal
    if need.gpus_per_replica and not largest.capacity_bytes:
        return "GPUMemoryUnknown", f"Label the GPU nodes with `{MEMORY_LABEL}` (GPU feature discovery does)."
    if not holding:
        what = "has the largest GPU" if need.gpus_per_replica else "is the largest node"
        name = max(largest.kind.nodes, key=lambda node: node.memory_allocatable_bytes).name
        name = largest.kind.nodes[0].name if need.gpus_per_replica else name
        short = gib(largest.needed_bytes - largest.capacity_bytes)
        offers = f"{name} {what} and offers {gib(largest.capacity_bytes)}: {short} short."
        return SHORT_OF_MEMORY[0 if need.gpus_per_replica else 1], offers
    if need.gpus_per_pod > max(option.most_gpus for option in holding):
        few = f"No node with such GPUs has {need.gpus_per_pod} of them."
        return "TooFewGPUs", f"{few} Lower `serving.gpusPerReplica`."
    return "InsufficientCPU", f"No node has {need.cpu_millis}m of CPU for it. Lower `serving.cpuMillis`."


def _would_fit(kinds: Sequence[Kind], known: Known, *, pods: int | None = None) -> Callable[[Need], bool]:
    """Return the question whether another need would fit there, were they empty, with all its sequences at once."""
    has_seats = _has_seats(kinds, known, pods=pods)
    return lambda need: not _overflows(need, kinds, known) and has_seats(need)


def _has_seats(kinds: Sequence[Kind], known: Known, *, pods: int | None = None) -> Callable[[Need], bool]:
    """Return the question whether pods of another need would find seats there, were they empty; all when unset."""

    def has_seats(need: Need) -> bool:
        wanted, found = need.pods if pods is None else pods, 0
        for option in options_for(need, kinds, known):
            found += option.empty
            if found >= wanted:
                return True
        return False

    return has_seats


def _overflows(need: Need, kinds: Sequence[Kind], known: Known) -> bool:
    """Return whether these sequences need more KV cache than the engine is told to take."""
    if not need.kv_cache_bytes:
        return False
    return sequences_bytes(need, kinds[0], known) > need.kv_cache_bytes


def _by_room(group: Together) -> list[tuple[int, int, str]]:
    """Return the nodes with room, most free first: the order in which a reader looks for it."""
    return sorted(_with_room(group))


def _with_room(group: Together) -> Iterator[tuple[int, int, str]]:
    for option in group.options:
        if not option.holds:
            continue
        is_host = option.kind.offer is None
        for node, seats in zip(option.kind.nodes, option.now, strict=True):
            if seats:
                free = node.memory_allocatable_bytes - node.memory_requested_bytes if is_host else option.capacity_bytes
                yield -seats, -free, node.name


def _shown_first(option: Option) -> tuple[int, int, int]:
    """Rank the option that a reader asks about: the one with room, else the largest."""
    return max(option.now, default=0), option.empty, option.capacity_bytes


def _needs(need: Need, size: SizeSum) -> str:
    where = f"on each of {need.gpus_per_replica} GPUs" if need.gpus_per_replica > 1 else "of GPU memory"
    items = ", ".join(f"{item.name} {gib(item.bytes)}" for item in size.items)
    return f"Each replica needs {gib(size.needed_bytes)} {where if need.gpus_per_replica else 'of memory'} ({items})."


def _seat(need: Need) -> str:
    """Return what finds room on one node."""
    return "replica" if need.nodes_per_replica == 1 else "pod"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
