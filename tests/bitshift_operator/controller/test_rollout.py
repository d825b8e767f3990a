"""Rollouts that go forward: what users are answered by, what is left behind, what the object says."""

from itertools import groupby

import pytest

from bitshift_core.evidence.report import Verdict
from bitshift_core.rollout import names
from bitshift_operator.cluster.client import Kube
from bitshift_operator.cluster.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    HTTP_ROUTE,
    POD,
    QUANTIZED_MODEL,
    SERVICE,
)
from tests.bitshift_operator.controller.played import (
    NOTHING_RUNS,
    ONE_RUNG,
    USERS_OWN,
    all_on,
    conditions,
    in_step,
    played,
    played_until,
    story,
)
from tests.fake_api import FakeApi
from tests.play import CHAT, Play
from tests.scenery import MANY_ENDPOINTS, SILENT, SPEC, TENANTS


async def test_the_second_rung_is_promoted_after_its_answers_held_where_the_first_ones_did_not():
    play = played(ladder=SPEC["ladder"])
    play.verdicts["quality", "q4"] = Verdict.FAILED
    await play.until_quiet()

    assert story(play) == ["Planning", "Starting", "Gating", "Starting", "Gating", "Shifting", "Holding", "Serving"]
    assert play.status["currentRevision"] == play.revision("q8")
    assert {each["name"]: each["state"] for each in play.status["rungs"]} == {"q4": "Refused", "q8": "Current"}
    assert conditions(play) == {
        "Ready": "True", "Accepted": "True", "Fits": "True", "GatesPassed": "True", "Promoted": "True",
    }  # fmt: skip


async def test_a_promotion_leaves_users_on_the_new_pods_directly_and_nothing_else_of_ours_running():
    play = await played_until("rest")

    assert play.backends_for("acme") == play.backends_for() == all_on(play.status["currentRevision"])
    assert {pod["metadata"]["labels"][names.REVISION] for pod in play.pods_behind("chat-release")} == {
        play.revision("q4")
    }
    assert set(play.ending()["deployments"]) == {"chat", play.revision("q4")}
    assert play.ending()["services"] == sorted(["chat", "chat-release", play.revision("q4")])
    assert play.ending()["deployments"]["chat"] == 2
    assert "chat-release" in play.status["handover"]


async def test_verdicts_outlive_their_jobs_so_that_no_rung_is_judged_twice():
    play = played(ladder=SPEC["ladder"])
    play.verdicts["quality", "q4"] = Verdict.FAILED
    await play.until_quiet()

    kept = play.api.get(CONFIG_MAP, "team", "chat-verdicts")
    assert sorted(key.rpartition("-")[0] for key in kept["data"]) == [
        "compatibility", "compatibility", "load", "quality", "quality",
    ]  # fmt: skip


@pytest.mark.long
async def test_over_the_wire_it_ends_as_it_does_without_one(api: FakeApi, kube: Kube):
    wired = Play.of(api, kube, ladder=ONE_RUNG)
    await wired.until_quiet()

    assert wired.ending() == (await played_until("rest")).ending()


async def test_caches_that_lag_behind_cost_time_and_nothing_else():
    late = played()
    late.lag_turns = 2
    await late.until_quiet()

    assert late.ending() == (await played_until("rest")).ending()


async def test_a_settled_model_is_left_alone():
    play = await played_until("rest")
    version = play.api.version
    await play.turn()

    assert play.api.version == version


async def test_once_the_users_own_route_names_the_new_service_the_overlay_goes_and_the_old_pods_with_it():
    play = await played_until("rest", afterPromotion="ScaleToZero")
    assert play.ending()["deployments"]["chat"] == 2
    play.hand_over()
    await play.until_quiet()

    assert story(play)[-1] == "Serving" and "RollingBack" not in story(play)
    assert play.overlay == [] and play.model["metadata"]["finalizers"] == [names.FINALIZER]
    assert play.backends_for("acme") == {"chat-release": 1}
    assert play.ending()["deployments"]["chat"] == 0


