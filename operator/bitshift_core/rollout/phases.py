"""The phase table: the whole policy on one screen, and the steps that do not touch users' traffic.

Here: which phase applies, and planning, starting, gating. Not here: moving users and bringing them back
(`rollout.moving`), which call makes it true (`cluster.act`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..api.v1alpha1 import Rung
from ..evidence.report import GateReport, Verdict
from . import lending, moving, starts
from .errors import UserError
from .observation import GATES, Observation, Phase, Release
from .plan import (
    Action,
    AskPods,
    Decision,
    DropFinalizer,
    KeepVerdict,
    OwnFacts,
    Plan,
    ReadFacts,
    RemoveBaseline,
    RemoveRelay,
    RemoveRelease,
    RunGate,
    ServeAs,
    StartBaseline,
    StartRelease,
)

PARENT = "parent"


@dataclass(frozen=True)
class Row:
    """One line of the policy."""

    phase: Phase
    applies: Callable[[Observation], bool]
    step: Callable[[Observation], Plan]


def always(_: Observation) -> bool:
    """Return True: what is left when nothing before it applied."""
    return True


def explain(seen: Observation) -> Plan:
    """Say what the user must mend; nothing moves."""
    assert seen.problem is not None
    ticking = seen.overlay is not None and seen.overlay.routes_to_candidate
    actions = (*moving.counted(seen), *tidy(seen))
    return Plan(*seen.problem, actions=actions, stalled=True, wake_after=moving.TICK_SECONDS if ticking else 30)


def stay_suspended(seen: Observation) -> Plan:
    """Move nothing forward; go on counting, so that safety still works."""
    ticking = seen.overlay is not None and seen.overlay.routes_to_candidate
    return Plan(
        "Suspended",
        "Suspended: traffic stays where it is.",
        (*unkept(seen), *moving.counted(seen)),
        wake_after=2 if ticking else None,
    )


def stay_rejected(seen: Observation) -> Plan:
    """Leave users where they are until the spec changes or a person says retry."""
    refused = seen.live_refusal()
    assert refused is not None
    message = f"{refused.message} Change the spec, or say `kubectl bitshift retry {seen.name}`."
    return _tending(seen, Plan(refused.reason, message, actions=tidy(seen), stalled=True))


def read_artifacts(seen: Observation) -> Plan:
    """Have every artifact's header read, so that every rung is sized before one is started."""
    wanted: list[Action] = [
        ReadFacts(release.rung.artifact, release.rung.digest) for release in seen.releases if release.reading
    ]
    beside = {uri: ReadFacts(uri) for release in seen.releases for uri in release.unread}
    wanted += beside.values()
    if seen.parent_reading:
        wanted.append(ReadFacts(seen.parent_uri))
    held = f" A pod that is to read them waits: {seen.reading_held}" if seen.reading_held else ""
    message = f"Reading the headers of {len(wanted)} artifact{'s' if len(wanted) != 1 else ''}.{held}"
    return Plan("ReadingArtifacts", message, (*wanted, *moving.counted(seen)), wake_after=1)


def say_what_is_missing(seen: Observation) -> Plan:
    """Name, rung by rung, why nothing can be started."""
    refusals = [(release.rung.name, release.refusal) for release in seen.releases if release.refusal]
    reasons = {refusal[0] for _, refusal in refusals if refusal}
    message = " ".join(f"{name}: {refusal[1]}" for name, refusal in refusals if refusal)
    reason = reasons.pop() if len(reasons) == 1 else "NoRungFits"
    return _tending(seen, Plan(reason, message, actions=tidy(seen), stalled=True, wake_after=30))


def say_why_none_passed(seen: Observation) -> Plan:
    """Name each rung's refusal; users never left stable."""
    said = [f"{release.rung.name}: {release.refusal[1]}" for release in seen.releases if release.refusal]
    return _tending(seen, Plan("NoRungPassed", " ".join(said), actions=tidy(seen), stalled=True))


