"""Observations for tests: a model in the middle of life, of which a test says only what it is about."""

from dataclasses import replace
from typing import Any

from bitshift_core.api.v1alpha1 import QuantizedModelSpec, Refused
from bitshift_core.artifact.facts import ArtifactFacts
from bitshift_core.evidence.report import GateReport, Verdict
from bitshift_core.evidence.verdict import LiveVerdict
from bitshift_core.fit.plan import Fit
from bitshift_core.rollout.observation import GATES, NOT_REFUSALS, Gate, Observation, Overlay, Pods, Release
from bitshift_core.rollout.releases import Resolved
from bitshift_core.rollout.stable import StableFacts
from bitshift_core.starting.deadlines import Deadlines
from bitshift_core.traffic.states import OverlayReading
from bitshift_core.traffic.steps import EVERYONE, OBSERVATION, assignment

NOW = 1_800_000_000.0
TENANTS = ("acme", "globex", "initech", "umbrella")
SERVING = Pods(exists=True, desired=1, ready=1, answered=1, started_at=NOW - 60)
STARTING = Pods(exists=True, desired=1, ready=0, answered=0, started_at=NOW - 5, stage="Loading")
SPEC = {
    "stable": {"service": "chat"},
    "ladder": [
        {"name": "q4", "artifact": "pvc://models/q4.gguf"},
        {"name": "q8", "artifact": "pvc://models/q8.gguf"},
    ],
    "traffic": {
        "route": "chat",
        "steps": [
            {"name": "first", "tenantsPercent": 25, "weightPercent": 50},
            {"name": "all", "tenantsPercent": 100, "weightPercent": 50},
        ],
        "holdSeconds": 100,
    },
}


def a_spec(**changes: Any) -> QuantizedModelSpec:
    return QuantizedModelSpec.model_validate(SPEC | changes)


def some_facts(**changes: Any) -> ArtifactFacts:
    known = {
        "format": "gguf",
        "architecture": "llama",
        "scheme": "Q8_0",
        "files": ({"name": "q.gguf", "sizeBytes": 10**8},),
        "contextTokens": 2048,
    }
    known |= {"layers": 30, "hiddenSize": 576, "vocabSize": 49152}
    return ArtifactFacts.model_validate(known | changes)


def a_fit(verdict: str = "Fits", reason: str = "Fits", message: str = "It fits.") -> Fit:
    return Fit(verdict, 10**9, (), ("node-1",), None, reason, message)  # type: ignore[arg-type]


def passed(*names: str) -> tuple[Gate, ...]:
    return gates(**dict.fromkeys(names or GATES, Verdict.PASSED))


def gates(**verdicts: Verdict) -> tuple[Gate, ...]:
    """The gates of a release, those named with a kept verdict."""
    reports = {
        name: GateReport(gate=name, revision="r", verdict=verdict, message=f"{name} said so.")  # type: ignore[arg-type]
        for name, verdict in verdicts.items()
    }
    return tuple(Gate(name, f"{name}-key", report=reports.get(name), kept=True) for name in ("start", *GATES))


def a_release(rung: int = 0, *, spec: QuantizedModelSpec | None = None, **changes: Any) -> Release:
    chosen = (spec or a_spec()).ladder[rung]
    known: dict[str, Any] = {
        "facts": some_facts(),
        "resolved": a_resolved(),
        "revision": f"chat-{chosen.name}-1",
        "fit": a_fit(),
        "gates": gates(),
        "start_seconds": 120.0,
        "deadlines": Deadlines(start_seconds=120, artifact_bytes=10**8, load_bytes_per_second=10**7),
    }
    return Release(chosen, **(known | changes))


def a_resolved() -> Resolved:
    return Resolved(
        "llamacpp", "pvc://models/q.gguf", None, "i", 8080, "m", 1024, 4, None, 0, 1, None, (), (), None, {}
    )


def a_stable(**changes: Any) -> StableFacts:
    return replace(StableFacts("chat", 80, ready_replicas=2, replicas=2, pod_spec={"containers": [{}]}), **changes)


def a_verdict(**changes: Any) -> LiveVerdict:
    calm = LiveVerdict(False, False, "EvidenceGrows", "Nothing yet.", 1, 100, 0, 0, 10, (), (), False)
    return replace(calm, **changes)


def an_overlay(step: str = OBSERVATION, *, state: str = "live", revision: str = "chat-q4-1", **changes: Any) -> Overlay:
    spec = a_spec()
    chosen = next((each for each in spec.traffic.steps if each.name == step), None)
    assigned = assignment(EVERYONE if step == EVERYONE else chosen, TENANTS)
    told = {key: changes.pop(key) for key in ("reason", "message", "consistent") if key in changes}
    reason, message = told.get("reason", ""), told.get("message", "")
    reading = OverlayReading(state, told.pop("consistent", True), assigned, TENANTS, revision, **told)  # type: ignore[arg-type]
    known = {"accepted": True, "verified": True, "since": NOW - 10, "stable_replicas": 2, "pods": SERVING}
    if reason and reason not in NOT_REFUSALS:
        known["refusal"] = Refused(
            revision=revision, rung="q4", reason=reason, message=message, live=True, generation=1
        )
    return Overlay(reading, **(known | changes))


def an_observation(**changes: Any) -> Observation:
    """A model whose stable serves and whose two rungs fit; nothing is started yet."""
    known: dict[str, Any] = {
        "now": NOW,
        "name": "chat",
        "namespace": "demo",
        "uid": "u-1",
        "generation": 1,
        "spec": a_spec(),
        "stable": a_stable(),
        "releases": (a_release(0), a_release(1)),
        "relay": Pods(),
        "tenants": TENANTS,
        "relay_in_flight": {"stable": 0, "candidate": 0},
        "verdict": a_verdict(),
        "profile_name": "llamacpp",
    }
    return Observation(**(known | changes))


def a_shifting_observation(step: str = "first", **changes: Any) -> Observation:
    """A model in the middle of a rollout: the first rung passed its gates and answers some requests."""
    moving: dict[str, Any] = {
        "releases": (a_release(0, pods=SERVING, gates=passed()), a_release(1)),
        "relay": Pods(exists=True, desired=2, ready=2, answered=2),
        "relay_revision": "chat-q4-1",
        "overlay": an_overlay(step),
        "deployed": ("chat-q4-1",),
    }
    known = moving | changes
    return an_observation(**({"has_finalizer": known["overlay"] is not None} | known))
