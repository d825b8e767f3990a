"""Whole rollouts, turn by turn: what users are answered by, what is left behind, what the object says."""

import json
from itertools import groupby

import pytest

from bitshift_core.evidence.report import Verdict
from bitshift_core.rollout import names
from bitshift_operator.cluster import routing
from bitshift_operator.cluster.client import Kube
from bitshift_operator.cluster.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    HTTP_ROUTE,
    POD,
    QUANTIZED_MODEL,
    SERVICE,
)
from tests.fake_api import FakeApi
from tests.play import CHAT, Play, acting_gateway
from tests.scenery import MANY_ENDPOINTS, SILENT, SPEC, TENANTS

ONE_RUNG = SPEC["ladder"][:1]
PROMOTED = {"chat-release": 100}
USERS_OWN = {"chat": 1}
AT_HOME = {"chat": 100}
NOTHING_RUNS = {
    "stable": None,
    "runtime": "llamacpp",
    "parent": {"artifact": "pvc://models/f16.gguf"},
    "traffic": {**SPEC["traffic"], "route": None, "gateway": "public", "hostname": "llm.example.com"},
}


@pytest.fixture(autouse=True)
def gateway(monkeypatch):
    monkeypatch.setattr(routing, "probe", acting_gateway)


LIVED: dict[str, Play] = {}
"""Clusters at moments that several tests begin with: each is lived up to once."""


def played(**spec):
    """Return a cluster in which somebody just applied a model."""
    return Play.of(FakeApi(), **({"ladder": ONE_RUNG} | spec))


async def played_until(moment, **spec):
    """Return a cluster at a moment: at rest, or in a step of its rollout."""
    key = json.dumps([moment, spec])
    if key not in LIVED:
        LIVED[key] = played(**spec)
        await (LIVED[key].until_quiet() if moment == "rest" else LIVED[key].until(in_step(moment)))
    return LIVED[key].fork()


def story(play):
    return [phase for phase, _ in groupby(play.phases)]


def in_step(step):
    return lambda play: any(route["metadata"]["annotations"]["bitshift.dev/step"] == step for route in play.overlay)


def refusals(play):
    return [(each["revision"], each["reason"]) for each in play.status.get("refused", [])]


def conditions(play):
    return {each["type"]: each["status"] for each in play.status["conditions"]}


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

    assert play.backends_for("acme") == play.backends_for() == PROMOTED
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


async def test_a_release_that_fails_users_is_left_at_once_and_not_tried_again():
    play = await played_until("first")
    play.broken.add("q4")
    revision = play.revision("q4")
    await play.until_quiet()

    assert story(play) == ["Planning", "Starting", "Gating", "Shifting", "RollingBack", "Rejected"]
    assert refusals(play) == [(revision, "CandidateWorse")]
    assert play.backends_for("acme") == play.backends_for() == USERS_OWN
    assert (play.overlay, play.releases, play.model["metadata"]["finalizers"]) == ([], [], [])
    assert set(play.ending()["deployments"]) == {"chat"}
    assert play.ending()["services"] == ["chat"]
    assert "kubectl bitshift retry chat" in play.status["message"]


async def test_home_is_one_route_change_before_anything_else_happens():
    play = await played_until("first")
    play.broken.add("q4")
    await play.until(lambda play: play.status["phase"] == "RollingBack")

    assert play.backends_for("acme") == play.backends_for() == AT_HOME
    assert len(play.releases) == 1


async def test_after_a_retry_the_release_is_judged_by_new_evidence():
    play = await played_until("first")
    play.broken.add("q4")
    await play.until_quiet()
    play.broken.clear()
    play.say(names.RETRY, "2027-01-15T09:00:00Z")
    await play.until_quiet()

    assert story(play)[-6:] == ["Planning", "Starting", "Gating", "Shifting", "Holding", "Serving"]
    assert play.status["currentRevision"] == play.revision("q4")