async def deleted(play):
    play.delete_model()
    for _ in range(4):
        await play.turn()


async def test_a_model_deleted_after_the_handover_leaves_behind_what_serves_its_users():
    play = await played_until("rest")
    revision = play.status["currentRevision"]
    play.hand_over()
    await play.until_quiet()
    await deleted(play)

    assert play.api.get(QUANTIZED_MODEL, *CHAT) is None
    assert play.backends_for("acme") == {"chat-release": 1} and len(play.pods_behind("chat-release")) == 2
    left = [play.api.get(kind, "team", name) for kind, name in (
        (DEPLOYMENT, revision), (SERVICE, revision), (SERVICE, "chat-release"))]  # fmt: skip
    assert [each["metadata"].get("ownerReferences") for each in left] == [[], [], []]


async def test_an_object_that_is_created_again_takes_up_the_release_that_was_left_behind():
    play = await played_until("rest")
    play.hand_over()
    await play.until_quiet()
    before, pods = play.model, play.pods_behind("chat-release")
    await deleted(play)
    play.api.put(
        {**before, "metadata": {"name": "chat", "namespace": "team", "uid": "u-2", "generation": 1}, "status": {}}
    )
    await play.until_quiet()

    assert (play.status["phase"], play.status["currentRevision"]) == ("Serving", before["status"]["currentRevision"])
    assert [each["metadata"]["uid"] for each in play.pods_behind("chat-release")] == [
        each["metadata"]["uid"] for each in pods
    ]
    await deleted(play)
    assert len(play.pods_behind("chat-release")) == 2


async def test_a_release_that_is_started_anew_for_an_object_created_again_is_left_behind_too():
    play = await played_until("rest")
    play.hand_over()
    await play.until_quiet()
    before = play.model
    await deleted(play)
    play.api.remove(DEPLOYMENT, "team", before["status"]["currentRevision"])
    play.api.put({**before, "metadata": {"name": "chat", "namespace": "team", "uid": "u-2", "generation": 1}})
    await play.until_quiet()
    assert play.model["metadata"]["finalizers"] == [names.FINALIZER]

    await deleted(play)
    assert play.backends_for("acme") == {"chat-release": 1} and len(play.pods_behind("chat-release")) == 2


async def test_a_handover_holds_the_object_even_when_an_operator_before_had_let_go_of_it():
    play = await played_until("rest")
    play.api.put({**play.model, "metadata": {**play.model["metadata"], "finalizers": []}})
    play.hand_over()
    await play.until_quiet()
    assert play.model["metadata"]["finalizers"] == [names.FINALIZER]

    await deleted(play)
    assert play.backends_for("acme") == {"chat-release": 1} and len(play.pods_behind("chat-release")) == 2


async def test_users_of_a_handed_over_release_come_back_to_it_when_the_model_is_deleted_in_a_second_rollout():
    play = await played_until("rest", ladder=SPEC["ladder"][1:])
    play.hand_over()
    await play.until_quiet()
    play.edit(ladder=SPEC["ladder"])
    await play.until(in_step("all"))
    play.delete_model()
    await play.turn()

    assert play.backends_for("acme") == {"chat-release": 100}
    for _ in range(10):
        await play.turn()
    assert play.api.get(QUANTIZED_MODEL, *CHAT) is None
    assert play.backends_for("acme") == {"chat-release": 1} and len(play.pods_behind("chat-release")) == 2


async def test_a_handover_taken_back_brings_the_overlay_back():
    play = await played_until("rest")
    before = play.api.get(HTTP_ROUTE, "team", "chat")
    play.hand_over()
    await play.until_quiet()
    play.api.put(before)
    await play.until_quiet()

    assert play.backends_for("acme") == play.backends_for() == all_on(play.status["currentRevision"])
    assert play.model["metadata"]["finalizers"] == [names.FINALIZER]


