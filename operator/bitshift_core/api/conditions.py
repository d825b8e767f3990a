"""Conditions: the contract that tools wait on. `Ready` comes first; times move only when a status does."""

from collections.abc import Iterable
from datetime import UTC, datetime

from .v1alpha1 import Condition

READY = "Ready"
ACCEPTED = "Accepted"
FITS = "Fits"
GATES_PASSED = "GatesPassed"
PROMOTED = "Promoted"
RECONCILING = "Reconciling"
STALLED = "Stalled"


def with_conditions(known: Iterable[Condition], new: Iterable[Condition]) -> tuple[Condition, ...]:
    """Return the new conditions in order, each with the time at which its status last changed."""
    before = {condition.type: condition for condition in known}
    merged = [_keeping_time(before.get(condition.type), condition) for condition in new]
    return tuple(sorted(merged, key=lambda condition: (condition.type != READY, condition.type)))


def timestamp(now: float) -> str:
    """Return epoch seconds as Kubernetes writes them, cut to seconds so that equal states compare equal."""
    return datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def epoch(text: str | None) -> float:
    """Return the epoch seconds of a Kubernetes timestamp; 0 where there is none."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else 0.0


def _keeping_time(old: Condition | None, new: Condition) -> Condition:
    if old and old.status == new.status:
        return new.model_copy(update={"last_transition_time": old.last_transition_time})
    return new
