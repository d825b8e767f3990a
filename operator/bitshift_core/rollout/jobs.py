"""How a Job ended: what its pods left as their last word, and why it failed where none did."""

from collections.abc import Iterator

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


def why_failed(job: Manifest) -> str | None:
    """Return Kubernetes' own words for a Job that was given up; None while it was not."""
    for condition in job.get("status", {}).get("conditions") or []:
        if condition.get("type") == "Failed" and condition.get("status") == "True":
            return str(condition.get("message", ""))
    return None
