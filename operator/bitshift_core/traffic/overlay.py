"""The overlay: HTTPRoutes of ours that win over the user's by being more specific; removing them is the way home.

Here: reading and assignment → manifests. Not here: which rule lies where (`traffic.layout`), what becomes of routes
once they are written (`traffic.states`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ..api.base import GROUP
from .backends import Backends, ServiceRef
from .layout import Block, Role, layout
from .precedence import Match
from .routes import RouteReading, overlay_labels
from .rules import MovedRule
from .steps import Assignment

Manifest = Mapping[str, Any]

NEVER_HEADER = "x-bitshift-never"
EMPTY = "-empty"
"""Ends the header's value where a rule has no tenants: such a match is told from one that waits to be made real."""

STATE, STEP, REVISION = f"{GROUP}/state", f"{GROUP}/step", f"{GROUP}/revision"
REASON, MESSAGE = f"{GROUP}/reason", f"{GROUP}/message"
ROLES, TENANT_HEADER = f"{GROUP}/rules", f"{GROUP}/tenant-header"
ENROLLED_PERCENT, ANONYMOUS_PERCENT = f"{GROUP}/enrolled-percent", f"{GROUP}/anonymous-percent"


def build_overlay(
    reading: RouteReading,
    *,
    assignment: Assignment,
    backends: Backends,
    never: str,
    revision: str = "",
    placement: Sequence[str] = (),
    owner_references: Sequence[Manifest] = (),
    annotations: Mapping[str, str] | None = None,
) -> tuple[dict[str, Any], ...]:
    """Return the overlay's routes, live, in the order to apply them: last the one that takes whoever has no rule.

    Rules neither appear nor vanish from step to step: only their matches and weights change.
    `never` is a value that nobody guesses; `placement` is that of the routes which exist, so that nobody moves house:
    between two writes a tenant without a rule would count as anonymous.
    """
    excluded = tuple(dict.fromkeys((*reading.excluded, *assignment.excluded)))
    tenants = placed(placement, assignment, excluded)
    kept = dict(annotations or {}) | {
        STATE: "live",
        STEP: assignment.step,
        REVISION: revision,
        TENANT_HEADER: reading.tenant_header,
        ENROLLED_PERCENT: str(assignment.enrolled_percent),
        ANONYMOUS_PERCENT: str(assignment.anonymous_percent),
    }
    routes = [
        route_manifest(reading, index, rules_of(blocks, reading, assignment, backends, unsent), kept, owner_references)
        for index, blocks in enumerate(layout(reading.rules, excluded, tenants))
        for unsent in [f"{never}-{index}"]
    ]
    return tuple(reversed(routes))


def placed(placement: Sequence[str], assignment: Assignment, excluded: Sequence[str]) -> tuple[str, ...]:
    """Return all tenants in the order of their places: newcomers last, and the silent ones where they were."""
    known = dict.fromkeys((*placement, *(share.tenant for share in assignment.shares)))
    return tuple(tenant for tenant in known if tenant not in excluded)


def route_manifest(
    reading: RouteReading,
    index: int,
    rules: Sequence[tuple[Role, Manifest]],
    annotations: Mapping[str, str],
    owner_references: Sequence[Manifest],
) -> dict[str, Any]:
    """Return one HTTPRoute, with the user's hostnames and parents as they are."""
    spec: dict[str, Any] = {"parentRefs": [dict(ref) for ref in reading.parent_refs]}
    if reading.hostnames:
        spec["hostnames"] = list(reading.hostnames)
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {
            "name": f"{reading.model_name}-overlay-{index}",
            "namespace": reading.namespace,
            "labels": overlay_labels(reading.model_name),
            "annotations": {**annotations, ROLES: ",".join(role for role, _ in rules)},
            **({"ownerReferences": [dict(owner) for owner in owner_references]} if owner_references else {}),
        },
        "spec": spec | {"rules": [rule for _, rule in rules]},
    }


def rules_of(
    blocks: Sequence[Block], reading: RouteReading, assignment: Assignment, backends: Backends, unsent: str
) -> list[tuple[Role, Manifest]]:
    """Return the rules of one route with their roles; the least specific last, for gateways that count places."""
    rules: list[tuple[Role, Manifest]] = []
    pairs = [(block, role) for block in blocks for role in block.roles]
    for place, (block, role) in enumerate(pairs):
        matches = matches_for(role, block, reading, assignment)
        # Each empty rule has a value of its own: gateways warn of two routes with the same match.
        empty = [block.rule.matches[0].with_header(NEVER_HEADER, f"{unsent}-{place}{EMPTY}")]
        rules.append((role, rule_manifest(block.rule, matches or empty, shares_of(role, assignment, backends))))
    return sorted(rules, key=lambda pair: pair[0] == "rest")


def matches_for(role: Role, block: Block, reading: RouteReading, assignment: Assignment) -> list[Match]:
    """Return the matches of one rule: its tenants', or those of whoever has no rule; none when it has no tenants."""
    enrolled = frozenset(assignment.enrolled)
    tenants = {
        "excluded": block.tenants,
        "waiting": tuple(tenant for tenant in block.tenants if tenant not in enrolled),
        "enrolled": tuple(tenant for tenant in block.tenants if tenant in enrolled),
        "rest": (),
    }[role]
    if role == "rest" and reading.anonymous_movable:
        return list(block.rule.matches)
    return [match.with_header(reading.tenant_header, tenant) for tenant in tenants for match in block.rule.matches]


def shares_of(role: Role, assignment: Assignment, backends: Backends) -> list[tuple[ServiceRef, int]]:
    """Return where a rule's requests go, in percent; an excluded tenant's do not even pass through the relay."""
    if role == "excluded":
        return [(backends.home, 100)]
    percent = {"enrolled": assignment.enrolled_percent, "rest": assignment.anonymous_percent}.get(role, 0)
    if role == "waiting" or backends.candidate in (None, backends.stable):
        if percent and backends.candidate is None:
            raise ValueError(f"step '{assignment.step}' sends {percent} % to a candidate that is not there")
        return [(backends.stable, 100)]
    assert backends.candidate is not None
    return [(backends.stable, 100 - percent), (backends.candidate, percent)]


def rule_manifest(
    rule: MovedRule, matches: Sequence[Match], shares: Sequence[tuple[ServiceRef, int]]
) -> dict[str, Any]:
    """Return one rule; its request timeout is always written."""
    timeouts = {"request": rule.request_timeout}
    if rule.backend_request_timeout:
        timeouts["backendRequest"] = rule.backend_request_timeout
    return {
        "matches": [match.to_manifest() for match in matches],
        **({"filters": [dict(filter_) for filter_ in rule.filters]} if rule.filters else {}),
        "backendRefs": [backend_ref(service, percent, rule.backend_filters) for service, percent in shares],
        "timeouts": timeouts,
    }


def backend_ref(service: ServiceRef, weight: int, filters: Sequence[Manifest]) -> dict[str, Any]:
    """Return one backend with everything that the API server would fill in, so that what is read back is the same."""
    reference = {"group": "", "kind": "Service", "name": service.name, "port": service.port, "weight": weight}
    return reference | ({"filters": [dict(filter_) for filter_ in filters]} if filters else {})