def _tending(seen: Observation, plan: Plan) -> Plan:
    """Return the plan and what the promoted release needs meanwhile: users stay on it, and may hand over."""
    if not seen.current_revision or seen.route is None or (seen.overlay and not seen.overlay.resting):
        return plan
    tended = moving.hand_over(seen)
    return replace(plan, actions=(*tended.actions, *plan.actions), wake_after=tended.wake_after or plan.wake_after)


def wait_for_room(seen: Observation) -> Plan:
    """Let a pending pod ask for the room: a pool that scales from zero answers it."""
    candidate = _candidate(seen)
    if not candidate.pods.exists:
        assert candidate.fit is not None
        asking = (StartRelease(candidate), *tidy(seen))
        return Plan(candidate.fit.reason, candidate.fit.message, asking, wake_after=15)
    message = f"A pod of {candidate.revision} waits for room: {candidate.pods.unschedulable}"
    if seen.baseline.exists:  # a copy to compare with is worth less than what is to be compared
        return Plan("WaitingForRoom", message, (*tidy(seen), RemoveBaseline()), wake_after=1)
    swap = lending.make_room(seen, candidate) or Plan("WaitingForRoom", message, wake_after=15)
    return replace(swap, actions=(*tidy(seen), *swap.actions))


def start_pods(seen: Observation) -> Plan:
    """Run the candidate, and an idle replica to hold it against; ask each ready pod a question."""
    candidate = _candidate(seen)
    pods = candidate.pods
    if refused := starts.why_refused(candidate, seen.now):
        return _refuse_start(candidate, *refused)
    wanted: list[Action] = [] if pods.exists else [StartRelease(candidate)]
    if pods.ready > pods.answered:
        wanted.append(AskPods(candidate.revision))
    if not candidate.passed:
        wanted += _baseline_actions(seen)
    said = pods.failure or ("PodsStarting", starts.said(candidate, seen.now))
    return Plan(*said, actions=(*wanted, *tidy(seen)), wake_after=1)


def run_gates(seen: Observation) -> Plan:
    """Have the gates judged one after the other, cheapest first; a verdict is kept before anything rests on it."""
    candidate = _candidate(seen)
    if any(gate.report and not gate.kept for gate in candidate.gates):
        return Plan("KeepingVerdict", f"Keeping the verdicts on {candidate.revision}.", unkept(seen), wake_after=0.1)
    gate = next(gate for gate in candidate.gates if gate.name in GATES and gate.verdict is not Verdict.PASSED)
    asked = () if gate.running else (RunGate(candidate, gate),)
    message = f"Gate '{gate.name}' judges {candidate.revision} against its parent."
    return Plan(f"{gate.name.capitalize()}Gate", message, (*asked, *tidy(seen)), wake_after=5)


def serve_first_release(seen: Observation) -> Plan:
    """Give the first release its Service, and in the turn after that its route: nobody was served before."""
    revision = _candidate(seen).revision
    return Plan("FirstRelease", f"{revision} passed its gates and serves.", (ServeAs(revision),), wake_after=0.5)


def settle(seen: Observation) -> Plan:
    """Leave what serves alone; tidy up, and hand over once the user's own route names the new Service."""
    candidate = _candidate(seen)
    if seen.judges_only and candidate.revision != seen.current_revision:
        message = f"{candidate.revision} passed every gate; `traffic.mode` is 'None', so nobody is moved."
        return Plan("Judged", message, actions=tidy(seen))
    waiting = moving.hand_over(seen)
    return replace(waiting, actions=(*waiting.actions, *tidy(seen)))


