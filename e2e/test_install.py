"""The operator comes, is upgraded and goes while the models that it moved serve on."""

import json

import pytest

from e2e.cluster import Cluster
from e2e.cluster.commands import ClusterError
from e2e.conftest import CONSOLE
from e2e.demo import scenes
from e2e.demo.target import OwnCluster, get
from e2e.demo.users import Users
from e2e.steps import Model, manifest, stable_answers


def serving_pods(cluster: Cluster) -> dict[str, int]:
    """The pods that answer users, by uid, with their restarts."""
    pods = get(cluster, "pods", "-n", "demo")["items"]
    return {
        pod["metadata"]["uid"]: sum(each["restartCount"] for each in pod["status"]["containerStatuses"])
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"]
        and (
            pod["metadata"]["labels"].get("bitshift.dev/role") == "release"
            or pod["metadata"]["labels"].get("app") == "chat"
        )
    }


def test_an_upgrade_changes_no_serving_pod(cluster: OwnCluster, users: Users):
    before = serving_pods(cluster)

    scenes.install(cluster, CONSOLE, "--set", "operator.logLevel=DEBUG")

    assert len(before) == 2
    assert serving_pods(cluster) == before


def test_it_refuses_to_go_in_the_middle_of_a_rollout_and_says_of_which(cluster: OwnCluster, users: Users):
    spec = manifest("comes-back.yaml")
    spec["traffic"]["holdSeconds"] += 1  # what users had seen fail is tried again for another spec only
    model = Model(cluster, "chat").given(spec)
    model.comes_to(lambda status: status.get("phase") == "Shifting", seconds=300, called="Shifting")

    with pytest.raises(ClusterError, match="job bitshift-uninstall failed"):
        cluster.helm("uninstall", "bitshift", "-n", scenes.SYSTEM, "--wait", "--timeout=60s")

    said = cluster.kubectl("-n", scenes.SYSTEM, "logs", "job/bitshift-uninstall")
    assert said.startswith("demo/chat is in the middle of a rollout (phase Shifting")
    status = model.comes_to(lambda status: bool(status.get("rungs")), seconds=10, called="having rungs")
    revision = next(rung["revision"] for rung in status["rungs"] if rung["name"] == "q8-0-short")
    cluster.kubectl("-n", "demo", "annotate", "qm", "chat", f"bitshift.dev/rollback={revision}", "--overwrite")
    model.comes_to(lambda status: status.get("phase") == "Rejected", seconds=180, called="Rejected")
    latest = cluster.helm("history", "bitshift", "-n", scenes.SYSTEM, "-o", "json")
    revisions = [each["revision"] for each in json.loads(latest)]
    cluster.helm("rollback", "bitshift", str(max(revisions)), "-n", scenes.SYSTEM, "--wait")


def test_it_leaves_serving_pods_and_routes_behind_and_no_finalizer(cluster: OwnCluster, users: Users):
    before = serving_pods(cluster)

    cluster.helm("uninstall", "bitshift", "-n", scenes.SYSTEM, "--wait", "--timeout=120s")

    assert serving_pods(cluster) == before
    assert stable_answers(cluster)
    assert not get(cluster, "quantizedmodel", "chat", "-n", "demo")["metadata"].get("finalizers")
    scenes.install(cluster, CONSOLE)
    Model(cluster, "chat").comes_to(
        lambda status: bool(status.get("currentRevision")), seconds=60, called="its promoted release"
    )
