"""What makes pods: a Deployment, or a LeaderWorkerSet where a replica spans nodes. Whoever reads one reads the other.

Here: which pods it makes, how many of them, and how they are known. Not here: making it (`resources`), how far its pods
are (`rollout.pods`).
"""

from collections.abc import Mapping
from typing import Any

Manifest = Mapping[str, Any]
SET_NAME = "leaderworkerset.sigs.k8s.io/name"
GROUP_INDEX = "leaderworkerset.sigs.k8s.io/group-index"
WORKER_INDEX = "leaderworkerset.sigs.k8s.io/worker-index"
GROUP_SIZE = "leaderworkerset.sigs.k8s.io/size"
"""An annotation; the others are labels, and the controller gives all of them to each pod."""
LEADER = "0"


def templates_of(workload: Manifest) -> tuple[Manifest, ...]:
    """Return the template of each pod of one replica, that of the pod which answers first."""
    spec = workload.get("spec") or {}
    group = spec.get("leaderWorkerTemplate")
    if group is None:
        return (spec.get("template") or {},)
    worker = group["workerTemplate"]
    return (group.get("leaderTemplate") or worker, *[worker] * (int(group.get("size", 1)) - 1))


def answering_labels(workload: Manifest) -> Mapping[str, str]:
    """Return the labels by which those of its pods are known that answer prompts."""
    spec = workload.get("spec") or {}
    if "leaderWorkerTemplate" not in spec:
        return (spec.get("selector") or {}).get("matchLabels") or {}
    own = (templates_of(workload)[0].get("metadata") or {}).get("labels") or {}
    return {**own, SET_NAME: workload["metadata"]["name"], WORKER_INDEX: LEADER}


def is_worker(pod: Manifest) -> bool:
    """Return whether a pod only computes for another one, which answers."""
    return _labels(pod).get(WORKER_INDEX, LEADER) != LEADER


def group_of(pod: Manifest) -> tuple[str, str]:
    """Return the LeaderWorkerSet that a pod is of, and which of its groups; ('', '') of any other pod."""
    return _labels(pod).get(SET_NAME, ""), _labels(pod).get(GROUP_INDEX, "")


def group_size(pod: Manifest) -> int:
    """Return how many pods the replica is that a pod belongs to."""
    return int((pod["metadata"].get("annotations") or {}).get(GROUP_SIZE) or 1)


def _labels(pod: Manifest) -> Mapping[str, str]:
    return pod["metadata"].get("labels") or {}
