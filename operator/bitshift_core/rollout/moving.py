"""Moving users: step by step forward while evidence says so, home at once when it says no.

Every step is one edit of the overlay, and is confirmed through the data plane before the next is thought of.
"""

from ..traffic.steps import EVERYONE, OBSERVATION, Assignment, assignment
from . import lending, names
from .observation import DELETED, Observation, Overlay
from .plan import (
    Action,
    AskPods,
    DropFinalizer,
    HoldObject,
    LeaveBehind,
    MakeRoute,
    Neutralise,
    Plan,
    RemoveOverlay,
    RemoveRelay,
    Route,
    RouteHome,
    RouteResting,
    SaveEvidence,
    ScaleRelease,
    ScaleStableToZero,
    ServeAs,
    StartRelay,
    StartRelease,
    Verify,
)

TICK_SECONDS = 2.0
SOON_SECONDS = 0.2
OBSERVED_REQUESTS = 30
OBSERVE_SECONDS = 60.0


def shift(seen: Observation) -> Plan:
    """Take the next step towards everybody on the candidate, if the step before it is proven."""
    overlay, revision = seen.overlay, _revision(seen)
    is_quiet = overlay is None or not overlay.routes_to_candidate
    if is_quiet and seen.relay.exists and seen.relay_revision != revision:
        return _without_former_relay(seen)
    if not seen.relay.serving:
        ready = f"{seen.relay.ready} of {seen.relay.desired or 2} relay pods are ready."
        return Plan("StartingRelay", ready, (StartRelay(revision), *counted(seen)), wake_after=1)
    if overlay is None:
        born = Route(revision, _assignment(seen, None), born=True, new_step=True)
        return Plan("RouteBorn", "The overlay route is made, with matches that nobody sends.", (born,), SOON_SECONDS)
    if overlay.reading.state == "born":
        return _make_live(seen, overlay, revision)
    if overlay.resting or overlay.reading.revision != revision:
        observe = Route(revision, _assignment(seen, None), new_step=True)
        return Plan("Observing", "Traffic is observed through the relay, all of it on stable.", (observe, Verify()), 1)
    if held := _held(seen, overlay):
        return held
    return _next_step(seen, overlay, revision)


def _without_former_relay(seen: Observation) -> Plan:
    """End the relay of the rollout before, whose arms lead elsewhere; no route of this one names it yet."""
    if not seen.relay_is_drained():
        return Plan("StartingRelay", "The last streams of the rollout before end.", (), wake_after=1)
    return Plan("StartingRelay", f"The relay to {seen.relay_revision} goes.", (RemoveRelay(),), SOON_SECONDS)


def hold(seen: Observation) -> Plan:
    """Keep everybody on the candidate and stable warm for the hold time, then promote."""
    overlay = seen.overlay
    assert overlay is not None
    revision = overlay.reading.revision
    if revision == seen.current_revision:  # the operator died in the middle of this
        return Plan("Promoted", f"{revision} is promoted.", (RouteResting(revision), Verify()), SOON_SECONDS)
    if held := _held(seen, overlay):
        return held
    left = overlay.since + seen.spec.traffic.hold_seconds - seen.now
    if left > 0 and seen.annotations.get(names.PROMOTE) != revision:
        warm = f"stable stays warm for another {left:.0f} s, and takes it back if a rate is shown to be worse"
        message = f"All traffic is on {revision}; {warm}."
        return Plan("Holding", message, counted(seen), wake_after=min(TICK_SECONDS, max(left, SOON_SECONDS)))
    actions = (*counted(seen), ServeAs(revision), RouteResting(revision), Verify())
    return Plan("Promoted", f"{revision} is promoted.", actions, wake_after=SOON_SECONDS)


def send_everybody_home(seen: Observation) -> Plan:
    """Route first, verify, drain, then the routes go; pods go last, when no route names them."""
    overlay = seen.overlay
    assert overlay is not None
    why = seen.why_leave()
    if why is not None:
        return Plan(*why, actions=(RouteHome(*why), *counted(seen), Verify()), wake_after=SOON_SECONDS)
    said = (overlay.reading.reason or "RollingBack", overlay.reading.message or "Traffic is going home.")
    if not overlay.reading.consistent:
        return Plan(*said, actions=(RouteHome(*said), Verify()), wake_after=SOON_SECONDS)
    if overlay.reading.state == "home" and not overlay.verified:
        return Plan(*said, actions=(Verify(),), wake_after=SOON_SECONDS)
    if overlay.resting and not overlay.verified:
        return Plan(*said, actions=(Verify(),), wake_after=SOON_SECONDS)
    if not seen.refusal_is_recorded():
        return Plan(*said, wake_after=SOON_SECONDS)  # the report writes it into the status; only then may the routes go
    if not seen.relay_is_drained():
        return Plan(*said, wake_after=1)
    if overlay.resting:  # back on the promoted release: there the overlay stays, and no longer says why it came
        last = RemoveRelay() if seen.relay.exists else RouteResting(overlay.resting)
        return Plan(*said, actions=(last,), wake_after=SOON_SECONDS)
    if overlay.reading.state == "home":
        return Plan(*said, actions=(Neutralise(),), wake_after=SOON_SECONDS)
    return Plan(*said, actions=(RemoveOverlay(),), wake_after=SOON_SECONDS)


