"""A user's HTTPRoute as a rollout sees it: what an overlay is made from, or why there can be none.

Here: the reading as a whole. Not here: single rules (`traffic.rules`), other rules in the way (`traffic.conflicts`),
policies (`traffic.policies`), the overlay itself (`traffic.overlay`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..api.base import GROUP
from . import conflicts
from .conflicts import Guard, Rival
from .layout import tenant_capacity
from .policies import refuse_attached_policies
from .refusals import RouteRefused
from .rules import Copy, Lead, MovedRule, exact_copies, joined, lead_to, moved_rule
from .tenants import unusable

Manifest = Mapping[str, Any]

MODEL_LABEL = f"{GROUP}/model"
MANAGED_BY = ("app.kubernetes.io/managed-by", "bitshift")


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


def overlay_labels(model_name: str) -> dict[str, str]:
    """Return the labels of a model's overlay routes, by which they are found and policies may select them."""
    return {MANAGED_BY[0]: MANAGED_BY[1], MODEL_LABEL: model_name}


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
    spec, hostnames = route["spec"], tuple(route["spec"].get("hostnames") or ())
    refuse_attached_policies(route, policies, overlay_labels=overlay_labels(model_name))
    refuse_parents(route)
    refuse_unusable(excluded)
    leads = leads_in(route, stable_service, stable_port)
    rivals = tuple(all_rivals(route, other_routes, leads, model_name))
    copies = reaching_stable(route, leads, rivals, endpoints, tenant_header)
    rules = rules_from(route, leads, copies)
    movable, why_not = anonymous_can_move(route, copies)
    variants = (tenant_header, *([""] if movable else []))
    notes, guards = conflicts.check(conflicts.meetings(hostnames, copies, rivals, variants=variants), hostnames)
    return RouteReading(
        model_name=model_name,
        namespace=route["metadata"]["namespace"],
        name=route["metadata"]["name"],
        hostnames=hostnames,
        parent_refs=tuple(spec["parentRefs"]),
        tenant_header=tenant_header,
        excluded=tuple(dict.fromkeys(excluded)),
        service=stable_service,
        port=port_of(leads, stable_service),
        rules=rules,
        anonymous_movable=movable,
        anonymous_message=why_not,
        notes=(*notes, *notes_on_rules(route, leads, tenant_header)),
        guards=guards,
        tenant_capacity=tenant_capacity(rules, tuple(dict.fromkeys(excluded))),
    )


def leads_in(route: Manifest, service: str, port: int | None) -> dict[int, Lead]:
    """Return the rules that lead to stable, by their place."""
    namespace, found = route["metadata"]["namespace"], {}
    for index, rule in enumerate(route["spec"].get("rules") or ()):
        lead = lead_to(rule, namespace=namespace, service=service, port=port, place=place_of(route, index))
        if lead:
            found[index] = lead
    if not found:
        named = f"'{service}'" + (f" port {port}" if port else "")
        raise RouteRefused(
            "RouteMissesStable",
            f"No rule of HTTPRoute '{route['metadata']['name']}' leads to Service {named}. Name the route that does in "
            "`spec.traffic.route`, or the Service that it leads to in `spec.stable.service`.",
        )
    return found


def port_of(leads: Mapping[int, Lead], service: str) -> int:
    """Return the one port of stable's that the route names."""
    ports = sorted({lead.port for lead in leads.values()})
    if len(ports) > 1:
        raise RouteRefused(
            "AmbiguousPort",
            f"The route leads to ports {', '.join(map(str, ports))} of Service '{service}'. Say which of them serves "
            "the model in `spec.stable.port`.",
        )
    return ports[0]


def reaching_stable(
    route: Manifest, leads: Mapping[int, Lead], rivals: Sequence[Rival], endpoints: Sequence[str], tenant_header: str
) -> tuple[Copy, ...]:
    """Return an exact copy for each engine endpoint whose requests reach stable today, or refuse if none do."""
    rules = route["spec"]["rules"]
    copies = [
        copy
        for index in leads
        for copy in exact_copies(
            rules[index],
            index,
            endpoints=endpoints,
            tenant_header=tenant_header,
            place=place_of(route, index),
        )
    ]
    kept = conflicts.without_repeated(
        conflicts.without_shadowed(copies, rivals, tuple(route["spec"].get("hostnames") or ()))
    )
    if not kept:
        raise RouteRefused(
            "NoEndpointCovered",
            f"HTTPRoute '{route['metadata']['name']}' sends none of the engine's endpoints ({', '.join(endpoints)}) to "
            f"stable as the engine would see them. Let a rule that leads to stable cover them, for example by the "
            "prefix '/v1' at a hostname of the model's own.",
        )
    return kept


