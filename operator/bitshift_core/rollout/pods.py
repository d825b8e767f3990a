"""The state of a Deployment's pods in a few words: how far they are, and why one of them does not start."""

from collections.abc import Sequence
from dataclasses import replace

from ..api.conditions import epoch
from . import names
from .observation import Pods, Problem
from .snapshot import Manifest, Snapshot

CRASHES_THAT_DECIDE = 3
IMAGE_REASONS = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull")
LONGEST_TAIL = 300


def pods_of(deployment: Manifest | None, pods: Sequence[Manifest]) -> Pods:
    """Return how far the pods of a Deployment are; pods that are going away do not count."""
    if deployment is None:
        return Pods()
    alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    failures = [failure for pod in alive if (failure := failure_of(pod))]
    return Pods(
        exists=True,
        desired=int(deployment["spec"].get("replicas", 1)),
        ready=sum(is_ready(pod) for pod in alive),
        answered=sum(is_ready(pod) and has_answered(pod) for pod in alive),
        started_at=max([epoch(deployment["metadata"].get("creationTimestamp")), *map(started_at, alive)]),
        stage=_slowest([stage_of(pod) for pod in alive]),
        failure=failures[0] if failures else None,
        fatal=any(restarts(pod) >= CRASHES_THAT_DECIDE for pod in alive),
        unschedulable=next((text for pod in alive if (text := unschedulable(pod))), ""),
    )


def pods_named(snapshot: Snapshot, name: str, *, asked: bool = True) -> Pods:
    """Return the pods of one Deployment of ours; where none is asked a prompt, as in the relay, Ready is enough."""
    deployment = snapshot.deployments.get(name)
    if deployment is None:
        return Pods()
    wanted = deployment["spec"]["selector"]["matchLabels"]
    mine = [pod for pod in snapshot.pods if wanted.items() <= (pod["metadata"].get("labels") or {}).items()]
    found = pods_of(deployment, mine)
    return found if asked else replace(found, answered=found.ready)


def is_ready(pod: Manifest) -> bool:
    """Return whether the pod's Ready condition is true."""
    return _condition(pod, "Ready").get("status") == "True"


def has_answered(pod: Manifest) -> bool:
    """Return whether the pod answered a prompt sensibly since its engine's container last started."""
    noted = (pod["metadata"].get("annotations") or {}).get(names.ANSWERED, "")
    return bool(noted) and noted == start_identity(pod)


def start_identity(pod: Manifest) -> str:
    """Return what changes whenever a container of the pod starts anew."""
    statuses = pod.get("status", {}).get("containerStatuses") or []
    return names.digest(
        [[each.get("name"), each.get("containerID"), each.get("restartCount")] for each in statuses], 12
    )


def scheduled_at(pod: Manifest) -> float:
    """Return when the pod found its node; 0 while it has none."""
    found = _condition(pod, "PodScheduled")
    return epoch(found.get("lastTransitionTime")) if found.get("status") == "True" else 0.0


def started_at(pod: Manifest) -> float:
    """Return when the pod last began to start: when it found its node, or when a container of it last died."""
    statuses = pod.get("status", {}).get("containerStatuses") or []
    died = [(each.get("lastState", {}).get("terminated") or {}).get("finishedAt") for each in statuses]
    return max([scheduled_at(pod), *map(epoch, died)])


def unschedulable(pod: Manifest) -> str:
    """Return the scheduler's sentence when no node has room."""
    found = _condition(pod, "PodScheduled")
    return str(found.get("message", "")) if found.get("reason") == "Unschedulable" else ""


def restarts(pod: Manifest) -> int:
    """Return how often the pod's containers died."""
    statuses = pod.get("status", {}).get("containerStatuses") or []
    return max((int(each.get("restartCount", 0)) for each in statuses), default=0)


def stage_of(pod: Manifest) -> str:
    """Return what a pod is doing on its way to its first answer."""
    if is_ready(pod):
        return "Serving" if has_answered(pod) else "Answering"
    if not scheduled_at(pod):
        return "Scheduling"
    for status in pod.get("status", {}).get("initContainerStatuses") or []:
        if not status.get("ready") and "running" in status.get("state", {}):
            return "Fetching"
    statuses = pod.get("status", {}).get("containerStatuses") or []
    return "Loading" if any("running" in each.get("state", {}) for each in statuses) else "Pulling"


def failure_of(pod: Manifest) -> Problem | None:
    """Return why a pod does not start, in a word and a sentence with the way out; None while nothing is wrong."""
    status = pod.get("status", {})
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = container.get("state", {}).get("waiting") or {}
        if waiting.get("reason") in IMAGE_REASONS:
            return (
                "ImageCannotBePulled",
                f"The image '{container.get('image')}' cannot be pulled: {_tail(waiting.get('message', ''))} "
                "Check `serving.image`, or the pull secret of the namespace's default service account.",
            )
        died = container.get("lastState", {}).get("terminated") or container.get("state", {}).get("terminated")
        if died and not is_ready(pod) and died.get("exitCode"):
            return _death(container, died)
        if waiting.get("reason") in ("CreateContainerConfigError", "CreateContainerError"):
            return ("ContainerCannotBeCreated", f"The container cannot be created: {_tail(waiting.get('message', ''))}")
    return None


def _death(container: Manifest, died: Manifest) -> Problem:
    last = _tail(died.get("message", ""))
    if died.get("reason") == "OOMKilled":
        return (
            "OutOfMemory",
            f"The container '{container['name']}' was killed for memory: lower `serving.contextTokens` or "
            f"`serving.concurrentSequences`. {last}",
        )
    times = container.get("restartCount", 0)
    return (
        "CrashedAtStart",
        f"The container '{container['name']}' exited with code {died.get('exitCode')} ({times} restarts). "
        f"It said: {last}",
    )


def _tail(text: str) -> str:
    """Return the end of a log as one line: what failed is said last."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    joined = " | ".join(lines[-3:])
    return joined[-LONGEST_TAIL:] or "nothing."


def _condition(pod: Manifest, kind: str) -> Manifest:
    conditions = pod.get("status", {}).get("conditions") or []
    return next((each for each in conditions if each.get("type") == kind), {})


def _slowest(stages: Sequence[str]) -> str:
    order = ("Scheduling", "Pulling", "Fetching", "Loading", "Answering", "Serving")
    return min(stages, key=order.index, default="")
