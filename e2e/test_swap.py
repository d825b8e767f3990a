"""A node whose GPUs stable holds: it lends a replica's to a release, and has it back when users come home.

The node offers two GPUs as it would offer any resource that somebody advertises on it; the engine needs none of them.
"""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.cluster import Cluster
from e2e.cluster.commands import wait_until
from e2e.demo import scenes
from e2e.demo.target import apply, get
from e2e.demo.users import Users
from e2e.steps import Model, manifest

GPU, GPUS = "nvidia.com/gpu", 2
DRAIN_SECONDS = 40
"""What the Deployment's owner gives a replica that goes to end its requests: whoever scales it down relies on that."""
LABELS = {
    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
    "nvidia.com/gpu.memory": "81559",
    "nvidia.com/gpu.compute.major": "9",
    "nvidia.com/gpu.compute.minor": "0",
}
TARGETS = {
    "requestsPerMinute": 60,
    "seconds": 130,
    "promptTokens": 82,
    "replyTokens": 2,
    "ttftMillis": 60_000,
    "itlMillis": 30_000,
}
"""No GPU is free for a copy of stable to compare with, so a load gate is judged by targets: of two shared cores, here."""


def advertise(cluster: Cluster, node: str, count: int | None, labels: dict[str, Any]) -> None:
    """Have the node offer so many GPUs, or none any more."""
    offered = {GPU: None if count is None else str(count)}
    status = json.dumps({"status": {"capacity": offered, "allocatable": offered}})
    cluster.kubectl("patch", "node", node, "--subresource=status", "--type=merge", "-p", status)
    cluster.kubectl("patch", "node", node, "--type=merge", "-p", json.dumps({"metadata": {"labels": labels}}))


def resize(cluster: Cluster, replicas: int, limits: dict[str, Any]) -> None:
    """Change the users' Deployment as its owner would, and wait for its pods."""
    drains = {"preStop": {"sleep": {"seconds": DRAIN_SECONDS}}}
    container = {"name": "server", "resources": {"limits": limits}, "lifecycle": drains}
    spec = {"replicas": replicas, "template": {"spec": {"containers": [container]}}}
    body = json.dumps({"spec": spec})
    cluster.kubectl("-n", scenes.NAMESPACE, "patch", "deployment", "chat", "--type=strategic", "-p", body)
    cluster.kubectl("-n", scenes.NAMESPACE, "rollout", "status", "deployment/chat", "--timeout=180s")
    wait_until(
        lambda: len(get(cluster, "pods", "-n", scenes.NAMESPACE, "-l", "app=chat")["items"]) == replicas,
        "the Deployment's former pods are gone",
        seconds=120,
    )


def stable(cluster: Cluster) -> dict[str, Any]:
    found: dict[str, Any] = get(cluster, "deployment", "chat", "-n", scenes.NAMESPACE)
    return found


def assert_all_answered(users: Users, began: float) -> None:
    """Hold that users asked, and that nobody's request failed."""
    seen = users.seen(began)
    assert seen
    assert [each for each in seen if not each.ok] == []


@pytest.fixture(scope="module")
def model(cluster: Cluster, users: Users) -> Iterator[Model]:
    """A model whose stable holds both GPUs of the node and may lend them; afterwards all is as it was."""
    scenes.forget(cluster)
    node = get(cluster, "nodes")["items"][0]["metadata"]["name"]
    advertise(cluster, node, GPUS, LABELS)
    resize(cluster, GPUS, {GPU: "1"})
    yield Model(cluster, "chat")
    scenes.forget(cluster)
    resize(cluster, 1, {GPU: None})
    apply(cluster, (scenes.MANIFESTS / "before.yaml").read_text())
    advertise(cluster, node, None, dict.fromkeys(LABELS))


def test_a_release_is_promoted_in_the_place_of_one_replica_and_users_notice_nothing(
    cluster: Cluster, users: Users, model: Model
):
    began, works = time.time(), manifest("works.yaml")
    full = {"whenFull": "Serial", "serving": works["serving"] | {"replicas": 1}}

    model.given(works | full | {"gates": works["gates"] | {"load": TARGETS}})
    status = model.comes_to(lambda status: status.get("reason") == "AwaitingHandover", seconds=900, called="promotion")

    assert (status["rung"], stable(cluster)["spec"]["replicas"]) == ("q8-0", 1)
    assert {each["name"]: each["state"] for each in status["rungs"]}["q2-k"] == "Refused"
    assert status["lent"].startswith("Deployment 'chat' lent 1 of its 2 replicas; to come back it must load again")
    assert_all_answered(users, began)


def test_what_coming_back_would_take_was_said_before_the_replica_went(cluster: Cluster, model: Model):
    events = get(cluster, "events", "-n", scenes.NAMESPACE, "--field-selector=involvedObject.name=chat")["items"]
    told = {each["reason"]: each for each in sorted(events, key=lambda each: str(each["lastTimestamp"]))}

    assert "and keeps 1; to come back it must load again, which may take" in told["SwapAnnounced"]["message"]
    assert told["SwapAnnounced"]["firstTimestamp"] < told["SwappingStable"]["firstTimestamp"]


def test_when_the_object_goes_stable_has_its_replica_back(cluster: Cluster, users: Users, model: Model):
    began = time.time()

    model.gone()
    cluster.kubectl("-n", scenes.NAMESPACE, "rollout", "status", "deployment/chat", "--timeout=180s")

    assert stable(cluster)["spec"]["replicas"] == stable(cluster)["status"]["readyReplicas"] == 2
    assert "bitshift.dev/lent" not in stable(cluster)["metadata"].get("annotations", {})
    assert_all_answered(users, began)
