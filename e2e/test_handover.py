"""After the handover the users' own route leads to the release: the old pods may go, and so may the object."""

import json
import time
from collections.abc import Iterator

import pytest

from e2e.cluster import Cluster
from e2e.demo import scenes
from e2e.demo.target import apply, get
from e2e.demo.users import Users
from e2e.steps import Model, manifest, stable_answers


@pytest.fixture(scope="module")
def promoted(cluster: Cluster, users: Users) -> Iterator[Model]:
    """The promoted model, which is to free stable's pods; afterwards everything is as before Bitshift came."""
    model = Model(cluster, "chat").given(manifest("works.yaml") | {"afterPromotion": "ScaleToZero"})
    status = model.comes_to(lambda status: status.get("reason") == "AwaitingHandover", seconds=300, called="promotion")
    yield model
    apply(cluster, (scenes.MANIFESTS / "before.yaml").read_text())
    cluster.kubectl("-n", model.namespace, "rollout", "status", "deployment/chat", "--timeout=180s")
    scenes.forget(cluster)
    for kind, name in (("deployment", status["currentRevision"]), ("service", status["currentRevision"])):
        cluster.kubectl("-n", model.namespace, "delete", kind, name, "--ignore-not-found")
    cluster.kubectl("-n", model.namespace, "delete", "service", "chat-release", "--ignore-not-found")


def as_patch(lines: str) -> str:
    """Return the lines that the status tells to change as a JSON patch: `spec.rules[0].…name: chat-release`."""
    changes = [line.partition(": ") for line in lines.splitlines()]
    return json.dumps(
        [
            {
                "op": "replace",
                "path": "/" + path.replace("[", "/").replace("]", "").replace(".", "/"),
                "value": int(value) if value.isdigit() else value,
            }
            for path, _, value in changes
        ]
    )


def test_the_lines_that_the_status_tells_end_the_overlay_and_free_the_old_pods(
    cluster: Cluster, users: Users, promoted: Model
):
    began = time.time()
    handover = as_patch(promoted.status()["handover"])

    cluster.kubectl("-n", promoted.namespace, "patch", "httproute", "chat", "--type=json", "-p", handover)
    promoted.comes_to(lambda status: status.get("reason") == "Serving", seconds=60, called="being handed over")

    routes = get(cluster, "httproutes", "-n", promoted.namespace, "-l", "bitshift.dev/model=chat")["items"]
    assert routes == []
    cluster.kubectl(
        "-n", promoted.namespace, "wait", "deployment/chat", "--for=jsonpath={.spec.replicas}=0", "--timeout=30s"
    )
    assert [each for each in users.seen(began) if not each.ok] == []


def test_an_object_that_is_deleted_then_leaves_its_users_with_what_serves_them(
    cluster: Cluster, users: Users, promoted: Model
):
    began, revision = time.time(), promoted.status()["currentRevision"]

    promoted.gone()

    left = get(cluster, "deployment", revision, "-n", promoted.namespace)
    assert "ownerReferences" not in left["metadata"] and left["status"]["readyReplicas"] == 1
    assert stable_answers(cluster)
    assert [each for each in users.seen(began) if not each.ok] == []
