"""hf://, oci:// and s3:// on real servers: pinned, fetched once, held to digests, and refused with the way out."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import Cluster
from e2e.demo.scenes import NAMESPACE
from e2e.demo.target import OwnCluster, get
from e2e.models import model_file
from e2e.steps import Model, Status, manifest, stable_answers
from e2e.stores.conftest import AUTHORITIES, DOCKER_LOGIN, Stores, secret_name
from e2e.stores.images import INSIDE, push_image
from e2e.stores.servers import GUESSED

SCHEMES = ("hf", "oci", "s3")
NOBODY, WRONG = "without credentials", "with wrong credentials"
REFUSALS = {
    ("hf", NOBODY): ("ArtifactGated", ("is gated: accept its terms", "Name a Secret in `spec.sources.secret`", "HF_TOKEN")),
    ("hf", WRONG): ("ArtifactGated", ("the token in `spec.sources.secret` may not read it", "accept its terms")),
    ("oci", NOBODY): ("ArtifactForbidden", ("may not be read", "Name a Secret in `spec.sources.secret`", "REGISTRY_PASSWORD")),
    ("oci", WRONG): ("ArtifactForbidden", ("may not be read", "The login in `spec.sources.secret`")),
    ("s3", NOBODY): ("ArtifactForbidden", ("may not be read", "Name a Secret in `spec.sources.secret`", "AWS_SECRET_ACCESS_KEY")),
    ("s3", WRONG): ("ArtifactForbidden", ("may not be read", "The AWS_SECRET_ACCESS_KEY in `spec.sources.secret`")),
}  # fmt: skip
"""The reason, and words of the sentence."""
BY_NODES_TOO = {"configMap": AUTHORITIES, "nodesTrust": True}
STARTS_SECONDS = 180
"""Facts, a fetch of 90 MB, a start on two shared cores, an answer."""


@pytest.fixture
def model(cluster: Cluster, stores: Stores) -> Iterator[Model]:
    """A model of this test alone, which takes its pods along however the test ends."""
    made = Model(cluster, "stored")
    yield made
    made.gone()


def a_spec(address: str, secret: str = "", *, serving: dict[str, Any] | None = None, **sources: Any) -> dict[str, Any]:
    """A spec that judges only; its one rung lies in a store."""
    credentials: dict[str, Any] = {"secret": secret} if secret else {}
    return {
        "stable": {"service": "chat"},
        "serving": {"extraArgs": ["--threads", "1"]} | (serving or {}),
        "ladder": [{"name": "stored", "artifact": address}],
        "gates": manifest("works.yaml")["gates"],
        "traffic": {"mode": "None", "drainSeconds": 1},
        "sources": {"caBundle": {"configMap": AUTHORITIES}} | credentials | sources,
    }


def answering(model: Model) -> dict[str, Any]:
    """Return the rung once its pods answered a prompt; whatever refuses it before ends the wait."""
    ended = ("Gating", "Serving", "Rejected", "Blocked")
    status = model.comes_to(lambda status: status.get("phase") in ended, seconds=STARTS_SECONDS, called="answering")
    (rung,) = status["rungs"]
    assert status["phase"] in ("Gating", "Serving"), f"{status['reason']}: {status['message']}"
    found: dict[str, Any] = rung
    return found


def refused(model: Model) -> dict[str, Any]:
    """Return the rung once it is refused for good."""
    status = model.comes_to(is_refused, seconds=STARTS_SECONDS, called="refused")
    found: dict[str, Any] = status["rungs"][0]
    return found


def is_refused(status: Status) -> bool:
    return any(rung["state"] == "Refused" for rung in status.get("rungs") or [])


def release_pods(cluster: Cluster, revision: str) -> list[dict[str, Any]]:
    chosen = f"bitshift.dev/revision={revision},bitshift.dev/role=release"
    found: list[dict[str, Any]] = get(cluster, "pods", "-n", NAMESPACE, "-l", chosen)["items"]
    return found


def last_words_of_fetches(cluster: Cluster, revision: str) -> list[dict[str, str]]:
    """Return what the init containers of a release's pods ended with, those that run still left out."""
    ended = [
        container["state"]["terminated"]
        for pod in release_pods(cluster, revision)
        for container in pod["status"].get("initContainerStatuses") or []
        if "terminated" in container["state"]
    ]
    return [json.loads(each["message"]) for each in ended]


