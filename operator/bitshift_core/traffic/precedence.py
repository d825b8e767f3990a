"""Gateway API's order of precedence: as the specification has it, and as a gateway was measured to have it.

Here: which of two matches gets a request that both match. Not here: what follows for a route (`traffic.conflicts`).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Entry = tuple[str, str, str]
"""Name, type and value of one header or query condition."""

ANY_VALUE = "AnyValue"
"""A type of ours: the condition may hold for any value, as a tenant header's does before it is known who sends it."""


@dataclass(frozen=True)
class Match:
    """One match of a rule, with the API's defaults filled in and header names in lower case."""

    path_type: str = "PathPrefix"
    path: str = "/"
    method: str = ""
    headers: tuple[Entry, ...] = ()
    query: tuple[Entry, ...] = ()

    @classmethod
    def from_manifest(cls, match: Mapping[str, Any]) -> "Match":
        """Return a rule's match as the gateway understands it."""
        path = match.get("path") or {}
        return cls(
            path_type=path.get("type") or "PathPrefix",
            path=path.get("value") or "/",
            method=match.get("method") or "",
            headers=first_of_each_name(match.get("headers") or (), lower=True),
            query=first_of_each_name(match.get("queryParams") or (), lower=False),
        )

    def to_manifest(self) -> dict[str, Any]:
        """Return the match as a rule carries it."""
        manifest: dict[str, Any] = {"path": {"type": self.path_type, "value": self.path}}
        if self.headers:
            manifest["headers"] = [as_entry(entry) for entry in self.headers]
        if self.query:
            manifest["queryParams"] = [as_entry(entry) for entry in self.query]
        return manifest | ({"method": self.method} if self.method else {})

    def with_header(self, name: str, value: str, type_: str = "Exact") -> "Match":
        """Return the match that asks for one header more."""
        headers = tuple(sorted((*self.headers, (name.lower(), type_, value))))
        return Match(self.path_type, self.path, self.method, headers, self.query)

    def at(self, path: str) -> "Match":
        """Return the match for one exact path."""
        return Match("Exact", path, self.method, self.headers, self.query)


def as_entry(entry: Entry) -> dict[str, str]:
    """Return a header or query condition as a manifest carries it."""
    return {"type": entry[1], "name": entry[0], "value": entry[2]}


def first_of_each_name(entries: Iterable[Mapping[str, Any]], *, lower: bool) -> tuple[Entry, ...]:
    """Return the conditions that count: the first of each name, as the API says, in an order of their own."""
    first: dict[str, Entry] = {}
    for entry in entries:
        name = entry["name"].lower() if lower else entry["name"]
        first.setdefault(name, (name, entry.get("type") or "Exact", entry.get("value") or ""))
    return tuple(sorted(first.values()))


def covers(match: Match, path: str) -> bool:
    """Return whether requests for `path` can match; a regular expression is believed to match when it may."""
    if match.path_type == "Exact":
        return match.path == path
    if match.path_type == "PathPrefix":
        prefix = match.path.rstrip("/")
        return path == prefix or path.startswith(f"{prefix}/")
    try:
        return re.search(match.path, path) is not None
    except re.error:
        return True


def can_meet(ours: Match, other: Match) -> bool:
    """Return whether some request for our exact path satisfies both matches."""
    methods = {ours.method, other.method} - {""}
    return (
        len(methods) < 2
        and covers(other, ours.path)
        and agree(ours.headers, other.headers)
        and agree(ours.query, other.query)
    )


def agree(some: Iterable[Entry], others: Iterable[Entry]) -> bool:
    """Return whether both sets of conditions can hold at once: only two exact values of one name exclude each other."""
    known = {name: value for name, type_, value in some if type_ == "Exact"}
    return all(type_ != "Exact" or known.get(name, value) == value for name, type_, value in others)


def includes(wide: Match, narrow: Match) -> bool:
    """Return whether every request of `narrow`, which has an exact path, matches `wide` too."""
    return (
        covers(wide, narrow.path)
        and wide.path_type != "RegularExpression"
        and wide.method in ("", narrow.method)
        and set(wide.headers) <= set(narrow.headers)
        and set(wide.query) <= set(narrow.query)
    )


def compare(one: Match, one_host: str, other: Match, other_host: str) -> int | None:
    """Return 1, 0 or -1 as `one` gets the requests that both match, neither is ahead, or `other` gets them.

    Hostnames come first: a whole one, then the longer; then exact path, longer prefix, method, headers, query. None:
    the specification leaves a regular expression's place to the gateway.
    """
    left, right = hostname_rank(one_host), hostname_rank(other_host)
    if left == right:
        if "RegularExpression" in (one.path_type, other.path_type):
            return None
        left, right = match_rank(one), match_rank(other)
    return (left > right) - (left < right)


def hostname_rank(hostname: str) -> tuple[int, ...]:
    """Return how specific a hostname is: characters of a whole one, then characters at all."""
    return (0 if hostname.startswith("*") else len(hostname), len(hostname))


def match_rank(match: Match) -> tuple[int, ...]:
    """Return how specific a match is below its hostname."""
    exact = match.path_type == "Exact"
    prefix_length = 0 if exact else len(match.path.rstrip("/"))
    return (exact, prefix_length, bool(match.method), len(match.headers), len(match.query))


SCORE_DOUBT = 16
"""A rule's place in its route counts up to 16 there, and is not worth following."""


def score(match: Match, longest_hostname: int) -> int:
    """Return the priority that Traefik adds up instead: a path there outweighs any hostname."""
    path = {"Exact": 100_000, "RegularExpression": 10_000 + len(match.path) * 100}.get(match.path_type)
    if path is None:
        path = 1 if match.path == "/" else 10_000 + len(match.path) * 100
    return path + 1000 * bool(match.method) + 100 * len(match.headers) + 10 * len(match.query) + longest_hostname


def host_in_common(one: str, other: str) -> str | None:
    """Return the hostname that both patterns serve, the narrower of the two, or None; an empty one serves any."""
    if not one or not other or one == other:
        return one or other
    for wide, narrow in ((one, other), (other, one)):
        if wide.startswith("*.") and narrow.removeprefix("*").endswith(wide[1:]):
            return narrow
    return None


def effective_hostname(hostnames: Iterable[str], host: str) -> str:
    """Return the one of a route's hostnames that counts for `host`: the most specific that serves all of it."""
    serving = [hostname for hostname in hostnames if host_in_common(hostname, host) == host]
    return max(serving, key=hostname_rank, default="")
