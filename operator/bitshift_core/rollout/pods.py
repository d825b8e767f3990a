"""The state of a Deployment's pods in a few words: how far they are, and why one of them does not start."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..api.conditions import epoch
from ..starting.rules import NO_RULES, EngineLines
from .failures import failure_of
from .observation import Pods
from .one_pod import (
    NOTHING_SAID,
    STAGES,
    Start,
    condition,
    fetching_since,
    has_answered,
    is_ready,
    report_of,
    restarts,
    start_of,
    started_at,
)
from .snapshot import Manifest, PodLog, Snapshot

CRASHES_THAT_DECIDE = 3


def pods_of(
    deployment: Manifest | None,
    pods: Sequence[Manifest],
    logs: Mapping[str, PodLog] | None = None,
    engine: EngineLines = NO_RULES,
    fetch: EngineLines = NO_RULES,
    *,
    may_quote: bool = True,
) -> Pods:
    """Return how far the pods of a Deployment are; pods that are going away do not count.

    A crash decides when it came again and again, or at once where its log says that it will.
    """
    if deployment is None:
        return Pods()
    said = logs or {}
    alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    alive.sort(key=_name)  # or what is told of one of them would change from turn to turn
    read = [(pod, said.get(_name(pod), NOTHING_SAID)) for pod in alive]
    failures = [failure for pod, log in read if (failure := failure_of(pod, log, engine, fetch, may_quote=may_quote))]
    starts = [start_of(pod, log, fetch if fetching_since(pod) else engine) for pod, log in read]
    slowest = min(starts, key=_how_far, default=Start(""))
    hints = [start.reading.failure.message for start in starts if start.reading.failure]
    return Pods(
        exists=True,
        desired=int(deployment["spec"].get("replicas", 1)),
        ready=sum(is_ready(pod) for pod in alive),
        answered=sum(is_ready(pod) and has_answered(pod) for pod in alive),
        started_at=max([epoch(deployment["metadata"].get("creationTimestamp")), *map(started_at, alive)]),
        stage=slowest.stage,
        stage_since=slowest.since,
        progress=slowest.progress,
        failure=(failures[0].reason, failures[0].message) if failures else None,
        fatal=any(each.final for each in failures) or any(restarts(pod) >= CRASHES_THAT_DECIDE for pod in alive),
        hint=hints[0] if hints else "",
        report=next((report for pod in alive if (report := report_of(pod))), None),
        unschedulable=next((text for pod in alive if (text := unschedulable(pod))), ""),
    )


def pods_named(snapshot: Snapshot, name: str, *, asked: bool = True, runtime: str = "") -> Pods:
    """Return the pods of one Deployment of ours; where none is asked a prompt, as in the relay, Ready is enough.

    With the engine's `runtime` they are those of a release that is tried: what it prints is understood, and quoted.
    """
    deployment = snapshot.deployments.get(name)
    if deployment is None:
        return Pods()
    wanted = deployment["spec"]["selector"]["matchLabels"]
    mine = [pod for pod in snapshot.pods if wanted.items() <= (pod["metadata"].get("labels") or {}).items()]
    rules = snapshot.log_rules
    engine = rules.of(runtime) if runtime else NO_RULES
    found = pods_of(deployment, mine, snapshot.logs, engine, rules.fetch, may_quote=bool(runtime))
    return found if asked else replace(found, answered=found.ready)


def unschedulable(pod: Manifest) -> str:
    """Return the scheduler's sentence when no node has room."""
    found = condition(pod, "PodScheduled")
    return str(found.get("message", "")) if found.get("reason") == "Unschedulable" else ""


def _name(pod: Manifest) -> str:
    return str(pod["metadata"].get("name", ""))


def _how_far(start: Start) -> tuple[int, float]:
    """Return what orders pods by how far they are; of two in one stage the older one is the slower."""
    return STAGES.index(start.stage), start.since
