"""The overlay: HTTPRoutes of ours that win over the user's own by being more specific, and whose removal is the way home.

Here: reading and assignment → manifests, and back. Not here: which rule lies in which route (`traffic.layout`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .backends import Backends, ServiceRef
from .routes import RouteReading
from .steps import Assignment

Manifest = Mapping[str, Any]
State = Literal["born", "live", "home", "neutral"]
"""born: matches nobody sends · live · home: every backend is the user's stable Service · neutral: home, and unmatched."""


@dataclass(frozen=True)
class OverlayReading:
    """What a restarted operator must know of a rollout, read back from its routes alone."""

    state: State
    consistent: bool
    """False when the operator died between two routes: apply the same state again before anything else."""
    assignment: Assignment
    placement: tuple[str, ...]
    """Tenants in the order in which they have places in routes; given back to `build_overlay`, nobody moves house."""
    revision: str = ""
    reason: str = ""
    message: str = ""
    names: tuple[str, ...] = ()

    @property
    def step(self) -> str:
        """The step that the routes are in."""
        return self.assignment.step


def build_overlay(
    reading: RouteReading,
    *,
    assignment: Assignment,
    backends: Backends,
    revision: str = "",
    placement: Sequence[str] = (),
    owner_references: Sequence[Manifest] = (),
    annotations: Mapping[str, str] | None = None,
) -> tuple[dict[str, Any], ...]:
    """Return the overlay's routes, live; rules never appear or vanish from step to step."""
    raise NotImplementedError


def as_born(manifests: Sequence[Manifest], never: str) -> tuple[dict[str, Any], ...]:
    """Return the routes with a header that nobody sends in every match: a fresh rule may be live before its cluster."""
    raise NotImplementedError


def as_home(
    manifests: Sequence[Manifest], home: ServiceRef, *, reason: str, message: str
) -> tuple[dict[str, Any], ...]:
    """Return the routes with all backends the user's own Service; needs nothing but the routes, so it always works."""
    raise NotImplementedError


def as_neutral(manifests: Sequence[Manifest], never: str) -> tuple[dict[str, Any], ...]:
    """Return routes that are home already, and now match nothing: what comes before deletion."""
    raise NotImplementedError


def read_overlay(manifests: Sequence[Manifest]) -> OverlayReading | None:
    """Return where the rollout stands by its routes (found by label), or None when there are none."""
    raise NotImplementedError
