"""Which share of whose requests the candidate answers in a step.

Here: step and order → assignment. Not here: when a step is taken (`rollout.phases`), the rules (`traffic.overlay`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ..api.v1alpha1 import Step

OBSERVATION = "Observation"
"""Everybody on stable, through the relay. Upper case on purpose: no step of a user's can be called so."""
EVERYONE: Literal["Everyone"] = "Everyone"
"""Everybody but the excluded on the candidate."""


@dataclass(frozen=True)
class Share:
    """One tenant, and how many of its requests in a hundred the candidate answers."""

    tenant: str
    candidate_percent: int


@dataclass(frozen=True)
class Assignment:
    """Who is where in one step; a tenant that is neither here nor excluded counts as anonymous."""

    step: str
    shares: tuple[Share, ...] = ()
    anonymous_percent: int = 0
    excluded: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse two different shares: an overlay has one rule for the enrolled, so that no step makes a new rule."""
        if len({share.candidate_percent for share in self.shares} - {0}) > 1:
            raise ValueError("every enrolled tenant must have the same share in a step")

    @property
    def enrolled(self) -> tuple[str, ...]:
        """The tenants of whose requests the candidate answers some."""
        return tuple(share.tenant for share in self.shares if share.candidate_percent)

    @property
    def waiting(self) -> tuple[str, ...]:
        """The tenants that stay on stable in this step."""
        return tuple(share.tenant for share in self.shares if not share.candidate_percent)

    @property
    def enrolled_percent(self) -> int:
        """The share of an enrolled tenant's requests that the candidate answers."""
        return max((share.candidate_percent for share in self.shares), default=0)


def assignment(
    step: Step | Literal["Everyone"] | None,
    order: Sequence[str],
    *,
    exclude: Sequence[str] = (),
    already: Iterable[str] = (),
    anonymous_movable: bool = True,
) -> Assignment:
    """Return who is where in `step`; None observes everybody on stable, "Everyone" moves all but the excluded.

    `already` stay enrolled whoever was seen since: a tenant moves forward only, until everybody goes home.
    """
    excluded = tuple(dict.fromkeys(exclude))
    if step is None:
        return Assignment(OBSERVATION, tuple(Share(tenant, 0) for tenant in order), 0, excluded)
    if not isinstance(step, Step):
        return Assignment(step, tuple(Share(tenant, 100) for tenant in order), 100 * anonymous_movable, excluded)
    enrolled = enrol(order, step.tenants_percent, already=set(already))
    shares = tuple(Share(tenant, step.weight_percent * (tenant in enrolled)) for tenant in order)
    return Assignment(step.name, shares, anonymous_share(step) * anonymous_movable, excluded)


def enrol(order: Sequence[str], tenants_percent: int, *, already: set[str]) -> frozenset[str]:
    """Return the enrolled: those that are, then as many more in order as make the percentage, rounded up."""
    wanted = -(-len(order) * tenants_percent // 100)
    kept = [tenant for tenant in order if tenant in already]
    newcomers = [tenant for tenant in order if tenant not in already]
    return frozenset(kept + newcomers[: max(0, wanted - len(kept))])


def anonymous_share(step: Step) -> int:
    """Return the share of anonymous requests: what an average tenant's would be, and never none."""
    return max(1, (step.tenants_percent * step.weight_percent + 50) // 100)
