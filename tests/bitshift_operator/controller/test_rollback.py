"""Rollouts that come back: users first, then everything else, and never twice for the same reason."""

from bitshift_core.rollout import names
from bitshift_operator.cluster.kinds import (
    DEPLOYMENT,
    QUANTIZED_MODEL,
    SERVICE,
)
from tests.bitshift_operator.controller.played import (
    AT_HOME,
    USERS_OWN,
    all_on,
    in_step,
    played_until,
    refusals,
    story,
)
from tests.play import CHAT
from tests.scenery import SPEC


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
    assert play.backends_for("acme") == play.backends_for() == all_on(play.status["currentRevision"])
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


async def test_who_turns_to_judging_only_in_the_middle_has_users_brought_home():
    play = await played_until("all")
    play.edit(traffic=SPEC["traffic"] | {"mode": "None"})
    await play.until_quiet()

    assert (play.overlay, play.releases) == ([], [])
    assert play.status["reason"] == "Judged" and refusals(play) == []


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
