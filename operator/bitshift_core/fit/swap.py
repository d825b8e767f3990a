"""How a release finds room: beside stable, in place of its replicas one at a time, or not now.

Here: the mode and its sentence, with the bound on coming back. Not here: what is free (`room`), the swap itself
(`rollout.lending`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from .need import Need
from .placement import Node
from .room import without_pods

Mode = Literal["Parallel", "Serial", "Wait"]
Replan = Callable[[Need, Sequence[Node]], bool]
"""Whether a need's replicas all find a seat now on such nodes."""


@dataclass(frozen=True)
class Room:
    """How a release finds room, in a word and in a sentence for people."""

    mode: Mode
    sentence: str = ""
    swaps: int = 0
    """Replicas of stable that must go before the last of the release's has its GPUs."""
    reload_seconds: float = 0
    """How long those would take to come back, at most."""
    first: str = ""
    """The pod of stable's that goes first."""
    placeable: bool = False
    """One replica more of the release would find room as it is now: the scheduler has only to see it."""


def room_beside(
    need: Need, nodes: Sequence[Node], fits: Replan, stable_pods: Sequence[tuple[str, str]], *, reload_seconds: float
) -> Room:
    """Return the first mode that finds room for all replicas; stable's pods are given as `namespace/name` and node."""
    if fits(need, nodes):
        return Room("Parallel")
    if not need.gpus_per_replica or not fits(need, without_pods(nodes, stable_pods)):
        return Room("Wait")
    swaps = _fewest_gone(need, nodes, fits, stable_pods)
    at_once = _fewest_gone(replace(need, replicas=1), nodes, fits, stable_pods[:swaps])
    sentence = _sentence(swaps, at_once, len(stable_pods), reload_seconds)
    return Room("Serial", sentence, swaps, reload_seconds, first=stable_pods[0][0].partition("/")[2])


def _fewest_gone(need: Need, nodes: Sequence[Node], fits: Replan, stable_pods: Sequence[tuple[str, str]]) -> int:
    """Return how many of stable's pods must go so that a need fits; all of them do suffice."""
    low, high = 0, len(stable_pods)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(need, without_pods(nodes, stable_pods[:middle])) else (middle + 1, high)
    return low


def _sentence(swaps: int, at_once: int, replicas: int, reload_seconds: float) -> str:
    which = "its only replica" if replicas == 1 else f"{swaps} of its {replicas} replicas"
    together = f", {at_once} before the first starts," if at_once > 1 else ""
    how = together or (", one at a time," if swaps > 1 else "")
    them = "it" if swaps == 1 else "they"
    itself = " `whenFull: Serial` does it by itself." if swaps < replicas else ""
    return (
        f"There is room in place of stable: scaled down by {which}{how} it would leave its GPUs to the pending pods. "
        f"Before you do: to come back {them} must load again, which may take {reload_seconds:.0f} s.{itself}"
    )
