"""What a turn tells the user: conditions first, then one sentence, then each rung's numbers.

Here: observation and decision → status. Not here: writing it (`controller.reconcile`).
"""

from ..api.conditions import (
    ACCEPTED,
    FITS,
    GATES_PASSED,
    PROMOTED,
    READY,
    RECONCILING,
    STALLED,
    timestamp,
    with_conditions,
)
from ..api.v1alpha1 import Condition, GateStatus, QuantizedModelStatus, Refused, RungStatus, TrafficStatus
from ..evidence.report import Verdict
from ..traffic.steps import EVERYONE, OBSERVATION
from . import lending, starts
from .observation import GATES, Observation, Release
from .plan import Decision, Plan

LONGEST_MESSAGE = 2_000
MOST_REFUSED = 16
SETTLED = ("Serving", "Rejected", "Blocked", "Suspended")


def report(seen: Observation, decision: Decision) -> QuantizedModelStatus:
    """Return the whole status; what must survive a restart is carried over from the old one."""
    plan = decision.plan
    candidate = seen.candidate
    shown = candidate or (seen.releases[0] if seen.releases else None)
    return QuantizedModelStatus(
        observed_generation=seen.generation,
        conditions=_conditions(seen, decision),
        phase=decision.phase,
        reason=plan.reason[:64],
        message=_cut(plan.message),
        rung=_rung_of(seen, seen.current_revision) if candidate is None else candidate.rung.name,
        canary=_canary(seen),
        gates=_gates(shown) if shown else "",
        current_revision=seen.current_revision,
        previous_revision=_previous(seen),
        refused=_refused(seen),
        rungs=tuple(_rung(seen, release) for release in seen.releases),
        traffic=_traffic(seen),
        lent=_lent(seen, plan)[:512],
        hold_until=_hold_until(seen),
        handover=_cut("\n".join(seen.handover)) if seen.current_revision and not seen.handed_over else "",
    )


def _conditions(seen: Observation, decision: Decision) -> tuple[Condition, ...]:
    plan = decision.plan
    moving = decision.phase not in SETTLED
    told = [
        _ready(seen, decision),
        _condition(seen, ACCEPTED, seen.problem is None, *(seen.problem or ("Accepted", "The spec can be followed."))),
        _fits(seen),
        _gates_passed(seen),
        _condition(
            seen,
            PROMOTED,
            bool(seen.current_revision),
            "Promoted" if seen.current_revision else "OnStable",
            f"{seen.current_revision} serves." if seen.current_revision else "Users are on stable.",
        ),
    ]
    if moving:
        told.append(_condition(seen, RECONCILING, True, plan.reason, plan.message))
    if plan.stalled:
        told.append(_condition(seen, STALLED, True, plan.reason, plan.message))
    return with_conditions(seen.status.conditions, told)


def _ready(seen: Observation, decision: Decision) -> Condition:
    """Ready tells whether users are served, by whichever release."""
    if seen.current_revision:
        serving, who = seen.current_pods.ready > 0, seen.current_revision
    elif seen.stable:
        serving, who = seen.stable.ready_replicas > 0, f"Service '{seen.stable.service}'"
    else:
        serving, who = False, "nothing"
    if serving:
        return _condition(
            seen, READY, True, decision.plan.reason, f"Users are served by {who}. {decision.plan.message}"
        )
    return _condition(
        seen, READY, False, decision.plan.reason, f"No ready pod serves users ({who}). {decision.plan.message}"
    )


def _fits(seen: Observation) -> Condition:
    sized = [release for release in seen.releases if release.fit]
    if not sized:
        return _unknown(seen, FITS, "NotSized", "No rung was sized yet.")
    shown = seen.candidate if seen.candidate and seen.candidate.fit else sized[0]
    assert shown.fit is not None
    return _condition(
        seen, FITS, shown.fit.verdict == "Fits", shown.fit.reason, f"{shown.rung.name}: {shown.fit.message}"
    )


def _gates_passed(seen: Observation) -> Condition:
    judged = [release for release in seen.releases if any(gate.report for gate in release.gates)]
    passed = next((release for release in judged if release.passed), None)
    if passed:
        return _condition(seen, GATES_PASSED, True, "AllPassed", f"{passed.rung.name} passed every gate.")
    if not judged:
        return _unknown(seen, GATES_PASSED, "NotJudged", "No gate reached a verdict yet.")
    if refusal := judged[-1].refusal:
        return _condition(seen, GATES_PASSED, False, refusal[0], f"{judged[-1].rung.name}: {refusal[1]}")
    return _unknown(seen, GATES_PASSED, "Judging", f"{judged[-1].rung.name} is being judged.")


