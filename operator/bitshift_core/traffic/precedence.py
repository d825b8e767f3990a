"""Gateway API's order of precedence, as the specification has it and as gateways were measured to have it.

Here: which of two matches gets a request that both match. Not here: what follows for a user's route (`traffic.conflicts`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Match:
    """One match of a rule, with the API's defaults filled in and header names in lower case."""

    path_type: str = "PathPrefix"
    path: str = "/"
    method: str = ""
    headers: tuple[tuple[str, str, str], ...] = ()
    """Name, type, value; only the first of a name counts, as the API says."""
    query: tuple[tuple[str, str, str], ...] = ()

    @classmethod
    def from_manifest(cls, match: Mapping[str, Any]) -> "Match":
        """Return a rule's match as the gateway understands it."""
        path = match.get("path") or {}
        return cls(
            path_type=path.get("type", "PathPrefix"),
            path=path.get("value", "/"),
            method=match.get("method") or "",
            headers=named(match.get("headers") or (), lower=True),
            query=named(match.get("queryParams") or (), lower=False),
        )


def named(entries: Any, *, lower: bool) -> tuple[tuple[str, str, str], ...]:
    """Return name, type and value of header or query matches: the first of each name, in an order of their own."""
    first: dict[str, tuple[str, str, str]] = {}
    for entry in entries:
        name = entry["name"].lower() if lower else entry["name"]
        first.setdefault(name, (name, entry.get("type", "Exact"), entry.get("value", "")))
    return tuple(sorted(first.values()))