def stable(cluster: Cluster) -> dict[str, Any]:
    """Return what must stay as it is: stable's objects at their generation, its pods with their restarts, its routes."""
    wanted = ("-n", NAMESPACE, "-o", "json")
    objects = json.loads(cluster.kubectl("get", "deployment/chat", "service/chat", "httproute/chat", *wanted))["items"]
    routes = get(cluster, "httproutes", "-n", NAMESPACE)["items"]
    pods = get(cluster, "pods", "-n", NAMESPACE, "-l", "app=chat")["items"]
    return {
        "objects": {each["kind"]: each["metadata"].get("generation") for each in objects},
        "routes": sorted(each["metadata"]["name"] for each in routes),
        "pods": {
            each["metadata"]["uid"]: sum(one["restartCount"] for one in each["status"]["containerStatuses"])
            for each in pods
            if "deletionTimestamp" not in each["metadata"]
        },
    }


def sha256(file: Path) -> str:
    return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_artifact_is_pinned_fetched_held_to_its_digest_and_answers_while_stable_stays(
    cluster: Cluster, stores: Stores, model: Model, scheme: str
):
    before, put = stable(cluster), stores[scheme].put("served", model_file("Q2_K"))
    model.given(a_spec(put.address, secret_name(scheme)))

    rung = answering(model)

    assert rung["artifact"].startswith(put.pinned)
    assert [each["reason"] for each in last_words_of_fetches(cluster, rung["revision"])] == ["Fetched"]
    sealed = get(cluster, "modelrevision", rung["revision"], "-n", NAMESPACE)["spec"]
    assert (sealed["artifact"], sealed["weightsDigest"]) == (rung["artifact"], sha256(model_file("Q2_K")))
    assert stable(cluster) == before and stable_answers(cluster)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_without_credentials_or_with_wrong_ones_it_says_so_and_goes_on_with_right_ones(
    cluster: Cluster, stores: Stores, model: Model, scheme: str
):
    before, put = stable(cluster), stores[scheme].put("closed", model_file("Q2_K"))
    for who, secret in ((NOBODY, ""), (WRONG, secret_name(scheme, wrong=True))):
        model.given(a_spec(put.address, secret))

        status = model.comes_to(lambda status: status.get("phase") == "Blocked", seconds=60, called=f"Blocked {who}")

        reason, words = REFUSALS[scheme, who]
        assert status["reason"] == reason, status["message"]
        assert all(word in status["message"] for word in words), status["message"]
        assert GUESSED not in status["message"]
        assert stable(cluster) == before and stable_answers(cluster)

    model.given(a_spec(put.address, secret_name(scheme)))
    goes_on = ("Starting", "Gating", "Serving")
    model.comes_to(lambda status: status.get("phase") in goes_on, seconds=60, called="going on with right credentials")


@pytest.mark.parametrize("scheme", ["hf", "oci"])
def test_a_name_that_comes_to_mean_another_model_changes_nothing_until_it_is_read_again_and_is_told(
    cluster: Cluster, stores: Stores, model: Model, scheme: str
):
    first = stores[scheme].put("moving", model_file("Q2_K"))
    model.given(a_spec(first.address, secret_name(scheme)))
    model.comes_to(lambda status: bool(_artifact(status)), seconds=60, called="pinned")
    second = stores[scheme].put("moving", model_file("Q8_0"))

    judged = answering(model)
    cluster.kubectl("-n", NAMESPACE, "annotate", "qm", model.name, "bitshift.dev/retry=moved")
    status = model.comes_to(
        lambda status: _artifact(status).startswith(second.pinned), seconds=60, called=f"reading {second.pinned}"
    )

    assert judged["artifact"].startswith(first.pinned)
    assert status["rungs"][0]["revision"] != judged["revision"]
    versions = [put.pinned.rpartition("@")[2].removeprefix("sha256:")[:12] for put in (second, first)]
    told = f"{first.address} is now {versions[0]}; it was {versions[1]} when it was last read."
    assert told in model.condition("Fits")["message"]
    assert answering(model)["artifact"] == status["rungs"][0]["artifact"]


