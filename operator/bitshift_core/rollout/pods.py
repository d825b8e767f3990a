"""The state of a workload's pods in a few words: how far they are, and why one of them does not start."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..api.conditions import epoch
from ..fit.workloads import answering_labels, group_of, is_worker, templates_of
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
    has_ever_answered,
    is_ready,
    report_of,
    restarts,
    start_of,
    started_at,
)
from .snapshot import Manifest, PodLog, Snapshot

CRASHES_THAT_DECIDE = 3


def pods_of(
    workload: Manifest | None,
    pods: Sequence[Manifest],
    logs: Mapping[str, PodLog] | None = None,
    engine: EngineLines = NO_RULES,
    fetch: EngineLines = NO_RULES,
    *,
    may_quote: bool = True,
    workers: Sequence[Manifest] = (),
) -> Pods:
    """Return how far the pods of a workload are; pods that are going away do not count.

    `workers` only compute: a pod that answers counts once all of its group are ready, and what ails one ails all.
    A crash decides when it came again and again, or at once where its log says that it will.
    """
    if workload is None:
        return Pods()
    said = logs or {}
    leaders, helpers = _alive(pods), _alive(workers)
    alive = [*leaders, *helpers]
    whole = _whole(leaders, helpers, len(templates_of(workload)))
    read = [(pod, said.get(_name(pod), NOTHING_SAID)) for pod in alive]
    asked = {group_of(pod) for pod in leaders if has_ever_answered(pod)}  # users' words may have reached their workers
    found = [
        failure_of(pod, log, engine, fetch, may_quote=may_quote and not (is_worker(pod) and group_of(pod) in asked))
        for pod, log in read
    ]
    failures = [each for each in found if each]
    starts = [
        start_of(pod, log, fetch if fetching_since(pod) else engine)
        for pod, log in read
        if not (is_worker(pod) and is_ready(pod))
    ]
    made = epoch(workload["metadata"].get("creationTimestamp"))
    slowest = min(starts, key=_how_far, default=Start(""))
    there = [epoch(condition(pod, "Ready").get("lastTransitionTime")) for pod in helpers if is_ready(pod)]
    hints = [start.reading.failure.message for start in starts if start.reading.failure]
    return Pods(
        exists=True,
        desired=int(workload["spec"].get("replicas", 1)),
        ready=len(whole),
        answered=sum(map(has_answered, whole)),
        started_at=max([made, *map(started_at, alive)]),
        made_anew_after=max((epoch(pod["metadata"].get("creationTimestamp")) - made for pod in helpers), default=0),
        stage=slowest.stage,
        stage_since=max([slowest.since, *there]) if slowest.since else 0,  # till then the first one waited
        progress=slowest.progress,
        failure=(failures[0].reason, failures[0].message) if failures else None,
        fatal=any(each.final for each in failures) or any(restarts(pod) >= CRASHES_THAT_DECIDE for pod in alive),
        hint=hints[0] if hints else "",
        report=next((report for pod in alive if (report := report_of(pod))), None),
        unschedulable=next((text for pod in alive if (text := unschedulable(pod))), ""),
        placed=sum(bool((pod.get("spec") or {}).get("nodeName")) for pod in leaders),
    )


def pods_named(snapshot: Snapshot, name: str, *, asked: bool = True, runtime: str = "") -> Pods:
    """Return the pods of one workload of ours; where none is asked a prompt, as in the relay, Ready is enough.

    With the engine's `runtime` they are those of a release that is tried: what it prints is understood, and quoted.
    """
    workload = snapshot.workloads.get(name)
    if workload is None:
        return Pods()
    wanted = answering_labels(workload).items()
    mine = [pod for pod in snapshot.pods if wanted <= (pod["metadata"].get("labels") or {}).items()]
    workers = [pod for pod in snapshot.pods if is_worker(pod) and group_of(pod)[0] == name]
    rules = snapshot.log_rules
    engine = rules.of(runtime) if runtime else NO_RULES
    quotes = bool(runtime)
    found = pods_of(workload, mine, snapshot.logs, engine, rules.fetch, may_quote=quotes, workers=workers)
    return found if asked else replace(found, answered=found.ready)


def unschedulable(pod: Manifest) -> str:
    """Return the scheduler's sentence when no node has room."""
    found = condition(pod, "PodScheduled")
    return str(found.get("message", "")) if found.get("reason") == "Unschedulable" else ""


def _alive(pods: Sequence[Manifest]) -> list[Manifest]:
    """Return the pods that stay, in order: or what is told of one of them would change from turn to turn."""
    return sorted((pod for pod in pods if not pod["metadata"].get("deletionTimestamp")), key=_name)


def _whole(leaders: Sequence[Manifest], workers: Sequence[Manifest], size: int) -> list[Manifest]:
    """Return the ready pods that answer, each with all that compute for it ready beside it."""
    ready = Counter(group_of(pod) for pod in workers if is_ready(pod))
    return [pod for pod in leaders if is_ready(pod) and ready[group_of(pod)] == size - 1]


def _name(pod: Manifest) -> str:
    return str(pod["metadata"].get("name", ""))


def _how_far(start: Start) -> tuple[int, float]:
    """Return what orders pods by how far they are; of two in one stage the older one is the slower."""
    return STAGES.index(start.stage), start.since
