"""How a candidate's start is judged and told: its stage, how far it is, its deadline, and what is done when it is late.

Here: numbers → sentences. Not here: the stages of one pod (`one_pod`), the deadlines' table (`starting.deadlines`).
"""

from collections.abc import Mapping

from ..fit.units import gib
from ..starting.deadlines import BYTES
from .observation import Problem, Release

LATE = "StartDeadlineExceeded"
OTHER_KERNEL = "OtherKernel"
MADE_ANEW = "GroupMadeAnew"
WAYS_OUT: Mapping[str, str] = {
    "Creating": "No pod was made: the events of its ReplicaSet or StatefulSet say why (a quota, or an admission "
    "policy).",
    "Scheduling": "No scheduler gave it a node, and none said why.",
    "Pulling": "Its image is not on the node yet, or a volume is not mounted: the pod's events say which. "
    "A `serving.image` from a nearer registry helps.",
    "Fetching": "Its store answers slowly: name a claim in `sources.cacheClaim`, onto which it is fetched once.",
    "Loading": "A volume that is so slow needs a lower `loadBytesPerSecond` in a RuntimeProfile of your own.",
    "Repacking": "A CPU that repacks weights so slowly needs a lower `loadBytesPerSecond` in a RuntimeProfile of your "
    "own.",
    "Compiling": "An engine that needs longer needs a higher `startSeconds` in a RuntimeProfile of your own.",
    "Warming": "An engine that needs longer needs a higher `startSeconds` in a RuntimeProfile of your own.",
    "Answering": "It says that it is healthy and answers a short prompt with nothing sensible: its weights, its kernel "
    "or its chat template are not what they should be.",
}


def why_refused(release: Release, now: float) -> Problem | None:
    """Return why a candidate's start is given up, with the stage and its numbers; None while it may still succeed."""
    pods = release.pods
    if release.broken_promise:
        return (OTHER_KERNEL, f"{release.revision} started as something else. {release.broken_promise}")
    if not pods.exists or pods.serving:
        return None
    stage = f"in the stage {_stage(release)}{_progress(release)}"
    waited, allowed = _waited(release, now), _allowed(release)
    if pods.fatal:
        reason, why = pods.failure or ("CrashedAtStart", "it crashed again and again.")
        return (reason, f"{release.revision} did not start ({stage}): {why}")
    if pods.made_anew_after > release.deadlines.together_seconds:
        why = pods.failure[1] if pods.failure else "The log of a pod that starts tells more."
        after = f"its pods were made anew {pods.made_anew_after:.0f} s after the first ones, for one of them dies"
        return (MADE_ANEW, f"{release.revision} did not start ({stage}): {after}. {why}")
    if waited <= allowed:
        return None
    reason, why = pods.failure or (LATE, pods.hint or WAYS_OUT.get(_stage(release), ""))
    numbers = f"it is stuck {stage}, {waited:.0f} s of at most {allowed:.0f} s"
    return (reason, f"{release.revision} did not start: {numbers}. {why}".strip())


def said(release: Release, now: float) -> str:
    """Return how far the start is, in one sentence."""
    pods, wanted = release.pods, release.resolved.replicas if release.resolved else 1
    numbers = f"{_waited(release, now):.0f} of at most {_allowed(release):.0f} s"
    where = f"{_stage(release)}{_progress(release)}, {numbers}"
    return f"{pods.answered} of {wanted} pods of {release.revision} answered a prompt ({where})."


def _stage(release: Release) -> str:
    return release.pods.stage or "Creating"


def _waited(release: Release, now: float) -> float:
    """Return the seconds in the stage; where its beginning is not told, those since the start began."""
    pods = release.pods
    return max(0.0, now - (pods.stage_since or pods.started_at)) if pods.exists else 0.0


def _allowed(release: Release) -> float:
    pods = release.pods
    return release.deadlines.seconds(_stage(release), pods.stage_since, pods.progress, fails=pods.failure is not None)


def _progress(release: Release) -> str:
    progress = release.pods.progress
    if progress is None:
        return ""
    if progress.unit == BYTES:
        return f" {gib(progress.done)} of {gib(progress.total)}"
    return f" {progress.done} of {progress.total} {progress.unit}".rstrip()