def rules_from(route: Manifest, leads: Mapping[int, Lead], copies: Sequence[Copy]) -> tuple[MovedRule, ...]:
    """Return the user's rules as an overlay keeps them, those of one treatment joined."""
    single = {
        index: moved_rule(
            route["spec"]["rules"][index],
            leads[index],
            (copy.exact for copy in copies if copy.index == index),
            f"rule {index + 1}",
        )
        for index in sorted({copy.index for copy in copies})
    }
    conflicts.refuse_reordering(copies, {index: rule.treatment for index, rule in single.items()})
    return joined(single.values())


def all_rivals(
    route: Manifest, other_routes: Iterable[Manifest], leads: Iterable[int], model_name: str
) -> Iterator[Rival]:
    """Yield what leads elsewhere on the same gateways: the route's other rules, other routes, but not our overlay."""
    yield from conflicts.rivals_in(route, leads=leads, own=True)
    for other in other_routes:
        if identity(other) == identity(route) or is_overlay_of(other, model_name, route["metadata"]["namespace"]):
            continue
        shared = [any(meet(ours, theirs) for theirs in parents(other)) for ours in parents(route)]
        if any(shared):
            yield from conflicts.rivals_in(other, everywhere=all(shared))


def is_overlay_of(route: Manifest, model_name: str, namespace: str) -> bool:
    """Return whether a route is part of the model's own overlay."""
    labels = route["metadata"].get("labels") or {}
    ours = overlay_labels(model_name).items() <= labels.items() and route["metadata"]["namespace"] == namespace
    return bool(ours and f"{GROUP}/state" in (route["metadata"].get("annotations") or {}))


def identity(route: Manifest) -> tuple[str, str]:
    """Return namespace and name."""
    return route["metadata"]["namespace"], route["metadata"]["name"]


def parents(route: Manifest) -> list[tuple[str, str, str, str, str]]:
    """Return what the route is attached to: kind, namespace, name, listener and port, empty for all."""
    return [
        (
            ref.get("kind") or "Gateway",
            ref.get("namespace") or route["metadata"]["namespace"],
            ref["name"],
            ref.get("sectionName") or "",
            str(ref.get("port") or ""),
        )
        for ref in route["spec"].get("parentRefs") or ()
    ]


def meet(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Return whether two attachments share a listener, as far as their names tell."""
    return one[:3] == other[:3] and all(a == b or not a or not b for a, b in zip(one[3:], other[3:], strict=True))


def refuse_parents(route: Manifest) -> None:
    """Raise for a route that no Gateway serves: elsewhere an overlay's precedence is not specified."""
    kinds = {kind for kind, *_ in parents(route)}
    if not kinds or not kinds <= {"Gateway", "ListenerSet"}:
        raise RouteRefused(
            "NoGatewayParent",
            f"HTTPRoute '{route['metadata']['name']}' is attached to {', '.join(sorted(kinds)) or 'nothing'}; an "
            "overlay needs Gateways. Name in `spec.traffic.route` a route whose `parentRefs` are Gateways only.",
        )


def refuse_unusable(excluded: Sequence[str]) -> None:
    """Raise for an excluded tenant that no rule can keep on stable."""
    if names := unusable(excluded):
        raise RouteRefused(
            "UnusableTenantName",
            f"The excluded tenant '{names[0]}' has characters that header matches do not carry safely, so no rule can "
            "keep it on stable. Take it out of `spec.traffic.tenants.exclude` or give it another identifier.",
        )


def anonymous_can_move(route: Manifest, copies: Sequence[Copy]) -> tuple[bool, str]:
    """Return whether an exact path beats every match of the user's, and the sentence if it does not."""
    exact = next((copy for copy in copies if copy.original.path_type == "Exact"), None)
    if exact is None:
        return True, ""
    return False, (
        f"Requests without a tenant's own rule stay on stable: {place_of(route, exact.index)} matches "
        f"'{exact.original.path}' exactly, and nothing but a header is more specific. Match it as a `PathPrefix`, or "
        "hand over to move them."
    )


def notes_on_rules(route: Manifest, leads: Iterable[int], tenant_header: str) -> Iterator[str]:
    """Yield what is left out of the copies or will be missing in the evidence."""
    for index in leads:
        rule, place = route["spec"]["rules"][index], place_of(route, index)
        if rule.get("retry"):
            yield f"{place} retries; its copies do not, because a retry would hide the candidate's errors."
        for filter_ in rule.get("filters") or ():
            changed = filter_.get("requestHeaderModifier") or {}
            names = [entry["name"] for key in ("set", "add") for entry in changed.get(key) or ()]
            if tenant_header.lower() in (name.lower() for name in (*names, *(changed.get("remove") or ()))):
                yield f"{place} changes '{tenant_header}': the evidence names tenants as the relay sees them."


def place_of(route: Manifest, index: int) -> str:
    """Return where a rule is, for sentences."""
    return f"Rule {index + 1} of HTTPRoute '{route['metadata']['name']}'"
