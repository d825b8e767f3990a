"""Facts of artifacts: which reading is in force, whether it is fresh, why it failed, whose it is.

Here: ConfigMaps and Jobs of readings. Not here: what the facts mean for a release (`seeing`).
"""

import json

from ..api.conditions import epoch
from ..api.v1alpha1 import QuantizedModelSpec
from . import names
from .home import parent_uri
from .jobs import last_words, what_holds, why_failed
from .observation import Problem
from .snapshot import Manifest, Snapshot

FACTS_STAY_FRESH_SECONDS = 600
FACTS_READ = "FactsRead"


def reading_of(snapshot: Snapshot) -> str:
    """Return what identifies one reading of the artifacts: another spec or retry reads them again."""
    metadata = snapshot.model["metadata"]
    return (
        f"{metadata['uid']}/{metadata.get('generation', 0)}/{(metadata.get('annotations') or {}).get(names.RETRY, '')}"
    )


def failure_of(snapshot: Snapshot, uri: str, digest: str | None) -> Problem | None:
    """Return why the reading that is in force failed, as its Job said."""
    job_name = names.facts_job_name(uri, digest, reading_of(snapshot))
    if kept := _kept_failure(snapshot, snapshot.config_maps.get(names.facts_name(uri, digest))):
        return kept
    job = snapshot.jobs.get(job_name)
    if job is None:
        return None
    for text in last_words(snapshot, job_name):
        return _said_failure(text)
    if (why := why_failed(job)) is not None:
        return ("ArtifactNotReadable", f"the Job '{job_name}' that reads it broke: {why}")
    return None


def is_fresh(snapshot: Snapshot, config_map: Manifest | None, uri: str, digest: str | None) -> bool:
    """Facts read before the spec last changed may be of another file behind the same name.

    The Job of this very reading settles it: the clocks of a person, the API server and a node need not agree.
    """
    job = snapshot.jobs.get(names.facts_job_name(uri, digest, reading_of(snapshot)), {})
    if any(each.get("type") == "Complete" for each in job.get("status", {}).get("conditions") or []):
        return True
    read_at = epoch(((config_map or {}).get("data") or {}).get("readAt"))
    return read_at >= _changed_at(snapshot.model) - FACTS_STAY_FRESH_SECONDS and read_at >= _retried_at(snapshot.model)


def what_holds_readings(snapshot: Snapshot, spec: QuantizedModelSpec) -> str:
    """Return why a pod that is to read an artifact does not begin; empty while all are on their way."""
    read = [(rung.artifact, rung.digest) for rung in spec.ladder] + [(parent_uri(snapshot, spec), None)]
    held = (what_holds(snapshot, names.facts_job_name(*each, reading_of(snapshot))) for each in read)
    return next((text for text in held if text), "")


def borrowed_facts(snapshot: Snapshot, spec: QuantizedModelSpec) -> tuple[str, ...]:
    """Return the ConfigMaps of facts that belong to other models alone."""
    used = [names.facts_name(rung.artifact, rung.digest) for rung in spec.ladder]
    used.append(names.facts_name(parent_uri(snapshot, spec), None))
    uid = snapshot.model["metadata"]["uid"]
    found = {name: snapshot.config_maps[name]["metadata"] for name in used if name in snapshot.config_maps}
    owners = {name: [one["uid"] for one in each.get("ownerReferences") or ()] for name, each in found.items()}
    return tuple(name for name, uids in owners.items() if uid not in uids)


def _kept_failure(snapshot: Snapshot, config_map: Manifest | None) -> Problem | None:
    """Return a refusal that outlived its Job; one from before the spec last changed may have been mended.

    Times are whole seconds, and a pipeline mends a spec within one: what was read in that second is read again.
    """
    data = (config_map or {}).get("data") or {}
    since = max(_changed_at(snapshot.model), _retried_at(snapshot.model))
    return _said_failure(data["error.json"]) if "error.json" in data and epoch(data.get("readAt")) > since else None


def _said_failure(text: str) -> Problem | None:
    try:
        said = json.loads(text)
        return (str(said["reason"]), str(said["message"])) if said["reason"] != FACTS_READ else None
    except (ValueError, KeyError, TypeError):
        return None


def _changed_at(model: Manifest) -> float:
    """Return when a person or a pipeline last wrote the spec."""
    written = [
        epoch(entry.get("time"))
        for entry in model["metadata"].get("managedFields") or []
        if "f:spec" in (entry.get("fieldsV1") or {}) and not entry.get("subresource")
    ]
    return max([*written, epoch(model["metadata"].get("creationTimestamp"))])


def _retried_at(model: Manifest) -> float:
    """Return when a person last said `retry`: the command writes the time; of any other word, when it was written."""
    said = (model["metadata"].get("annotations") or {}).get(names.RETRY, "")
    try:
        return epoch(said)
    except ValueError:
        written = [
            epoch(entry.get("time"))
            for entry in model["metadata"].get("managedFields") or []
            if f"f:{names.RETRY}" in (entry.get("fieldsV1", {}).get("f:metadata", {}).get("f:annotations") or {})
        ]
        return max(written, default=0.0)