async def test_a_spec_that_changed_while_users_went_home_is_not_refused_for_its_forerunner():
    play = await played_until("first")
    play.broken.add("q4")
    await play.until(lambda play: play.status["phase"] == "RollingBack")
    play.edit(ladder=SPEC["ladder"][1:])
    await play.until_quiet()

    assert play.status["phase"] == "Serving"
    assert [each[1] for each in refusals(play)] == ["CandidateWorse"]
    assert play.status["currentRevision"] == play.revision("q8")


async def second_rollout():
    """Return a cluster in which q4 was put before the promoted q8, and failed users."""
    play = await played_until("rest", ladder=SPEC["ladder"][1:])
    assert play.status["currentRevision"] == play.revision("q8")
    play.broken.add("q4")
    play.edit(ladder=SPEC["ladder"])
    await play.until_quiet()
    return play


async def test_a_second_rollout_that_fails_brings_users_back_to_the_promoted_release():
    play = await second_rollout()

    assert story(play)[-5:] == ["Starting", "Gating", "Shifting", "RollingBack", "Rejected"]
    assert refusals(play) == [(play.revision("q4"), "CandidateWorse")]
    assert {each["name"]: each["state"] for each in play.status["rungs"]} == {"q4": "Refused", "q8": "Current"}
    assert play.backends_for("acme") == play.backends_for() == PROMOTED
    assert play.releases == [play.revision("q8")]
    assert names.relay_name("chat") not in play.ending()["deployments"]


async def test_a_retry_after_the_second_rollout_is_judged_by_new_evidence():
    play = await second_rollout()
    play.broken.clear()
    play.say(names.RETRY, "2027-01-15T09:00:00Z")
    await play.until_quiet()

    assert play.status["currentRevision"] == play.revision("q4")
    assert play.releases == [play.revision("q4")]


async def test_a_handover_after_a_refused_second_rollout_is_taken_all_the_same():
    play = await second_rollout()
    play.hand_over()
    await play.until_quiet()

    assert (play.status["phase"], play.overlay) == ("Rejected", [])
    assert refusals(play) == [(play.revision("q4"), "CandidateWorse")]


async def test_once_the_users_own_route_names_the_new_service_the_overlay_goes_and_the_old_pods_with_it():
    play = await played_until("rest", afterPromotion="ScaleToZero")
    assert play.ending()["deployments"]["chat"] == 2
    play.hand_over()
    await play.until_quiet()

    assert story(play)[-1] == "Serving" and "RollingBack" not in story(play)
    assert play.overlay == [] and play.model["metadata"]["finalizers"] == []
    assert play.backends_for("acme") == {"chat-release": 1}
    assert play.ending()["deployments"]["chat"] == 0


async def test_a_handover_taken_back_brings_the_overlay_back():
    play = await played_until("rest")
    before = play.api.get(HTTP_ROUTE, "team", "chat")
    play.hand_over()
    await play.until_quiet()
    play.api.put(before)
    await play.until_quiet()

    assert play.backends_for("acme") == play.backends_for() == PROMOTED
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


async def test_who_turns_to_judging_only_in_the_middle_has_users_brought_home():
    play = await played_until("all")
    play.edit(traffic=SPEC["traffic"] | {"mode": "None"})
    await play.until_quiet()

    assert (play.overlay, play.releases) == ([], [])
    assert play.status["reason"] == "Judged" and refusals(play) == []


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


async def test_a_model_deleted_in_the_middle_goes_after_its_users_are_home():
    play = await played_until("all")
    play.delete_model()
    assert play.model["metadata"]["deletionTimestamp"]
    await play.turn()
    assert play.backends_for("acme") == play.backends_for() == AT_HOME
    for _ in range(8):
        await play.turn()

    assert play.api.get(QUANTIZED_MODEL, *CHAT) is None
    assert play.backends_for("acme") == USERS_OWN
    assert [each["metadata"]["name"] for each in play.api.all(DEPLOYMENT)] == ["chat"]
    assert [each["metadata"]["name"] for each in play.api.all(SERVICE)] == ["chat"]


