"""Everything one turn may know, `now` included. Predicates are questions that the phase table asks.

Here: facts and questions. Not here: what is done about them (`rollout.phases`), how they were gathered (`cluster`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from ..api.v1alpha1 import ModelRevisionSpec, QuantizedModelSpec, QuantizedModelStatus, Refused, Rung, TrafficMode
from ..artifact.facts import ArtifactFacts
from ..evidence.live import LivePolicy, LiveState
from ..evidence.report import GateReport, Verdict
from ..evidence.verdict import LiveVerdict
from ..fit.plan import Fit
from ..starting.deadlines import Deadlines
from ..starting.promises import Kept
from ..starting.reading import EngineReport, Progress
from ..traffic.routes import RouteReading
from ..traffic.states import MESSAGE_CHARACTERS, OverlayReading
from ..traffic.steps import EVERYONE, OBSERVATION
from . import names
from .loans import Lent
from .releases import Resolved
from .stable import StableFacts

GATES = ("compatibility", "quality", "load")
BASELINE_PATIENCE = 4
"""Times the candidate's deadline that the baseline may take: a parent is up to so many times larger."""
SPEC_CHANGED = "SpecChanged"
DELETED = "Deleted"
RELAY_LOST = "RelayLost"
NOT_REFUSALS = (SPEC_CHANGED, DELETED, RELAY_LOST)

Problem = tuple[str, str]
"""A CamelCase reason and a sentence."""


@dataclass(frozen=True)
class Pods:
    """The pods of one workload of ours."""

    exists: bool = False
    desired: int = 0
    ready: int = 0
    answered: int = 0
    """Ready pods that answered a prompt sensibly."""
    started_at: float = 0
    made_anew_after: float = 0
    """Seconds from the first pods of a replica that spans nodes to its last ones: a pod that dies takes all along."""
    stage: str = ""
    """What the slowest pod is doing: one of `one_pod.STAGES`."""
    stage_since: float = 0
    """When that began; 0 where it cannot be told."""
    progress: Progress | None = None
    hint: str = ""
    """What the log of a pod that still runs says is wrong; it may pass, so it only explains a stage that is late."""
    report: EngineReport | None = None
    """What the engine of a pod that answered told of itself while it started."""
    failure: Problem | None = None
    fatal: bool = False
    """The failure will not pass by waiting: it crashed again and again."""
    unschedulable: str = ""
    placed: int = 0
    """Pods that have a node."""

    @property
    def serving(self) -> bool:
        """Every wanted pod is ready and answered a prompt."""
        return self.exists and self.desired > 0 and self.answered >= self.desired


@dataclass(frozen=True)
class Gate:
    """One gate of one release: what it is asked, and the answer as far as there is one."""

    name: str
    key: str
    config: Mapping[str, object] = field(default_factory=dict)
    running: bool = False
    report: GateReport | None = None
    kept: bool = False
    """The report lies in the verdicts' ConfigMap; before that it is only a pod's last message."""

    @property
    def verdict(self) -> Verdict | None:
        """The verdict, once reached."""
        return self.report.verdict if self.report else None


