"""A release that passes its gates and fails live: every user is back, no stream is cut, nothing is tried again."""

from e2e.cluster import Cluster
from e2e.conftest import CONSOLE
from e2e.demo import scenes
from e2e.demo.story import Story
from e2e.demo.target import get
from e2e.demo.users import Users


def test_what_only_live_traffic_can_tell_brings_everybody_back_within_seconds(cluster: Cluster, users: Users):
    before = get(cluster, "quantizedmodel", "chat", "-n", "demo")["status"]["currentRevision"]
    story = Story(cluster, CONSOLE)

    scene = scenes.comes_back(cluster, CONSOLE, story, users)

    status = scene.model["status"]
    assert status["currentRevision"] == before
    (refused,) = [each for each in status["refused"] if each["live"]]
    assert refused["rung"] == "q8-0-short" and any(character.isdigit() for character in refused["message"])
    assert scene.facts["cut_streams"] == 0
    assert scene.facts["verdict_to_last_new_request_ms"] <= 2_000
    assert [each for each in users.seen(scene.began, scene.ended) if not each.ok and each.arm != "candidate"] == []
    assert {"CandidateWorse"} <= {each.reason for each in story.moments}


def test_nothing_is_tried_again_and_nothing_of_the_bad_release_is_left(cluster: Cluster, users: Users):
    status = get(cluster, "quantizedmodel", "chat", "-n", "demo")["status"]

    assert status["phase"] == "Rejected"
    names = {each["metadata"]["name"] for each in get(cluster, "deployments", "-n", "demo")["items"]}
    assert names == {"chat", status["currentRevision"]}
