"""A user's HTTPRoute as a rollout sees it: which of its rules lead to stable, and whether they can be overlaid.

Here: the reading and its refusals. Not here: other routes in the way (`traffic.conflicts`), the overlay itself
(`traffic.overlay`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .precedence import Match

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class MovedRule:
    """What the copies of a user's rule keep: exact engine endpoints, and everything the gateway does on the way."""

    place: str
    """Where it is in the user's route, for sentences: `rule 2`."""
    matches: tuple[Match, ...]
    filters: tuple[Manifest, ...] = ()
    backend_filters: tuple[Manifest, ...] = ()
    backend_request_timeout: str = ""
    request_timeout: str = "0s"


@dataclass(frozen=True)
class Guard:
    """A request of somebody else's that an overlay must not get, on a gateway that does not keep to the standard."""

    host: str
    match: Match
    owner: str


@dataclass(frozen=True)
class RouteReading:
    """All that an overlay is made from; worked out anew from the user's route at every turn."""

    model_name: str
    namespace: str
    name: str
    hostnames: tuple[str, ...]
    parent_refs: tuple[Manifest, ...]
    tenant_header: str
    excluded: tuple[str, ...]
    service: str
    port: int
    """Stable's Service and the port that the route names: the way home."""
    rules: tuple[MovedRule, ...]
    anonymous_movable: bool = True
    anonymous_message: str = ""
    """Why requests without a tenant's rule cannot be moved, and what to change; empty when they can."""
    notes: tuple[str, ...] = ()
    guards: tuple[Guard, ...] = ()
    tenant_capacity: int = 0
    """Tenants that can have rules of their own besides the excluded; the others count as anonymous."""


def read_route(
    route: Manifest,
    *,
    model_name: str,
    stable_service: str,
    stable_port: int | None,
    tenant_header: str,
    endpoints: Sequence[str],
    other_routes: Sequence[Manifest] = (),
    policies: Sequence[Manifest] = (),
    excluded: Sequence[str] = (),
) -> RouteReading:
    """Return what an overlay of `route` is made from, or raise `RouteRefused` with what the user can change."""
    raise NotImplementedError
