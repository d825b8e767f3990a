"""How a Job ended: what its pods left as their last word, and why it failed where none did."""

from collections.abc import Iterator

from .pods import unschedulable
from .snapshot import Manifest, Snapshot


def last_words(snapshot: Snapshot, job_name: str) -> Iterator[str]:
    """Yield what each of the Job's finished pods left, those that left nothing passed over."""
    for pod in snapshot.pods:
        if (pod["metadata"].get("labels") or {}).get("job-name") == job_name and (text := termination_message(pod)):
            yield text


def termination_message(pod: Manifest) -> str:
    """Return what a finished pod's container left as its last word."""
    for status in pod.get("status", {}).get("containerStatuses") or []:
        ended = status.get("state", {}).get("terminated") or {}
        if ended.get("message"):
            return str(ended["message"])
    return ""


def what_holds(snapshot: Snapshot, job_name: str) -> str:
    """Return why the Job's pod does not begin, in Kubernetes' own words; empty while it is on its way."""
    for pod in snapshot.pods:
        if (pod["metadata"].get("labels") or {}).get("job-name") == job_name and (
            text := unschedulable(pod) or _held(pod)
        ):
            return text
    return ""


def _held(pod: Manifest) -> str:
    for status in pod.get("status", {}).get("containerStatuses") or []:
        waiting = status.get("state", {}).get("waiting") or {}
        if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return f"{waiting['reason']} {waiting.get('message', '')}".strip()
    return ""


def why_failed(job: Manifest) -> str | None:
    """Return Kubernetes' own words for a Job that was given up; None while it was not."""
    for condition in job.get("status", {}).get("conditions") or []:
        if condition.get("type") == "Failed" and condition.get("status") == "True":
            return str(condition.get("message", ""))
    return None
