"""One pod: is it ready, did it answer, what is it doing on its way there and since when.

Here: manifest and logs → `Start`. Not here: why it fails (`failures`), a workload's pods together (`pods`).
"""

from dataclasses import dataclass, field
from typing import get_args

from pydantic import ValidationError

from ..api.conditions import epoch
from ..starting.reading import EngineReport, LogReading, Progress, read_log
from ..starting.rules import NO_RULES, EngineLines, Stage
from . import names
from .snapshot import Manifest, PodLog

ENGINE = "engine"
STAGES = ("Scheduling", "Pulling", "Fetching", "Restarting", *get_args(Stage)[1:], "Serving")
"""In the order in which a start passes through them."""
NOTHING_SAID = PodLog()


@dataclass(frozen=True)
class Start:
    """How far a pod is on its way to its first answer."""

    stage: str
    since: float = 0
    progress: Progress | None = None
    reading: LogReading = field(default_factory=LogReading)
    """What the log of the container says that is at work."""


def start_of(pod: Manifest, log: PodLog = NOTHING_SAID, engine: EngineLines = NO_RULES) -> Start:
    """Return what a pod is doing; what goes on inside the engine is told by its log, and is `Loading` without one."""
    if is_ready(pod):
        since = epoch(condition(pod, "Ready").get("lastTransitionTime"))
        return Start("Serving" if has_answered(pod) else "Answering", since)
    if not scheduled_at(pod):
        return Start("Scheduling")
    reading = read_log(engine, log.current)
    if fetching := fetching_since(pod):
        return Start("Fetching", fetching, reading.progress, reading)
    statuses = pod.get("status", {}).get("containerStatuses") or []
    running = [each["state"]["running"] for each in statuses if "running" in each.get("state", {})]
    if running:
        return _inside(reading, max(epoch(each.get("startedAt")) for each in running))
    if died := [each for each in map(died_at, statuses) if each]:
        return Start("Restarting", max(died))
    return Start("Pulling", max(scheduled_at(pod), *map(died_at, _initial(pod)), 0.0))


def _inside(reading: LogReading, started: float) -> Start:
    """Return the stage of an engine that runs; it loads from its process's first moment on."""
    if reading.stage in (None, "Fetching", "Loading"):
        progress = reading.progress if reading.stage == "Loading" else None
        return Start("Loading", started, progress, reading)
    return Start(str(reading.stage), reading.since, reading.progress, reading)


def is_ready(pod: Manifest) -> bool:
    """Return whether the pod's Ready condition is true."""
    return condition(pod, "Ready").get("status") == "True"


def has_answered(pod: Manifest) -> bool:
    """Return whether the pod answered a prompt sensibly since its engine's container last started."""
    noted = (pod["metadata"].get("annotations") or {}).get(names.ANSWERED, "")
    return bool(noted) and noted == start_identity(pod)


def has_ever_answered(pod: Manifest) -> bool:
    """Return whether any container of the pod answered a prompt: since then its log may hold users' words."""
    return bool((pod["metadata"].get("annotations") or {}).get(names.ANSWERED))


def report_of(pod: Manifest) -> EngineReport | None:
    """Return what the engine told of itself, as it was noted with the first answer; None for what is not ours."""
    noted = (pod["metadata"].get("annotations") or {}).get(names.REPORT, "")
    if not noted or not has_answered(pod):
        return None
    try:
        return EngineReport.model_validate_json(noted)
    except ValidationError:
        return None


def start_identity(pod: Manifest) -> str:
    """Return what changes whenever a container of the pod starts anew."""
    statuses = pod.get("status", {}).get("containerStatuses") or []
    return names.digest(
        [[each.get("name"), each.get("containerID"), each.get("restartCount")] for each in statuses], 12
    )


def scheduled_at(pod: Manifest) -> float:
    """Return when the pod found its node; 0 while it has none."""
    found = condition(pod, "PodScheduled")
    return epoch(found.get("lastTransitionTime")) if found.get("status") == "True" else 0.0


def started_at(pod: Manifest) -> float:
    """Return when the pod last began to start: when it found its node, or when a container of it last died."""
    statuses = pod.get("status", {}).get("containerStatuses") or []
    died = [(each.get("lastState", {}).get("terminated") or {}).get("finishedAt") for each in statuses]
    return max([scheduled_at(pod), *map(epoch, died)])


def died_at(status: Manifest) -> float:
    """Return when a container ended last; 0 while it never did."""
    ended = status.get("state", {}).get("terminated") or status.get("lastState", {}).get("terminated") or {}
    return epoch(ended.get("finishedAt"))


def restarts(pod: Manifest) -> int:
    """Return how often the pod's containers died; one that fetches may fail more often, its store may come back."""
    statuses = pod.get("status", {}).get("containerStatuses") or []
    return max((int(each.get("restartCount", 0)) for each in statuses), default=0)


def fetching_since(pod: Manifest) -> float:
    """Return when fetching began, from its first try on; 0 once all is there, or before a container runs."""
    for status in _initial(pod):
        running = status.get("state", {}).get("running")
        if not status.get("ready") and (running is not None or died_at(status)):
            return scheduled_at(pod) if running is None or died_at(status) else epoch(running.get("startedAt"))
    return 0.0


def container_at_work(pod: Manifest) -> str:
    """Return the container whose log tells what goes on: one that fetches, else the engine; '' while none runs."""
    for status in _initial(pod):
        if not status.get("ready") and "running" in status.get("state", {}):
            return str(status["name"])
    engine = engine_of(pod)
    return ENGINE if "running" in engine.get("state", {}) else ""


def has_crashed(pod: Manifest) -> bool:
    """Return whether the engine's container of before ended, with whatever code, so that its log tells why."""
    states = (engine_of(pod).get(each, {}) for each in ("lastState", "state"))
    return any("terminated" in each for each in states)


def engine_of(pod: Manifest) -> Manifest:
    """Return the state of the engine's container; empty before the kubelet told it."""
    statuses = pod.get("status", {}).get("containerStatuses") or []
    return next((each for each in statuses if each.get("name") == ENGINE), {})


def condition(pod: Manifest, kind: str) -> Manifest:
    """Return one of the pod's conditions; empty where there is none."""
    conditions = pod.get("status", {}).get("conditions") or []
    return next((each for each in conditions if each.get("type") == kind), {})


def _initial(pod: Manifest) -> list[Manifest]:
    return list(pod.get("status", {}).get("initContainerStatuses") or [])