def _rung(seen: Observation, release: Release) -> RungStatus:
    state, reason, message = _state(seen, release)
    return RungStatus(
        name=release.rung.name,
        revision=release.revision,
        artifact=release.sealed.artifact if release.sealed else "",
        state=state,
        reason=reason[:64],
        message=_cut(message),
        needed_bytes=release.fit.needed_bytes if release.fit else None,
        sizing=release.fit.items if release.fit else (),
        offered_bytes=release.fit.offered_bytes or None if release.fit else None,
        headline=release.fit.headline[:512] if release.fit else "",
        why=_cut(release.fit.why) if release.fit else "",
        engine=_cut(release.kept.sentence),
        gates=tuple(
            GateStatus(
                name=gate.name,
                verdict=gate.report.verdict if gate.report else "Running",
                message=_cut(gate.report.message if gate.report else ""),
            )
            for gate in release.gates
            if gate.report or gate.running
        ),
    )


def _state(seen: Observation, release: Release) -> tuple[str, str, str]:
    """Return a rung's state in a word, and why."""
    fit = release.fit
    live = next((each for each in _refused(seen) if each.revision == release.revision and each.live), None)
    if live and release.revision:
        return "Refused", live.reason, live.message
    if release.revision and release.revision == seen.current_revision:
        return "Current", "Promoted", "It serves."
    if release.refusal:
        state = "DoesNotFit" if fit and fit.verdict == "DoesNotFit" else "Refused"
        return state, *release.refusal
    if release.reading or fit is None:
        return "Unknown", "ReadingArtifact", "Its artifact's header is being read."
    if seen.overlay and seen.overlay.routes_to_candidate and seen.overlay.reading.revision == release.revision:
        return "Live", "Shifting", fit.message
    if release.passed:
        return "Passed", "AllPassed", "It passed every gate."
    if any(gate.report or gate.running for gate in release.gates):
        return "Gating", "Judging", fit.message
    if release.pods.exists and not (release.pods.serving or release.pods.unschedulable):
        return "Starting", *(release.pods.failure or (fit.reason, f"{starts.said(release, seen.now)} {fit.message}"))
    return ("Starting" if release.pods.exists else fit.verdict), fit.reason, fit.message


def _canary(seen: Observation) -> str:
    overlay = seen.overlay
    if overlay is None or not overlay.routes_to_candidate:
        return ""
    if overlay.step == OBSERVATION:
        return "observing"
    enrolled = len(overlay.reading.assignment.enrolled)
    return f"{enrolled}/{len(seen.tenants)} tenants" if overlay.step != EVERYONE else "all"


def _gates(release: Release) -> str:
    passed = sum(gate.verdict is Verdict.PASSED for gate in release.gates if gate.name in GATES)
    return f"{passed}/{len(GATES)}" if release.gates else ""


def _traffic(seen: Observation) -> TrafficStatus:
    overlay, verdict = seen.overlay, seen.verdict
    if overlay is None or not overlay.routes_to_candidate or verdict is None:
        return seen.status.traffic if seen.was_refused_live() else TrafficStatus()
    return TrafficStatus(
        step=overlay.step,
        enrolled=len(overlay.reading.assignment.enrolled),
        known=len(seen.tenants),
        candidate_requests=verdict.candidate_requests,
        stable_requests=verdict.stable_requests,
        worst=verdict.worst[:10],
        message=_cut(verdict.message),
    )


def _refused(seen: Observation) -> tuple[Refused, ...]:
    new = seen.refusal_to_record()
    kept = [each for each in seen.status.refused if new is None or each.revision != new.revision]
    return (*kept, new)[-MOST_REFUSED:] if new else tuple(kept)


def _previous(seen: Observation) -> str:
    before = seen.status.current_revision
    return before if before and before != seen.current_revision else seen.status.previous_revision


def _lent(seen: Observation, plan: Plan) -> str:
    """Return what stable lent; before the first replica goes, what will be: it stands there before it happens."""
    return lending.said(seen) or (plan.message if plan.reason in lending.SAID else "")


def _hold_until(seen: Observation) -> str:
    if not seen.is_holding() or seen.overlay is None:
        return ""
    return timestamp(seen.overlay.since + seen.spec.traffic.hold_seconds)


def _rung_of(seen: Observation, revision: str) -> str:
    return next((each.rung.name for each in seen.releases if revision and each.revision == revision), "")


def _condition(seen: Observation, kind: str, true: bool, reason: str, message: str) -> Condition:
    return Condition(
        type=kind,
        status="True" if true else "False",
        reason=reason[:64] or "Unknown",
        message=_cut(message),
        observed_generation=seen.generation,
        last_transition_time=timestamp(seen.now),
    )


def _unknown(seen: Observation, kind: str, reason: str, message: str) -> Condition:
    return _condition(seen, kind, False, reason, message).model_copy(update={"status": "Unknown"})


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 1] + "…"
