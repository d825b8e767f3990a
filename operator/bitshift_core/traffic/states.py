"""What becomes of overlay routes once they are written: born, live, home, neutral; and what a restart reads in them.

Here: routes → routes, and routes → reading. Not here: making them from a user's route (`traffic.overlay`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from ..api.base import GROUP
from .backends import ServiceRef
from .overlay import (
    ANONYMOUS_PERCENT,
    EMPTY,
    ENROLLED_PERCENT,
    MESSAGE,
    NEVER_HEADER,
    REASON,
    REVISION,
    ROLES,
    STATE,
    STEP,
    TENANT_HEADER,
    backend_ref,
)
from .steps import Assignment, Share

Manifest = Mapping[str, Any]
State = Literal["born", "live", "home", "neutral"]
"""born: matches that nobody sends · live · home: all backends are the user's Service · neutral: home, and unmatched."""

MESSAGE_CHARACTERS = 1024


@dataclass(frozen=True)
class OverlayReading:
    """What a restarted operator must know of a rollout, read back from its routes alone."""

    state: State
    """Of routes in several states the one that is safest to go on from: on the way home, then live."""
    consistent: bool
    """False when the operator died between two routes: apply the same state again before anything else."""
    assignment: Assignment
    """Of routes in several steps the one with the fewest on the candidate."""
    placement: tuple[str, ...]
    """Tenants in the order of their places; given back to `build_overlay`, nobody moves house."""
    revision: str = ""
    reason: str = ""
    message: str = ""
    names: tuple[str, ...] = ()

    @property
    def step(self) -> str:
        """The step that the routes are in."""
        return self.assignment.step


def as_born(manifests: Sequence[Manifest], never: str) -> tuple[dict[str, Any], ...]:
    """Return the routes with a header that nobody sends in every match: a fresh rule may be live before its cluster."""
    return tuple(with_rules(manifest, unmatched(manifest, never), {STATE: "born"}) for manifest in manifests)


def as_born_if_new(manifests: Sequence[Manifest], existing: Collection[str], never: str) -> tuple[dict[str, Any], ...]:
    """Return the routes with those not among the names in `existing` as born; the next turn makes them live.

    Tenants may come to be known in the middle of a rollout, and need one route more.
    """
    return tuple(
        dict(manifest) if manifest["metadata"]["name"] in existing else as_born([manifest], never)[0]
        for manifest in manifests
    )


def as_home(
    manifests: Sequence[Manifest], home: ServiceRef, *, reason: str, message: str
) -> tuple[dict[str, Any], ...]:
    """Return the routes with all backends the user's own Service; needs nothing but the routes, so it always works."""
    why = {STATE: "home", REASON: reason, MESSAGE: message[:MESSAGE_CHARACTERS]}
    return tuple(
        with_rules(manifest, [rule | {"backendRefs": [home_ref(rule, home)]} for rule in rules_in(manifest)], why)
        for manifest in manifests
    )


def as_neutral(manifests: Sequence[Manifest], never: str) -> tuple[dict[str, Any], ...]:
    """Return routes that are home already, and now match nothing: what comes before deletion."""
    return tuple(with_rules(manifest, unmatched(manifest, never), {STATE: "neutral"}) for manifest in manifests)


def home_ref(rule: Manifest, home: ServiceRef) -> dict[str, Any]:
    """Return the one backend of a rule that is home, with what its backends had of filters."""
    return backend_ref(home, 100, rule["backendRefs"][0].get("filters") or ())


def with_rules(manifest: Manifest, rules: Sequence[Manifest], annotations: Mapping[str, str]) -> dict[str, Any]:
    """Return the route as we would apply it: with these rules, and without what the API server or others wrote."""
    metadata = manifest["metadata"]
    kept = {key: metadata[key] for key in ("name", "namespace", "labels", "ownerReferences") if metadata.get(key)}
    ours = {key: value for key, value in (metadata.get("annotations") or {}).items() if key.startswith(f"{GROUP}/")}
    return {
        "apiVersion": manifest.get("apiVersion", "gateway.networking.k8s.io/v1"),
        "kind": "HTTPRoute",
        "metadata": {**kept, "annotations": {**ours, **annotations}},
        "spec": {**manifest["spec"], "rules": [dict(rule) for rule in rules]},
    }


