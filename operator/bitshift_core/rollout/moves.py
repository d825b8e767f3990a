"""What is known of traffic: the user's route, our overlay, the relay's counts, and the live verdict on them."""

from dataclasses import replace

from ..api.base import GROUP
from ..api.catalogue import RuntimeProfileSpec
from ..api.conditions import epoch
from ..api.v1alpha1 import Refused
from ..evidence.live import LivePolicy, LiveState, begin_step, fold
from ..evidence.verdict import judge
from ..traffic.handover import handover_lines, route_points_at
from ..traffic.refusals import RouteRefused
from ..traffic.routes import RouteReading, read_route
from ..traffic.states import read_overlay
from ..traffic.steps import EVERYONE, OBSERVATION
from ..traffic.tenants import fitting, order
from . import names
from .observation import Observation, Overlay
from .pods import pods_named
from .snapshot import Manifest, Snapshot

RESTING = f"{GROUP}/resting"


def see_traffic(snapshot: Snapshot, seen: Observation, profile: RuntimeProfileSpec | None) -> Observation:
    """Return the observation with all that is known of routes and live evidence."""
    seen = _with_route(snapshot, seen, profile)
    seen = _with_evidence(snapshot, seen)
    return replace(seen, overlay=_overlay(snapshot, seen))


def _with_route(snapshot: Snapshot, seen: Observation, profile: RuntimeProfileSpec | None) -> Observation:
    own, service = snapshot.own_route, names.release_service(seen.name)
    seen = replace(
        seen,
        own_route_exists=own is not None,
        own_route_accepted=own is not None and is_accepted(own),
        users_lead_here=snapshot.user_route is not None and route_points_at(snapshot.user_route, service),
    )
    if seen.stable is None or profile is None:
        return seen
    route = snapshot.user_route or own
    if route is None and seen.spec.traffic.gateway:
        return seen  # ours, and still to be made
    if route is None:
        missing = ("RouteNotFound", f"`traffic.route` is '{seen.spec.traffic.route}', but namespace '{seen.namespace}' "
                   "has no such HTTPRoute: create it, or set `traffic.mode` to 'None' to judge only.")  # fmt: skip
        return replace(seen, problem=missing)
    handed_over = route_points_at(route, service)
    stable_service = service if handed_over else (seen.spec.stable.service if seen.spec.stable else service)
    lines = handover_lines(route, stable_service=stable_service, service=service, port=80) if not handed_over else ()
    seen = replace(seen, handed_over=handed_over, handover=tuple(lines))
    try:
        reading = read_route(
            route,
            model_name=seen.name,
            stable_service=stable_service,
            stable_port=None if handed_over else (seen.spec.stable.port if seen.spec.stable else None),
            tenant_header=seen.spec.traffic.tenants.header,
            endpoints=profile.endpoints,
            other_routes=snapshot.other_routes,
            policies=snapshot.policies,
            excluded=seen.spec.traffic.tenants.exclude,
        )
    except RouteRefused as refused:
        problem = (refused.reason, refused.message)
        return replace(seen, route_problem=problem, problem=seen.problem or problem)
    return replace(seen, route=reading)


def _with_evidence(snapshot: Snapshot, seen: Observation) -> Observation:
    """Count what the relay reports, each request once; a step's evidence begins with its route."""
    policy = LivePolicy.from_evidence(seen.spec.traffic.evidence, steps=len(seen.spec.traffic.steps) + 1)
    before = _kept(snapshot)
    reading = read_overlay(snapshot.overlay)
    state = before[1] if before and before[0] == _rollout(snapshot) else LiveState()
    started = state
    state = fold(state, snapshot.relay_reports, policy)
    if reading and reading.state == "live" and reading.step != OBSERVATION and state.step != reading.step:
        state = begin_step(state, reading.step, snapshot.now, policy, concurrent=reading.step != EVERYONE)
    in_flight = _in_flight(snapshot)
    tenants = _tenants(snapshot, seen, state)
    verdict = judge(state, policy) if reading and reading.state == "live" else None
    return replace(
        seen, live=state, live_changed=state != started, policy=policy, verdict=verdict, relay_in_flight=in_flight,
        tenants=tenants,
    )  # fmt: skip