TABLE = (  # the whole operator on one screen: the first row that applies is the phase, so their order is the policy
    Row("Deleting", Observation.is_deleting, moving.let_go),
    Row("RollingBack", Observation.canary_must_leave, moving.send_everybody_home),
    Row("Suspended", Observation.is_suspended, stay_suspended),
    Row("Rejected", Observation.was_refused_live, stay_rejected),
    Row("Blocked", Observation.has_a_problem, explain),
    Row("Planning", Observation.reads_artifacts, read_artifacts),
    Row("Blocked", Observation.nothing_fits, say_what_is_missing),
    Row("Rejected", Observation.no_rung_is_left, say_why_none_passed),
    Row("Serving", Observation.is_settled, settle),
    Row("Waiting", Observation.waits_for_room, wait_for_room),
    Row("Starting", Observation.awaits_pods, start_pods),
    Row("Gating", Observation.awaits_gates, run_gates),
    Row("Serving", Observation.serves_first_release, serve_first_release),
    Row("Holding", Observation.is_holding, moving.hold),
    Row("Shifting", always, moving.shift),
)


def decide(seen: Observation) -> Decision:
    """Return the step of the first row that applies; what only the user can mend becomes a reason, not a crash."""
    row = next(row for row in TABLE if row.applies(seen))
    try:
        return Decision(row.phase, row.step(seen))
    except UserError as error:
        return Decision("Blocked", Plan(error.reason, error.message, stalled=True, wake_after=30))


def tidy(seen: Observation) -> tuple[Action, ...]:
    """Return what ends pods that no user and no gate needs; never while traffic may be on them."""
    actions: list[Action] = [*unkept(seen), *map(OwnFacts, seen.borrowed_facts)]
    overlay = seen.overlay
    in_use = {seen.current_revision, seen.candidate.revision if _is_tried(seen) and seen.candidate else ""}
    if overlay and not overlay.resting:
        in_use.add(overlay.reading.revision)
    actions += [RemoveRelease(revision) for revision in seen.deployed if revision not in in_use]
    if seen.baseline.exists and not (_is_tried(seen) and seen.candidate and not seen.candidate.passed):
        actions.append(RemoveBaseline())
    route_is_quiet = overlay is None or bool(overlay.resting and overlay.verified)
    if seen.relay.exists and route_is_quiet and seen.relay_is_drained():
        actions.append(RemoveRelay())
    if route_is_quiet and not _is_tried(seen):
        actions += lending.given_back(seen)
    if overlay is None and seen.has_finalizer and not seen.users_lead_here and not seen.lent:
        actions.append(DropFinalizer())
    return tuple(actions)


def unkept(seen: Observation) -> tuple[KeepVerdict, ...]:
    """Return what keeps verdicts beyond their Jobs, above all those that refuse: a rung is not judged twice."""
    gates = [gate for release in seen.releases for gate in release.gates]
    return tuple(KeepVerdict(gate.key, gate.report) for gate in gates if gate.report and not gate.kept)


def _is_tried(seen: Observation) -> bool:
    """The candidate is on its way: not refused, not blocked, not settled."""
    if seen.candidate is None or seen.was_refused_live() or seen.has_a_problem():
        return False
    if seen.candidate.revision == seen.current_revision:
        return False
    return not (seen.judges_only and seen.candidate.passed)


def _baseline_actions(seen: Observation) -> list[Action]:
    if not seen.baseline.exists:
        return [StartBaseline(_parent_rung(seen))]
    return [AskPods("", baseline=True)] if seen.baseline.ready > seen.baseline.answered else []


def _parent_rung(seen: Observation) -> Rung | None:
    return Rung(name=PARENT, artifact=seen.spec.parent.artifact) if seen.spec.parent else None


def _refuse_start(candidate: Release, reason: str, message: str) -> Plan:
    """Refuse a release that cannot start, or not as promised, so that it never blocks the other rungs."""
    start = next(gate for gate in candidate.gates if gate.name == "start")
    report = GateReport(
        gate="start", revision=candidate.revision, verdict=Verdict.FAILED, message=message, reason=reason
    )
    return Plan(reason, message, (KeepVerdict(start.key, report),), wake_after=0.1)


def _candidate(seen: Observation) -> Release:
    assert seen.candidate is not None
    return seen.candidate