@dataclass(frozen=True)
class Release:
    """One rung as it would be, and as it is in the cluster."""

    rung: Rung
    reading: bool = False
    """Its artifact's facts are being read, or must be."""
    unread: tuple[str, ...] = ()
    """Artifacts besides the model of which the same is true: a draft, adapters."""
    problem: Problem | None = None
    facts: ArtifactFacts | None = None
    resolved: Resolved | None = None
    sealed: ModelRevisionSpec | None = None
    revision: str = ""
    fit: Fit | None = None
    pods: Pods = Pods()
    gates: tuple[Gate, ...] = ()
    start_seconds: float = 0
    """How long a replica takes to load, at most, from the profile and the artifact's bytes."""
    deadlines: Deadlines = Deadlines()
    kept: Kept = Kept()
    """What the engine reported after its start, held against the plan."""
    broken_promise: str = ""
    """What of it the spec refuses a release for."""

    @property
    def refusal(self) -> Problem | None:
        """Why this rung is not tried, however much room there is; None when it may be."""
        if self.problem:
            return self.problem
        if self.fit and self.fit.verdict == "DoesNotFit":
            return (self.fit.reason, self.fit.message)
        for gate in self.gates:
            if gate.report and gate.verdict is not Verdict.PASSED:
                word = "Failed" if gate.verdict is Verdict.FAILED else "Inconclusive"
                return (gate.report.reason or f"{gate.name.capitalize()}{word}", gate.report.message)
        return None

    @property
    def passed(self) -> bool:
        """Every gate was passed."""
        judged = [gate for gate in self.gates if gate.name in GATES]
        return len(judged) == len(GATES) and all(gate.verdict is Verdict.PASSED for gate in judged)

    @property
    def waits_for_room(self) -> bool:
        """It would fit, but not now."""
        return bool(self.fit and self.fit.verdict == "Waiting")


@dataclass(frozen=True)
class Overlay:
    """Our routes: where they send whom, and whether the data plane was heard to agree."""

    reading: OverlayReading
    accepted: bool = False
    """The gateway took the routes as they stand."""
    verified: bool = False
    pods: Pods = Pods()
    """The pods of the revision that the routes are about, whatever the spec asks for by now."""
    resting: str = ""
    """The promoted revision that everybody is on, without a relay; '' during a rollout."""
    refusal: Refused | None = None
    """Why everybody was sent back, as it was when they were: for the status to keep."""
    rollout: str = ""
    """What tells this rollout from every other one, also of the same revision: whose evidence is counted."""
    since: float = 0
    """When its step began."""
    stable_replicas: int = 0
    """Stable's ready replicas when the rollout began."""
    outdated: bool = False
    """It differs from what the step asks for: new tenants were seen, or the user's route changed."""

    @property
    def step(self) -> str:
        """The step that the routes are in."""
        return self.reading.step

    @property
    def routes_to_candidate(self) -> bool:
        """Some requests may reach the candidate by it."""
        return self.reading.state == "live" and not self.resting


