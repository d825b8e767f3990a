"""What the data plane must answer once a route is in force.

Here: routes → requests and the arms that may answer them. Not here: sending them (`cluster.probe`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .backends import Backends
from .routes import Guard

Manifest = Mapping[str, Any]
Heard = Literal["direct", "stable", "candidate", "error"]


@dataclass(frozen=True)
class Expectation:
    """One kind of request, the arms that must all be heard for it, and those that may be."""

    host: str
    """As in the route: empty for any, `*.example.com` for any below."""
    path: str
    arms: frozenset[Heard]
    tolerated: frozenset[Heard] = frozenset()
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    rarest_percent: int = 100
    """The smallest share of an arm in `arms`: how long to listen for it."""
    about: str = ""
    """Whose request it stands for, for sentences."""


def expectations(
    manifests: Sequence[Manifest], backends: Backends, *, guards: Sequence[Guard] = ()
) -> tuple[Expectation, ...]:
    """Return what confirms these routes through the data plane: each rule, each route, each hostname at least once."""
    raise NotImplementedError
