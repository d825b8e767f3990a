"""The ends of logs of pods that start: bounded, read while they start and at no other time, kept nowhere.

Here: which pods' logs, how much of them. Not here: what a line means (`starting`), what follows (`rollout`).
"""

import asyncio
import logging
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from bitshift_core.fit.workloads import group_of, is_worker
from bitshift_core.rollout import names
from bitshift_core.rollout.home import current_revision
from bitshift_core.rollout.one_pod import ENGINE, container_at_work, engine_of, has_crashed, has_ever_answered, is_ready
from bitshift_core.rollout.snapshot import PodLog, Snapshot
from bitshift_core.starting.rules import LogRules

from .client import Kube
from .errors import ApiError
from .shipped import shipped_yaml

TAIL_LINES, KEPT_CHARACTERS = 400, 65_536
LIMIT_BYTES = 262_144
"""Guards memory alone: the server cuts the end off beyond it, where the newest lines are."""
MOST_PODS = 4
"""Whose logs one turn reads: replicas of a release fail alike."""

log = logging.getLogger(__name__)


@cache
def load_log_rules() -> LogRules:
    """Return what lines of engines' logs mean; read once, for it never changes."""
    return LogRules.from_mapping(shipped_yaml("bitshift_core.starting", "logs.yaml"))


async def starting_logs(kube: Kube, read: Snapshot) -> dict[str, Any]:
    """Return the logs of the model's pods that never answered a prompt; none for a model that is settled."""
    served = {current_revision(read), _relayed_revision(read)}
    answered = {group_of(pod) for pod in read.pods if has_ever_answered(pod) and any(group_of(pod))}
    starting = [pod for pod in read.pods if group_of(pod) not in answered and _starts(pod, served)]
    starting = sorted(starting, key=is_worker)[:MOST_PODS]
    found = await asyncio.gather(*(_log_of(kube, read.namespace, pod) for pod in starting))
    logs = {pod["metadata"]["name"]: each for pod, each in zip(starting, found, strict=True)}
    return {"logs": logs, "log_rules": load_log_rules()}


def _relayed_revision(read: Snapshot) -> str:
    """Return the candidate that users may be on already: the one that the relay leads to."""
    relay = read.workloads.get(names.relay_name(read.name)) or {"metadata": {}}
    return str((relay["metadata"].get("annotations") or {}).get(names.REVISION, ""))


def _starts(pod: Mapping[str, Any], served: Collection[str]) -> bool:
    """Return whether a pod's log may be read: once users' prompts reached it, nothing of it is."""
    metadata = pod["metadata"]
    labels = metadata.get("labels") or {}
    if labels.get(names.ROLE) not in ("release", names.worker_role("release")) or labels.get(names.REVISION) in served:
        return False
    at_work = is_ready(pod) or container_at_work(pod) or has_crashed(pod)
    return bool(at_work) and not metadata.get("deletionTimestamp") and not has_ever_answered(pod)


async def _log_of(kube: Kube, namespace: str, pod: Mapping[str, Any]) -> PodLog:
    name, at_work = pod["metadata"]["name"], container_at_work(pod)
    ended_before = "terminated" in engine_of(pod).get("lastState", {})
    current, previous = await asyncio.gather(
        _tail(kube, namespace, name, at_work) if at_work else _nothing(),
        _tail(kube, namespace, name, ENGINE, previous=ended_before) if has_crashed(pod) else _nothing(),
    )
    return PodLog(current, previous)


async def _tail(kube: Kube, namespace: str, pod: str, container: str, *, previous: bool = False) -> str:
    """Return the end of a log; one that cannot be read is never worth the turn."""
    try:
        text = await kube.logs(
            namespace,
            pod,
            container=container,
            tail_lines=TAIL_LINES,
            limit_bytes=LIMIT_BYTES,
            previous=previous,
            timestamps=True,
        )
    except ApiError as error:
        log.info("the log of a pod that starts cannot be read", extra={"pod": pod, "why": str(error)})
        return ""
    if len(text) <= KEPT_CHARACTERS:
        return text
    return text[-KEPT_CHARACTERS:].partition("\n")[2]  # the first line is a piece without its time


async def _nothing() -> str:
    return ""