@dataclass(frozen=True)
class Observation:
    """One QuantizedModel and its surroundings at one moment."""

    now: float
    name: str
    namespace: str
    uid: str
    generation: int
    spec: QuantizedModelSpec
    status: QuantizedModelStatus = QuantizedModelStatus()
    annotations: Mapping[str, str] = field(default_factory=dict)
    deleting: bool = False
    has_finalizer: bool = False
    problem: Problem | None = None
    """What the user must mend before anything moves forward."""
    stable: StableFacts | None = None
    lent: tuple[Lent, ...] = ()
    """Deployments that gave up replicas for a release of this model."""
    releases: tuple[Release, ...] = ()
    parent_reading: bool = False
    parent_uri: str = ""
    parent_facts: ArtifactFacts | None = None
    reading_held: str = ""
    """Why a pod that is to read an artifact does not begin."""
    borrowed_facts: tuple[str, ...] = ()
    """ConfigMaps that another model had read and whose owner this one is not yet."""
    baseline: Pods = Pods()
    current_revision: str = ""
    current_pods: Pods = Pods()
    deployed: tuple[str, ...] = ()
    """Revisions of which something makes pods."""
    standing: frozenset[str] = frozenset()
    """Revisions of which a pod is there, also one that ends: it holds its GPUs until it is gone."""
    route: RouteReading | None = None
    route_problem: Problem | None = None
    handed_over: bool = False
    handover: tuple[str, ...] = ()
    users_lead_here: bool = False
    """The user's own route names the Service of the promoted release: nothing of it may go."""
    own_route_exists: bool = False
    own_route_accepted: bool = False
    overlay: Overlay | None = None
    relay: Pods = Pods()
    relay_revision: str = ""
    """The candidate that the relay leads to."""
    relay_in_flight: Mapping[str, int] | None = None
    """Requests that the relay still carries, by arm; None when not every relay pod could be asked."""
    live: LiveState = LiveState()
    live_changed: bool = False
    policy: LivePolicy = LivePolicy()
    verdict: LiveVerdict | None = None
    tenants: tuple[str, ...] = ()
    """Known tenants in the order in which they move."""
    profile_name: str = ""

    @property
    def retry(self) -> str:
        """The person's last `retry`, whatever it says."""
        return self.annotations.get(names.RETRY, "")

    @cached_property
    def candidate(self) -> Release | None:
        """The first rung of the ladder that nothing refuses."""
        return next((release for release in self.releases if not release.refusal), None)

    @property
    def judges_only(self) -> bool:
        """Nobody's traffic is to move."""
        return self.spec.traffic.mode is TrafficMode.NONE

    @property
    def home_service(self) -> str:
        """The Service that users are sent back to: the promoted release's, else the user's own."""
        if self.current_revision:
            return names.release_service(self.name)
        return self.spec.stable.service if self.spec.stable else ""

    # --- questions of the table, in its order

    def is_deleting(self) -> bool:
        """The object is going away."""
        return self.deleting

    def canary_must_leave(self) -> bool:
        """Users are on a release that they must leave, or are on the way home."""
        return self.why_leave() is not None or self.is_leaving()

    def is_leaving(self) -> bool:
        """Traffic went home, and what that entails is not over."""
        overlay = self.overlay
        if overlay is None:
            return False
        if not overlay.resting:
            return overlay.reading.state in ("home", "neutral")
        return bool(overlay.reading.reason) and overlay.reading.state == "live"

    def is_suspended(self) -> bool:
        """A person said: no further."""
        paused = self.annotations.get(names.PAUSE)
        return self.spec.suspend or bool(paused and self.candidate and paused in ("true", self.candidate.revision))

    def was_refused_live(self) -> bool:
        """Users had seen it and evidence or a person said no; only a new spec or `retry` ends that."""
        return self.live_refusal() is not None

    def has_a_problem(self) -> bool:
        """Only the user can help."""
        return self.problem is not None

    def reads_artifacts(self) -> bool:
        """Some rung's size is not known yet."""
        return self.parent_reading or any(release.reading or release.unread for release in self.releases)

    def nothing_fits(self) -> bool:
        """No rung can be started here, by its own facts."""
        return self.candidate is None and not any(gate.report for release in self.releases for gate in release.gates)

    def no_rung_is_left(self) -> bool:
        """Every rung was refused, one at least by its gates."""
        return self.candidate is None

    def is_settled(self) -> bool:
        """The best rung that may be tried serves already, or was judged where judging is all that was asked."""
        assert self.candidate is not None
        if self.candidate.revision == self.current_revision:
            return self.overlay is None or bool(self.overlay.resting)
        return self.judges_only and self.candidate.passed

    def waits_for_room(self) -> bool:
        """It fits, but not now."""
        assert self.candidate is not None
        if self.overlay and self.overlay.routes_to_candidate:
            return False
        pods = self.candidate.pods
        return bool(pods.unschedulable) and not pods.fatal if pods.exists else self.candidate.waits_for_room

    def awaits_pods(self) -> bool:
        """The candidate's pods, or the idle baseline's, are not up yet and no user depends on them."""
        assert self.candidate is not None
        if self.overlay and self.overlay.routes_to_candidate:
            return False
        if self.candidate.broken_promise:
            return True
        return not self.candidate.pods.serving or (not self.candidate.passed and self.awaits_baseline())

    def awaits_baseline(self) -> bool:
        """The replica to compare with is loading; one that never comes up is not waited for without end."""
        assert self.candidate is not None
        baseline = self.baseline
        late = baseline.exists and self.now - baseline.started_at > BASELINE_PATIENCE * self.candidate.start_seconds
        return not (baseline.serving or baseline.unschedulable or baseline.fatal or late)

    def awaits_gates(self) -> bool:
        """Not every gate was passed yet; once users are on a release, live evidence judges it."""
        assert self.candidate is not None
        if self.overlay and self.overlay.routes_to_candidate:
            return False
        return not self.candidate.passed

    def serves_first_release(self) -> bool:
        """Nothing ran before: there is nobody to shift, and the release that passed serves."""
        return self.spec.stable is None and not self.current_revision

    def is_holding(self) -> bool:
        """Everybody is on the candidate."""
        return bool(self.overlay and self.overlay.routes_to_candidate and self.overlay.step == EVERYONE)

    # --- answers with their reasons

    def why_leave(self) -> Problem | None:
        """Why users must leave the candidate, in order of urgency; None when they need not."""
        overlay = self.overlay
        if overlay is None or not overlay.routes_to_candidate:
            return None
        revision = overlay.reading.revision
        if revision == self.current_revision:
            return None  # it is promoted already: what is left is to say so in the routes
        if self.relay.ready == 0:
            return (RELAY_LOST, f"No relay pod is ready any more; {_failure(self.relay)}")
        if self.annotations.get(names.ROLLBACK) == revision:
            return ("RolledBackByUser", f"A person asked for {revision} to be rolled back.")
        if self.verdict and self.verdict.roll_back:
            return (self.verdict.reason, _sentence(self.verdict.message))
        if self._asks_for_another(revision):
            return (SPEC_CHANGED, f"{revision} is no longer what the spec asks for first.")
        if overlay.pods.ready == 0 and overlay.step != OBSERVATION:
            return ("CandidateLost", f"No pod of {revision} is ready any more; {_failure(overlay.pods)}")
        return None

    def _asks_for_another(self, revision: str) -> bool:
        """The spec asks for another release; one that cannot be followed or is not sized yet asks for nothing."""
        if self.judges_only:
            return True
        if self.problem or self.reads_artifacts():
            return False
        return self.candidate is None or self.candidate.revision != revision

    def live_refusal(self) -> Refused | None:
        """The refusal on live evidence that is in force."""
        for refused in self.status.refused:
            if refused.live and refused.generation == self.generation and refused.retry == self.retry:
                return refused
        return None

    def refusal_to_record(self) -> Refused | None:
        """The refusal that the routes say and the status must keep before the routes go."""
        return self.overlay.refusal if self.overlay and self.is_leaving() else None

    def refusal_for(self, reason: str, message: str) -> Refused | None:
        """Return what going home for a reason means for the release, bound to the spec and the `retry` of now."""
        overlay = self.overlay
        if overlay is None or overlay.refusal or reason in NOT_REFUSALS:
            return overlay.refusal if overlay else None
        rung = next((each.rung.name for each in self.releases if each.revision == overlay.reading.revision), "")
        return Refused(
            revision=overlay.reading.revision,
            rung=rung or "unknown",
            reason=reason,
            message=message[:MESSAGE_CHARACTERS],
            live=True,
            generation=self.generation,
            retry=self.retry,
        )

    def refusal_is_recorded(self) -> bool:
        """What the routes say is in the status, so the routes may go."""
        wanted = self.refusal_to_record()
        return wanted is None or wanted in self.status.refused

    def relay_is_drained(self) -> bool:
        """No request is on its way through the relay, or the longest stream that is waited for is over."""
        if not self.relay.exists:
            return True
        waited = self.now - (self.overlay.since if self.overlay else 0)
        if self.relay_in_flight is not None and not any(self.relay_in_flight.values()):
            return True
        return waited > self.spec.traffic.drain_seconds


Phase = Literal[
    "Deleting", "RollingBack", "Suspended", "Rejected", "Planning", "Blocked", "Waiting",
    "Starting", "Gating", "Shifting", "Holding", "Serving",
]  # fmt: skip


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!")) else text + "."


def _failure(pods: Pods) -> str:
    return pods.failure[1] if pods.failure else f"{pods.ready} of {pods.desired} are."