def hand_over(seen: Observation) -> Plan:
    """Settle after promotion: the overlay stays until the user's own route names the new Service."""
    overlay, revision = seen.overlay, seen.current_revision
    if overlay and overlay.reading.state == "born":
        resting = (RouteResting(revision), Verify()) if overlay.accepted else ()
        return Plan("Promoted", f"{revision} serves; its route comes back.", (*resting, *_regrown(seen)), SOON_SECONDS)
    if overlay and not overlay.verified:
        return Plan("Promoted", f"{revision} serves; its route is being confirmed.", (Verify(),), SOON_SECONDS)
    if overlay and not seen.relay_is_drained():
        return Plan("Promoted", f"{revision} serves; the last streams through the relay end.", (), 1)
    if overlay and not seen.handed_over:
        lines = " ".join(seen.handover)
        resting = (RouteResting(revision), Verify()) if overlay.resting != revision or overlay.outdated else ()
        message = f"{revision} serves through the overlay. To hand over, change your HTTPRoute: {lines}"
        return Plan("AwaitingHandover", message, (*resting, *_regrown(seen)))
    if overlay:
        held = () if seen.has_finalizer else (HoldObject(),)  # an operator that was uninstalled since took it off
        last = RemoveOverlay() if overlay.reading.state == "neutral" else Neutralise()
        return Plan("HandedOver", f"{revision} serves; the overlay goes.", (*held, last), SOON_SECONDS)
    if seen.route and not seen.handed_over:
        message = f"{revision} serves; your HTTPRoute leads elsewhere again, so the overlay comes back."
        return Plan("Promoted", message, (RouteResting(revision, born=True),), SOON_SECONDS)
    if seen.spec.traffic.gateway and not seen.own_route_accepted:
        made = () if seen.own_route_exists else (MakeRoute(),)
        message = f"{revision} serves once the gateway accepts its HTTPRoute '{seen.name}-route'."
        return Plan("AwaitingRoute", message, (*made, *_regrown(seen)))
    freed = (ScaleStableToZero(),) if seen.handed_over and seen.spec.after_promotion == "ScaleToZero" else ()
    return Plan("Serving", f"{revision} serves.", (*freed, *_regrown(seen)))


def _regrown(seen: Observation) -> tuple[Action, ...]:
    """Return what brings back a Deployment that users depend on and that somebody deleted, or gives it its size."""
    current = next((each for each in seen.releases if each.revision == seen.current_revision), None)
    if not current or not current.resolved:
        return ()
    if not seen.current_pods.exists:  # or it was left behind by an object of this name
        return (*((HoldObject(),) if seen.users_lead_here else ()), StartRelease(current))
    asked = current.rung.serving.replicas or seen.spec.serving.replicas
    scaled_by_another = seen.stable is not None and seen.stable.autoscaled
    if asked is None or scaled_by_another or seen.current_pods.desired == asked:
        return ()
    return (ScaleRelease(current.revision, asked),)


def let_go(seen: Observation) -> Plan:
    """Bring traffic home before anything of ours disappears, then let the object go."""
    overlay = seen.overlay
    if overlay is None:
        if not seen.has_finalizer:
            return Plan(DELETED, "The object is deleted.")
        left = (LeaveBehind(seen.current_revision),) if seen.users_lead_here and seen.current_revision else ()
        back = lending.given_back_at_the_end(seen)
        return Plan(DELETED, "The object is deleted; what your route leads to stays.", (*back, *left, DropFinalizer()))
    said = (DELETED, "The object is deleted: traffic goes home first.")
    if overlay.reading.state in ("live", "born") or not overlay.reading.consistent:
        return Plan(*said, actions=(RouteHome(*said), Verify()), wake_after=SOON_SECONDS)
    if not overlay.verified and overlay.reading.state == "home":
        return Plan(*said, actions=(Verify(),), wake_after=SOON_SECONDS)
    if not seen.relay_is_drained():
        return Plan(*said, wake_after=1)
    if overlay.reading.state == "home":
        return Plan(*said, actions=(Neutralise(),), wake_after=SOON_SECONDS)
    return Plan(*said, actions=(RemoveOverlay(),), wake_after=SOON_SECONDS)