def _kept(snapshot: Snapshot) -> tuple[str, LiveState] | None:
    """Return the rollout that the kept statistics are about, and the statistics."""
    config_map = snapshot.config_maps.get(names.evidence_name(snapshot.name))
    data = (config_map or {}).get("data") or {}
    if "state.json" not in data:
        return None
    return data.get("rollout", ""), LiveState.model_validate_json(data["state.json"])


def _rollout(snapshot: Snapshot) -> str:
    told = [(route["metadata"].get("annotations") or {}).get(names.ROLLOUT, "") for route in snapshot.overlay]
    return told[0] if told else ""


def _in_flight(snapshot: Snapshot) -> dict[str, int] | None:
    if len(snapshot.relay_reports) < snapshot.relay_pods_asked:
        return None
    total: dict[str, int] = {}
    for report in snapshot.relay_reports:
        for arm, count in report.in_flight.items():
            total[arm] = total.get(arm, 0) + count
    return total


def _tenants(snapshot: Snapshot, seen: Observation, state: LiveState) -> tuple[str, ...]:
    tenants = seen.spec.traffic.tenants
    reported = {tenant for report in snapshot.relay_reports for tenant in report.tenants}
    heard = reported | set(state.seen) | {*tenants.first, *tenants.last}
    reading = read_overlay(snapshot.overlay)
    routed = set(reading.placement) if reading else set()
    found = order(
        (heard | routed) - {"", "~other"},
        seed=seen.uid,
        first=tenants.first,
        last=tenants.last,
        exclude=tenants.exclude,
    )
    capacity = seen.route.tenant_capacity if seen.route else len(found)
    placed = reading.placement if reading else ()
    return fitting(found, capacity, placed=placed, named=(*tenants.first, *tenants.last))


def _overlay(snapshot: Snapshot, seen: Observation) -> Overlay | None:
    reading = read_overlay(snapshot.overlay)
    if reading is None:
        return None
    annotations = snapshot.overlay[0]["metadata"].get("annotations") or {}
    known = {share.tenant for share in reading.assignment.shares}
    return Overlay(
        reading=reading,
        accepted=all(is_accepted(route) for route in snapshot.overlay),
        verified=all(is_verified(route) for route in snapshot.overlay),
        pods=pods_named(snapshot, reading.revision),
        resting=annotations.get(RESTING, ""),
        refusal=_refusal(snapshot),
        rollout=_rollout(snapshot),
        since=epoch(annotations.get(names.SINCE)),
        stable_replicas=int(annotations.get(names.STABLE_REPLICAS, 0)),
        outdated=bool(set(seen.tenants) - known) or not _same_shape(seen.route, snapshot.overlay),
    )


def _refusal(snapshot: Snapshot) -> Refused | None:
    """Return the refusal that any of the routes tells: the operator may have died before it was on all of them."""
    told = [(route["metadata"].get("annotations") or {}).get(names.REFUSAL) for route in snapshot.overlay]
    return next((Refused.model_validate_json(text) for text in told if text), None)


def is_accepted(route: Manifest) -> bool:
    """Return whether every parent took the route as it stands."""
    parents = (route.get("status") or {}).get("parents") or []
    wanted = len(route["spec"].get("parentRefs") or [])
    generation = route["metadata"].get("generation")
    taken = [
        parent
        for parent in parents
        if any(
            each.get("type") == "Accepted"
            and each.get("status") == "True"
            and each.get("observedGeneration") == generation
            for each in parent.get("conditions") or []
        )
    ]
    return len(taken) >= wanted > 0


def is_verified(route: Manifest) -> bool:
    """Return whether the data plane was heard to do what this very route says."""
    annotations = route["metadata"].get("annotations") or {}
    return bool(annotations.get(names.VERIFIED)) and annotations[names.VERIFIED] == fingerprint(route)


def fingerprint(route: Manifest) -> str:
    """Return what changes whenever the route's meaning changes."""
    return names.digest(route["spec"], 12)


def _same_shape(reading: RouteReading | None, overlay: object) -> bool:
    """Return whether the user's route is still what the overlay was made from; unknown counts as unchanged."""
    if reading is None or not isinstance(overlay, list | tuple) or not overlay:
        return True
    spec = overlay[0]["spec"]
    same_hosts = tuple(spec.get("hostnames") or ()) == tuple(reading.hostnames)
    return same_hosts and len(spec.get("parentRefs") or ()) == len(reading.parent_refs)