def test_an_object_that_is_replaced_is_not_served_in_place_of_the_one_that_was_read(
    cluster: Cluster, stores: Stores, model: Model
):
    first = stores.s3.put("moving", model_file("Q2_K"))
    too_large = {"contextTokens": 8192, "concurrentSequences": 4096}
    model.given(a_spec(first.address, secret_name("s3"), serving=too_large))
    read = model.comes_to(lambda status: status.get("phase") == "Blocked", seconds=60, called="sized")
    stores.s3.put("moving", model_file("Q8_0"))
    model.given(a_spec(first.address, secret_name("s3")))

    rung = refused(model)
    cluster.kubectl("-n", NAMESPACE, "annotate", "qm", model.name, "bitshift.dev/retry=moved")

    assert read["reason"] == "InsufficientMemory", read["message"]
    assert rung["reason"] == "ArtifactMoved", rung["message"]
    assert rung["artifact"] == _artifact(read) and "kubectl bitshift retry" in rung["message"]
    model.comes_to(
        lambda status: _artifact(status) not in ("", rung["artifact"]), seconds=60, called="reading the new object"
    )
    assert f"{first.address} is now" in model.condition("Fits")["message"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_bytes_that_are_not_those_that_the_store_promised_are_refused_when_they_are_fetched(
    cluster: Cluster, stores: Stores, model: Model, scheme: str
):
    before, put = stable(cluster), stores[scheme].put("damaged", model_file("Q4_K_M"))
    stores[scheme].damage("damaged")
    model.given(a_spec(put.address, secret_name(scheme)))

    rung = refused(model)

    assert rung["reason"] == "DigestMismatch", rung["message"]
    assert sha256(model_file("Q4_K_M")).removeprefix("sha256:")[:12] in rung["message"]
    assert stable(cluster) == before and stable_answers(cluster)


@pytest.fixture
def node_trusts(cluster: OwnCluster, stores: Stores) -> Iterator[None]:
    """The node's container runtime knows who vouches for the registry, for a while."""
    host = stores.oci.host
    folder = cluster.paths.registries / host
    folder.mkdir(parents=True)
    reached = f'server = "https://{host}"\n[host."https://{host}"]\n  ca = "{stores.oci.trust.authority}"\n'
    (folder / "hosts.toml").write_text(reached)
    yield
    shutil.rmtree(folder)


def test_a_model_in_an_image_is_mounted_where_nodes_trust_its_registry(
    cluster: Cluster, stores: Stores, model: Model, node_trusts: None
):
    put = push_image(cluster.paths, stores.oci, "served", model_file("Q2_K"))
    model.given(a_spec(put.address, DOCKER_LOGIN, caBundle=BY_NODES_TOO))

    rung = answering(model)

    (pod,) = release_pods(cluster, rung["revision"])
    assert rung["artifact"] == put.pinned
    assert "initContainers" not in pod["spec"]
    images = [volume["image"]["reference"] for volume in pod["spec"]["volumes"] if "image" in volume]
    assert images == [put.pinned.removeprefix("oci://").removesuffix(f"/{INSIDE}")]


def test_a_model_in_an_image_that_the_node_cannot_pull_is_named_with_both_ways_out(
    cluster: Cluster, stores: Stores, model: Model
):
    before, put = stable(cluster), push_image(cluster.paths, stores.oci, "untrusted", model_file("Q4_K_M"))
    model.given(a_spec(put.address, DOCKER_LOGIN, caBundle=BY_NODES_TOO))

    status = model.comes_to(
        lambda status: "cannot be pulled" in str(status), seconds=STARTS_SECONDS, called="told that it cannot be pulled"
    )

    said = json.dumps(status)
    assert put.pinned.removeprefix("oci://").removesuffix(f"/{INSIDE}") in said
    assert "certificate" in said and "`sources.secret`" in said and "`sources.cacheClaim`" in said
    assert stable(cluster) == before and stable_answers(cluster)


def test_a_model_in_an_image_is_fetched_where_nodes_do_not_trust_its_registry(
    cluster: Cluster, stores: Stores, model: Model
):
    put = push_image(cluster.paths, stores.oci, "fetched", model_file("Q2_K"))
    model.given(a_spec(put.address, DOCKER_LOGIN))

    rung = answering(model)

    assert rung["artifact"] == put.pinned and put.pinned.endswith(f"/{INSIDE}")
    assert [each["reason"] for each in last_words_of_fetches(cluster, rung["revision"])] == ["Fetched"]


def test_an_object_that_was_uploaded_in_parts_is_pinned_though_no_digest_of_it_is_known(
    cluster: Cluster, stores: Stores, model: Model
):
    put = stores.s3.put_in_parts("parts", model_file("Q2_K"))
    model.given(a_spec(put.address, secret_name("s3")))

    rung = answering(model)

    assert rung["artifact"].startswith(put.pinned)
    assert not get(cluster, "modelrevision", rung["revision"], "-n", NAMESPACE)["spec"].get("weightsDigest")


def test_pods_that_share_a_cache_fetch_a_model_once(cluster: Cluster, stores: Stores, model: Model, cache_claim: str):
    put, before = stores.hf.put("cached", model_file("Q2_K")), stores.hf.sent_bytes
    size = model_file("Q2_K").stat().st_size
    model.given(a_spec(put.address, secret_name("hf"), serving={"replicas": 2}, cacheClaim=cache_claim))

    rung = answering(model)

    assert len(last_words_of_fetches(cluster, rung["revision"])) == 2
    assert size <= stores.hf.sent_bytes - before < 1.1 * size


def _artifact(status: Status) -> str:
    rungs = status.get("rungs") or [{}]
    return str(rungs[0].get("artifact", ""))