async def test_a_suspended_rollout_stays_where_it_is_and_still_leaves_what_fails():
    play = await played_until("first")
    play.edit(suspend=True)
    for _ in range(10):
        await play.turn()
    assert play.status["phase"] == "Suspended" and in_step("first")(play)

    play.broken.add("q4")
    await play.until_quiet()
    assert play.backends_for("acme") == USERS_OWN

    play.edit(suspend=False)
    play.broken.clear()
    await play.until_quiet()
    assert play.status["currentRevision"] == play.revision("q4")


async def test_a_mistake_in_the_spec_moves_nobody_and_does_not_switch_safety_off():
    play = await played_until("all")
    before = play.backends_for("acme")
    play.edit(runtime="llamacp")
    for _ in range(5):
        await play.turn()
    assert (play.status["phase"], play.status["reason"]) == ("Blocked", "RuntimeProfileNotFound")
    assert play.backends_for("acme") == before

    play.broken.add("q4")
    await play.until(lambda play: play.status["phase"] == "RollingBack")
    assert play.backends_for("acme") == {"chat": 100}
    ports = {ref["port"] for route in play.overlay for rule in route["spec"]["rules"] for ref in rule["backendRefs"]}
    assert ports == {9100}


async def test_reading_an_artifact_again_in_the_middle_moves_nobody():
    play = await played_until("first")
    play.pass_time(2_000)
    play.edit(traffic=SPEC["traffic"] | {"holdSeconds": 4})
    await play.until_quiet()

    assert "RollingBack" not in story(play)
    assert play.status["currentRevision"] == play.revision("q4")


async def test_a_candidate_that_loses_its_pods_loses_its_users():
    play = await played_until("all")
    play.api.remove(DEPLOYMENT, "team", play.revision("q4"))
    await play.turn()
    assert play.backends_for("acme") == AT_HOME
    await play.until_quiet()

    assert [reason for _, reason in refusals(play)] == ["CandidateLost"]


async def test_a_relay_that_is_gone_costs_users_nothing_but_one_turn():
    play = await played_until("all")
    play.api.remove(DEPLOYMENT, "team", "chat-relay")
    await play.turn()
    assert play.backends_for("acme") == AT_HOME
    await play.until_quiet()

    assert refusals(play) == []
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


async def test_while_the_gateway_does_otherwise_nothing_goes_on_and_on_the_way_home_nothing_is_taken_away():
    play = await played_until("first")
    before = play.overlay[0]["spec"]
    play.deaf = True
    play.api.put({**play.overlay[0], "metadata": play.overlay[0]["metadata"] | {"annotations": unverified(play)}})
    for _ in range(5):
        await play.turn()
    assert (play.overlay[0]["spec"], play.status["reason"]) == (before, "RouteNotConfirmed")

    play.broken.add("q4")
    for _ in range(10):
        await play.turn()
    assert play.status["phase"] == "RollingBack"
    assert play.backends_for("acme") == AT_HOME
    assert len(play.releases) == 1 and play.pods_behind("chat-relay-stable")

    play.deaf = False
    await play.until_quiet()
    assert (play.status["phase"], play.overlay, play.releases) == ("Rejected", [], [])


def unverified(play):
    annotations = play.overlay[0]["metadata"]["annotations"]
    return {key: value for key, value in annotations.items() if key != names.VERIFIED}


async def test_a_release_whose_pods_answer_garbage_never_reaches_a_gate():
    play = played()
    play.mute.add("q4")
    await play.until(lambda play: bool(play.releases))
    play.pass_time(120)
    await play.until_quiet()

    assert (play.status["phase"], play.status["reason"]) == ("Rejected", "NoRungPassed")
    assert "did not start within" in play.status["message"]
    assert play.releases == []


async def test_a_promoted_deployment_that_somebody_deletes_comes_back():
    play = await played_until("rest")
    play.api.remove(DEPLOYMENT, "team", play.revision("q4"))
    await play.until_quiet()

    assert len(play.pods_behind("chat-release")) == 2


async def test_the_baseline_carries_none_of_the_users_labels():
    play = played()
    await play.until(lambda play: play.api.get(POD, "team", "chat-baseline-0") is not None)

    assert "app" not in play.api.get(POD, "team", "chat-baseline-0")["metadata"]["labels"]
    assert len(play.pods_behind("chat")) == 2