async def test_old_pods_stay_while_any_route_leads_to_them():
    play = played(afterPromotion="ScaleToZero")
    other = play.api.get(HTTP_ROUTE, "team", "chat")
    other["metadata"] = {"name": "batch", "namespace": "team"}
    play.api.put({**other, "spec": other["spec"] | {"hostnames": ["batch.example.com"]}})
    await play.until_quiet()
    play.hand_over()
    await play.until_quiet()

    assert play.ending()["deployments"]["chat"] == 2


async def test_judging_only_moves_nobody_and_leaves_no_pods():
    play = await played_until("rest", traffic={"mode": "None"})

    assert (play.status["phase"], play.status["reason"]) == ("Serving", "Judged")
    assert play.backends_for("acme") == USERS_OWN
    assert set(play.ending()["deployments"]) == {"chat"}


async def test_the_first_release_of_all_gets_a_route_of_its_own():
    play = await played_until("rest", **NOTHING_RUNS)
    assert play.status["currentRevision"] == play.revision("q4")
    assert play.backends_for("acme") == {"chat-release": 1}
    play.api.remove(HTTP_ROUTE, "team", "chat-route")
    await play.until_quiet()

    assert play.backends_for("acme") == {"chat-release": 1}
    assert set(play.ending()["deployments"]) == {play.revision("q4")}


async def test_a_release_after_the_first_one_moves_users_of_the_route_that_we_made():
    play = await played_until("rest", **NOTHING_RUNS)
    play.edit(ladder=SPEC["ladder"][1:])
    await play.until_quiet()

    assert "Shifting" in story(play)
    assert play.status["currentRevision"] == play.revision("q8")
    assert play.releases == [play.revision("q8")]
    assert play.overlay == []


async def test_reading_an_artifact_again_in_the_middle_moves_nobody():
    play = await played_until("first")
    play.pass_time(2_000)
    play.edit(traffic=SPEC["traffic"] | {"holdSeconds": 4})
    await play.until_quiet()

    assert "RollingBack" not in story(play)
    assert play.status["currentRevision"] == play.revision("q4")


async def test_tenants_who_come_to_be_known_get_rules_of_their_own_and_nobody_goes_back_a_step():
    play = await played_until("first", endpoints=MANY_ENDPOINTS)
    assert len(play.overlay) == 1
    play.tenants = (*TENANTS, *SILENT)
    steps = []
    while play.status["phase"] == "Shifting":
        await play.turn()
        steps.append(play.overlay[0]["metadata"]["annotations"]["bitshift.dev/step"])

    assert [step for step, _ in groupby(steps)] == ["first", "all", "Everyone"]
    assert len(play.overlay) == 2
    assert all(any(tenant in answer for answer in play.answers) for tenant in SILENT)


@pytest.mark.long
async def test_a_release_whose_pods_answer_garbage_never_reaches_a_gate():
    play = played()
    play.mute.add("q4")
    await play.until(lambda play: bool(play.releases))
    play.pass_time(120)
    await play.until_quiet()

    assert (play.status["phase"], play.status["reason"]) == ("Rejected", "NoRungPassed")
    assert "stuck in the stage Answering" in play.status["message"]
    assert play.releases == []


async def test_a_promoted_deployment_that_somebody_deletes_comes_back():
    play = await played_until("rest")
    play.api.remove(DEPLOYMENT, "team", play.revision("q4"))
    await play.until_quiet()

    assert len(play.pods_behind("chat-release")) == 2


async def test_a_promoted_release_gets_as_many_pods_as_the_spec_says_by_now():
    play = await played_until("rest")
    play.edit(serving=SPEC.get("serving", {}) | {"replicas": 3})
    await play.until_quiet()

    assert len(play.pods_behind("chat-release")) == 3


async def test_the_baseline_carries_none_of_the_users_labels():
    play = played()
    await play.until(lambda play: play.api.get(POD, "team", "chat-baseline-0") is not None)

    assert "app" not in play.api.get(POD, "team", "chat-baseline-0")["metadata"]["labels"]
    assert len(play.pods_behind("chat")) == 2