def rules_in(manifest: Manifest) -> list[dict[str, Any]]:
    """Return the route's rules."""
    return [dict(rule) for rule in manifest["spec"]["rules"]]


def unmatched(manifest: Manifest, never: str) -> list[dict[str, Any]]:
    """Return the rules with a header that nobody sends in every match."""
    return [rule | {"matches": [never_sent(match, never) for match in rule["matches"]]} for rule in rules_in(manifest)]


def never_sent(match: Manifest, never: str) -> dict[str, Any]:
    """Return the match with the header, once."""
    headers = list(match.get("headers") or ())
    if not never_value(match):
        headers.append({"type": "Exact", "name": NEVER_HEADER, "value": never})
    return {**match, "headers": headers}


def never_value(match: Manifest) -> str:
    """Return the value that a match asks for of the header that nobody sends; empty for a real match."""
    return header_value(match, NEVER_HEADER)


def is_empty(match: Manifest) -> bool:
    """Return whether a match stands where a rule has no tenants."""
    return never_value(match).endswith(EMPTY)


def header_value(match: Manifest, name: str) -> str:
    """Return the value that a match asks for of a header."""
    values = [entry["value"] for entry in match.get("headers") or () if entry["name"].lower() == name.lower()]
    return values[0] if values else ""


def read_overlay(manifests: Sequence[Manifest]) -> OverlayReading | None:
    """Return where the rollout stands by its routes (found by label), or None when there are none."""
    routes = sorted((route for route in manifests if annotation(route, STATE)), key=number)
    if not routes:
        return None
    state = safest({annotation(route, STATE) for route in routes})
    leading = min([route for route in routes if annotation(route, STATE) == state] or routes, key=exposure)
    roles = tenants_by_role(routes)
    return OverlayReading(
        state=state,
        consistent=len({(annotation(route, STATE), annotation(route, STEP)) for route in routes}) == 1,
        assignment=read_assignment(leading, roles),
        placement=roles["placement"],
        revision=annotation(leading, REVISION),
        reason=annotation(leading, REASON),
        message=annotation(leading, MESSAGE),
        names=tuple(route["metadata"]["name"] for route in routes),
    )


def read_assignment(leading: Manifest, roles: Mapping[str, tuple[str, ...]]) -> Assignment:
    """Return who is where, by the rules' matches and by what the leading route says of its weights."""
    enrolled, percent = frozenset(roles["enrolled"]), exposure(leading)
    return Assignment(
        step=annotation(leading, STEP),
        shares=tuple(Share(tenant, percent[1] * (tenant in enrolled)) for tenant in roles["placement"]),
        anonymous_percent=percent[0],
        excluded=roles["excluded"],
    )


def safest(states: set[str]) -> State:
    """Return the state to go on from when routes are in several: nothing turns back on its way home.

    Where one route is live, users may be on the candidate, however many routes are only being born beside it.
    """
    if len(states) == 1:
        return cast(State, states.pop())
    return "home" if states & {"home", "neutral"} else "live"


def exposure(route: Manifest) -> tuple[int, int]:
    """Return how much a route sends to the candidate: of anonymous requests, of an enrolled tenant's."""
    return int(annotation(route, ANONYMOUS_PERCENT) or 0), int(annotation(route, ENROLLED_PERCENT) or 0)


def tenants_by_role(routes: Sequence[Manifest]) -> dict[str, tuple[str, ...]]:
    """Return the tenants of each kind of rule; under `placement` all that can move, in the order of their places."""
    found: dict[str, dict[str, None]] = {"excluded": {}, "waiting": {}, "enrolled": {}, "rest": {}, "placement": {}}
    for route in routes:
        header = annotation(route, TENANT_HEADER)
        for role, rule in zip(annotation(route, ROLES).split(","), route["spec"]["rules"], strict=False):
            tenants = dict.fromkeys(filter(None, (header_value(match, header) for match in rule["matches"])))
            found[role] |= tenants
            if role in ("waiting", "enrolled"):
                found["placement"] |= tenants
    return {role: tuple(tenants) for role, tenants in found.items()}


def annotation(route: Manifest, key: str) -> str:
    """Return one of a route's annotations, empty when it has none."""
    return str((route["metadata"].get("annotations") or {}).get(key, ""))


def number(route: Manifest) -> int:
    """Return the number that ends an overlay route's name."""
    ending = route["metadata"]["name"].rpartition("-")[2]
    return int(ending) if ending.isdigit() else 0
