"""What each gate is asked of a release, and under which key its verdict is kept.

The key covers everything that could change the verdict: suites, margins, the parent, a person's `retry`.
"""

from collections.abc import Mapping
from typing import Any

from ..api.catalogue import EvalSuiteSpec
from ..api.v1alpha1 import QuantizedModelSpec
from ..artifact.facts import ArtifactFacts
from ..evidence.numeric import NumericCheck
from ..evidence.report import GateReport
from . import names
from .jobs import last_words, why_failed
from .observation import GATES, Gate
from .releases import Resolved
from .snapshot import Snapshot
from .stable import StableFacts, baseline_model

START = "start"
GRACE_SECONDS = 600


def gates_of(
    snapshot: Snapshot,
    spec: QuantizedModelSpec,
    *,
    revision: str,
    resolved: Resolved,
    facts: ArtifactFacts,
    parent_facts: ArtifactFacts | None,
    stable: StableFacts | None,
    baseline_runs: bool,
) -> tuple[Gate, ...]:
    """Return the release's gates in the order in which they are judged, each with its verdict if there is one."""
    retry = (snapshot.model["metadata"].get("annotations") or {}).get(names.RETRY, "")
    source = spec.parent.artifact if spec.parent else stable.image if stable else ""
    parent = [source, _digest(parent_facts)]
    start_key = names.gate_key(START, [revision, retry])
    gates = [Gate(START, start_key, report=_kept(snapshot, start_key), kept=True)]
    for name in GATES:
        asked = _asked(name, snapshot, spec, revision, resolved, facts, parent_facts)
        key = names.gate_key(name, [revision, retry, parent, asked])
        sides = _sides(snapshot, spec, revision, resolved, stable, baseline_runs, name)
        kept = _kept(snapshot, key)
        report = kept or _from_job(snapshot, names.gate_job_name(revision, key), name, revision)
        running = report is None and names.gate_job_name(revision, key) in snapshot.jobs
        gates.append(Gate(name, key, {**asked, **sides}, running, report, kept is not None))
    return tuple(gates)


def _asked(
    name: str,
    snapshot: Snapshot,
    spec: QuantizedModelSpec,
    revision: str,
    resolved: Resolved,
    facts: ArtifactFacts,
    parent_facts: ArtifactFacts | None,
) -> dict[str, Any]:
    asked: dict[str, Any] = {"gate": name, "revision": revision, "contextTokens": resolved.context_tokens}
    if name == "compatibility":
        asked["numeric"] = NumericCheck().as_json()
        asked["candidateFacts"] = facts.as_json()
        asked["parentFacts"] = parent_facts.as_json() if parent_facts else None
    if name == "quality":
        quality = spec.gates.quality
        asked |= {"errorRatePpm": quality.error_rate_ppm, "maxSeconds": quality.max_seconds}
        asked["suites"] = [_suite(each, suite, spec) for each, suite in snapshot.suites.items()]
    if name == "load":
        asked["load"] = spec.gates.load.as_json()
    return asked


def _suite(name: str, suite: EvalSuiteSpec, spec: QuantizedModelSpec) -> dict[str, Any]:
    margin = next((each.margin_points for each in spec.gates.quality.suites if each.name == name), None)
    return suite.as_json() | {"name": name} | ({"marginPoints": margin} if margin else {})


def _sides(
    snapshot: Snapshot,
    spec: QuantizedModelSpec,
    revision: str,
    resolved: Resolved,
    stable: StableFacts | None,
    baseline_runs: bool,
    gate: str,
) -> Mapping[str, Any]:
    """Return whom to ask: the idle baseline where it runs; else stable itself, but never for load."""
    namespace, key = snapshot.namespace, "BITSHIFT_API_KEY" if resolved.api_key_secret else ""
    ours = resolved.served_model_name

    def side(service: str, model: str, port: int = 80) -> dict[str, str]:
        return {"url": f"http://{service}.{namespace}.svc:{port}", "model": model, "apiKeyEnv": key}

    idle = names.baseline_name(snapshot.name)
    parent = side(idle, baseline_model(spec, stable, ours)) if baseline_runs else None
    if parent is None and stable and gate != "load":
        service, port = stable.parent
        parent = side(service, stable.model_name or ours, port)
    return {"candidate": side(revision, ours), "parent": parent}


def _kept(snapshot: Snapshot, key: str) -> GateReport | None:
    kept = snapshot.config_maps.get(names.verdicts_name(snapshot.name), {})
    text = (kept.get("data") or {}).get(key)
    return GateReport.model_validate_json(text) if text else None


def _from_job(snapshot: Snapshot, job_name: str, gate: str, revision: str) -> GateReport | None:
    """Return the verdict of a finished Job; one that broke without a verdict is Inconclusive, and says so."""
    job = snapshot.jobs.get(job_name)
    if job is None:
        return None
    for text in last_words(snapshot, job_name):
        try:
            return GateReport.model_validate_json(text)
        except ValueError:
            continue
    if (why := why_failed(job)) is not None:
        message = f"The Job '{job_name}' ended without a verdict: {why} See its pod's log, then say retry."
        return GateReport(gate=gate, revision=revision, verdict="Inconclusive", message=message)
    return None


def _digest(facts: ArtifactFacts | None) -> str:
    return facts.weights_digest if facts else ""
