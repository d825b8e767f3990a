"""A rollout that works: sized, judged, moved tenant by tenant, promoted; no user notices."""

from e2e.cluster import Cluster
from e2e.conftest import CONSOLE
from e2e.demo import scenes
from e2e.demo.story import Story
from e2e.demo.target import get
from e2e.demo.users import Users
from e2e.steps import Model


def test_a_bad_rung_is_refused_with_numbers_and_a_good_one_is_promoted_without_a_failed_request(
    cluster: Cluster, users: Users
):
    story = Story(cluster, CONSOLE)
    stable_before = get(cluster, "deployment", "chat", "-n", "demo")

    scene = scenes.works(cluster, CONSOLE, story)

    rungs = {rung["name"]: rung for rung in scene.model["status"]["rungs"]}
    assert (rungs["q2-k"]["state"], rungs["q2-k"]["reason"]) == ("Refused", "QualityFailed")
    assert any(character.isdigit() for character in rungs["q2-k"]["message"])
    assert rungs["q8-0"]["state"] == "Current"
    assert [gate["verdict"] for gate in rungs["q8-0"]["gates"]] == ["Passed", "Passed", "Passed"]
    assert sum(item["bytes"] for item in rungs["q8-0"]["sizing"]) >= rungs["q8-0"]["neededBytes"] * 0.9
    seen = users.seen(scene.began, scene.ended)
    assert [each for each in seen if not each.ok] == []
    assert {each.tenant for each in seen if each.arm == "candidate"} >= {"acme", "wayne", ""}
    assert {"Starting", "Gating", "Shifting", "Holding", "Serving"} <= {each.phase for each in story.moments}
    assert (
        get(cluster, "deployment", "chat", "-n", "demo")["metadata"]["generation"]
        == stable_before["metadata"]["generation"]
    )


def test_after_promotion_nothing_of_ours_is_in_the_path_and_the_handover_is_told(cluster: Cluster, users: Users):
    status = Model(cluster, "chat").comes_to(
        lambda status: status.get("reason") == "AwaitingHandover", seconds=60, called="the handover"
    )

    assert "chat-release" in status["handover"]
    names = {each["metadata"]["name"] for each in get(cluster, "deployments", "-n", "demo")["items"]}
    assert names == {"chat", status["currentRevision"]}
    assert get(cluster, "modelrevision", status["currentRevision"], "-n", "demo")["spec"]["scheme"] == "Q8_0"


def test_a_sealed_revision_cannot_be_changed(cluster: Cluster, users: Users):
    status = get(cluster, "quantizedmodel", "chat", "-n", "demo")["status"]
    patch = '{"spec":{"contextTokens":1}}'

    try:
        cluster.kubectl("-n", "demo", "patch", "modelrevision", status["currentRevision"], "--type=merge", "-p", patch)
    except Exception as error:
        assert "must not change" in str(error)
    else:
        raise AssertionError("the API server took a change of a sealed ModelRevision")