def _make_live(seen: Observation, overlay: Overlay, revision: str) -> Plan:
    if not overlay.accepted:
        return Plan("RouteBorn", "Waiting for the gateway to accept the overlay route.", (), SOON_SECONDS)
    live = Route(revision, _assignment(seen, None), new_step=True)
    return Plan("Observing", "Traffic is observed through the relay, all of it on stable.", (live, Verify()), 1)


def _held(seen: Observation, overlay: Overlay) -> Plan | None:
    """What must be in order before anything moves forward; None when it is."""
    if not overlay.reading.consistent:
        again = (Route(overlay.reading.revision, overlay.reading.assignment), Verify()) if overlay.accepted else ()
        return Plan("CompletingRoutes", "Routes that differ from the others are completed, once the gateway took them.",
                    (*counted(seen), *again), SOON_SECONDS)  # fmt: skip
    if not overlay.verified:
        return Plan("ConfirmingRoute", "The data plane is asked whether it does what the route says.",
                    (*counted(seen), Verify()), 1)  # fmt: skip
    pods = seen.candidate.pods if seen.candidate else None
    if pods and not pods.serving:
        asked = (AskPods(_revision(seen)),) if pods.ready > pods.answered else ()
        message = f"{pods.answered} of {pods.desired} candidate pods answer; no further step until all do."
        return Plan("CandidateNotReady", message, (*asked, *counted(seen)), TICK_SECONDS)
    if seen.stable and seen.stable.ready_replicas < overlay.stable_replicas:
        message = (
            f"Stable has {seen.stable.ready_replicas} ready replicas, {overlay.stable_replicas} when the rollout "
            "began: no more is shifted than it could take back. Scale it up, or raise its autoscaler's minimum."
        )
        return Plan("StableTooSmall", message, counted(seen), TICK_SECONDS)
    return None


def _next_step(seen: Observation, overlay: Overlay, revision: str) -> Plan:
    steps = seen.spec.traffic.steps
    position = next((index for index, step in enumerate(steps) if step.name == overlay.step), -1)
    proven, reason, message = _proof(seen, overlay, position)
    if proven:
        following = steps[position + 1] if position + 1 < len(steps) else None
        moved = _assignment(seen, following) if following else _assignment(seen, None, everyone=True)
        taken = Route(revision, moved, new_step=True)
        said = f"Step '{moved.step}': {len(moved.enrolled)} tenants, {moved.enrolled_percent} % of their requests. "
        return Plan("StepTaken", said + message, (*counted(seen), taken, Verify()), SOON_SECONDS)
    if overlay.outdated and position >= 0:  # while all are observed on stable, rules of their own would change nothing
        current = steps[position] if position >= 0 else None
        again = Route(revision, _assignment(seen, current))
        return Plan("TenantsChanged", "New tenants get rules of their own.", (*counted(seen), again, Verify()), 1)
    return Plan(reason, message, counted(seen), TICK_SECONDS)


def _proof(seen: Observation, overlay: Overlay, position: int) -> tuple[bool, str, str]:
    """Return whether the next step may be taken, and a word and a sentence for it."""
    waited = seen.now - overlay.since
    if position < 0:
        counted = seen.verdict.stable_requests if seen.verdict else 0
        enough = counted >= OBSERVED_REQUESTS or waited >= OBSERVE_SECONDS
        return enough, "Observing", f"{counted} requests on stable were observed through the relay."
    if seen.annotations.get(names.PROMOTE) == overlay.reading.revision:
        return True, "PromotedByUser", "A person asked for it."
    if seen.verdict and seen.verdict.may_advance:
        return True, "EvidenceSuffices", seen.verdict.message
    if waited > seen.spec.traffic.evidence.step_deadline_seconds:
        message = f"Too little evidence within {waited:.0f} s: {_evidence(seen)} The step is held."
        return False, "Inconclusive", message
    return False, "EvidenceGrows", _evidence(seen)


def _assignment(seen: Observation, step: object, *, everyone: bool = False) -> Assignment:
    movable = seen.route.anonymous_movable if seen.route else True
    already = seen.overlay.reading.assignment.enrolled if seen.overlay else ()
    wanted = EVERYONE if everyone else step
    return assignment(
        wanted,  # type: ignore[arg-type]
        seen.tenants,
        exclude=seen.spec.traffic.tenants.exclude,
        already=already if step is not None else (),
        anonymous_movable=movable,
    )


def counted(seen: Observation) -> tuple[Action, ...]:
    """Return what keeps the live statistics, where they changed."""
    return (SaveEvidence(seen.live),) if seen.live_changed else ()


def _evidence(seen: Observation) -> str:
    return seen.verdict.message if seen.verdict else "No request was seen yet."


def _revision(seen: Observation) -> str:
    assert seen.candidate is not None
    return seen.candidate.revision


__all__ = ["OBSERVATION", "counted", "hand_over", "hold", "let_go", "send_everybody_home", "shift"]
