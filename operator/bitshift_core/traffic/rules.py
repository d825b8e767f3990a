"""Rules of a user's route: which lead to stable, and what an exact copy of one must keep.

Here: one rule at a time. Not here: the route as a whole (`traffic.routes`), rules in the way (`traffic.conflicts`).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .precedence import Match, covers
from .refusals import RouteRefused

Manifest = Mapping[str, Any]

MATCHES_PER_COPY = 31
"""Half of what a rule may hold, so that at least two tenants find room in one."""
HEADERS_PER_MATCH = 16
OWN_HEADERS = 2
"""The tenant's, and the one that nobody sends."""


@dataclass(frozen=True)
class MovedRule:
    """What the copies of a user's rule keep: exact engine endpoints, and everything the gateway does on the way."""

    place: str
    """Where it is in the user's route, for sentences: `rule 2`."""
    matches: tuple[Match, ...]
    filters: tuple[Manifest, ...] = ()
    backend_filters: tuple[Manifest, ...] = ()
    request_timeout: str = "0s"
    """Always written: a gateway with a default of its own would cut streams."""
    backend_request_timeout: str = ""

    @property
    def treatment(self) -> str:
        """What the gateway does besides routing: rules that are alike in it share copies."""
        return json.dumps([self.filters, self.backend_filters, self.request_timeout, self.backend_request_timeout])


@dataclass(frozen=True)
class Copy:
    """One match of the user's, and what an overlay has in its place for one endpoint."""

    index: int
    """The rule's place in the route, from 0."""
    original: Match
    exact: Match


@dataclass(frozen=True)
class Lead:
    """The one backend of a rule that leads to stable."""

    port: int
    filters: tuple[Manifest, ...]


def matches_of(rule: Manifest) -> tuple[Match, ...]:
    """Return the rule's matches; a rule without any matches everything."""
    matches: Sequence[Manifest] = rule.get("matches") or ({},)
    return tuple(Match.from_manifest(match) for match in matches)


def lead_to(rule: Manifest, *, namespace: str, service: str, port: int | None, place: str) -> Lead | None:
    """Return how the rule leads to stable, None if it does not; a rule shared with another backend is refused."""
    backends = [ref for ref in rule.get("backendRefs") or () if ref.get("weight", 1) > 0]
    ours = [ref for ref in backends if names_service(ref, namespace, service) and port in (None, ref.get("port"))]
    if not ours:
        return None
    if len(backends) > 1:
        names = ", ".join(f"'{ref['name']}'" for ref in backends)
        raise RouteRefused(
            "SharedRule",
            f"{place} splits its requests between {names}. Let it lead to '{service}' alone: "
            "a rollout cannot be judged while another one moves the same requests.",
        )
    return Lead(ours[0].get("port", 0), tuple(ours[0].get("filters") or ()))


def names_service(ref: Manifest, namespace: str, service: str) -> bool:
    """Return whether a backend is the Service of the route's own namespace."""
    return (
        ref.get("name") == service
        and (ref.get("kind") or "Service") == "Service"
        and not ref.get("group")
        and (ref.get("namespace") or namespace) == namespace
    )


def exact_copies(
    rule: Manifest, index: int, *, endpoints: Sequence[str], tenant_header: str, place: str
) -> tuple[Copy, ...]:
    """Return each match of the rule once for each engine endpoint under it, with everything else that it asks for."""
    refuse_what_cannot_be_copied(rule, place)
    copies: list[Copy] = []
    for match in matches_of(rule):
        refuse_expression_path(match, place)
        covered = [endpoint for endpoint in endpoints if covers(match, endpoint)]
        if covered:
            refuse_conditions(match, tenant_header, place)
        copies += [Copy(index, match, match.at(endpoint)) for endpoint in covered]
    return tuple(copies)


def moved_rule(rule: Manifest, lead: Lead, matches: Iterable[Match], place: str) -> MovedRule:
    """Return what the overlay keeps of the rule."""
    timeouts = rule.get("timeouts") or {}
    return MovedRule(
        place=place,
        matches=tuple(dict.fromkeys(matches)),
        filters=tuple(rule.get("filters") or ()),
        backend_filters=lead.filters,
        request_timeout=timeouts.get("request") or "0s",
        backend_request_timeout=timeouts.get("backendRequest") or "",
    )


def refuse_expression_path(match: Match, place: str) -> None:
    """Raise for paths whose precedence no specification settles."""
    if match.path_type == "RegularExpression":
        raise RouteRefused(
            "RegularExpressionPath",
            f"{place} matches the path '{match.path}' as a regular expression, whose precedence each gateway decides "
            "for itself. Match a path prefix instead.",
        )


def refuse_conditions(match: Match, tenant_header: str, place: str) -> None:
    """Raise for conditions that no header of ours can be added to."""
    if any(name == tenant_header.lower() for name, _, _ in match.headers):
        raise RouteRefused(
            "MatchesTenantHeader",
            f"{place} matches on the tenant header '{tenant_header}' itself. Move tenants by another header "
            "(`spec.traffic.tenants.header`), or take this one out of the rule.",
        )
    if expression := next((name for name, type_, _ in (*match.headers, *match.query) if type_ != "Exact"), None):
        raise RouteRefused(
            "RegularExpressionMatch",
            f"{place} matches '{expression}' as a regular expression, which is no core feature: a copy of the rule "
            "could not be probed. Match an exact value instead.",
        )
    if len(match.headers) + OWN_HEADERS > HEADERS_PER_MATCH:
        raise RouteRefused(
            "TooManyHeaders",
            f"{place} matches {len(match.headers)} headers; {OWN_HEADERS} more must fit into the limit of "
            f"{HEADERS_PER_MATCH}. Match at most {HEADERS_PER_MATCH - OWN_HEADERS}.",
        )


def refuse_what_cannot_be_copied(rule: Manifest, place: str) -> None:
    """Raise for sticky clients, whom weights do not move, and for paths that the engine does not see as sent."""
    if rule.get("sessionPersistence"):
        raise RouteRefused(
            "SessionPersistence",
            f"{place} uses `sessionPersistence`, which keeps a client where it is even at weight 0: it could not be "
            "sent home. Remove it for the time of the rollout.",
        )
    if any((filter_.get("urlRewrite") or {}).get("path") for filter_ in rule.get("filters") or ()):
        raise RouteRefused(
            "PathRewrite",
            f"{place} rewrites the path, which an exact match on the engine's endpoints cannot repeat. Give the "
            "model a hostname of its own, so that requests carry the engine's paths.",
        )


def joined(rules: Iterable[MovedRule]) -> tuple[MovedRule, ...]:
    """Return the rules with those of one treatment made one, in pieces that leave room for tenants."""
    by_treatment: dict[str, MovedRule] = {}
    for rule in rules:
        known = by_treatment.get(rule.treatment)
        merged = tuple(dict.fromkeys((known.matches if known else ()) + rule.matches))
        by_treatment[rule.treatment] = replace(known or rule, matches=merged)
    return tuple(
        replace(rule, matches=rule.matches[start : start + MATCHES_PER_COPY])
        for rule in by_treatment.values()
        for start in range(0, len(rule.matches), MATCHES_PER_COPY)
    )
