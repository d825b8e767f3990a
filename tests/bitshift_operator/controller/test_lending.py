"""Swaps on a full node: stable lends replicas to a release, one at a time, and has them back when it does not stay."""

import pytest

from bitshift_core.evidence.report import Verdict
from bitshift_core.rollout import names
from bitshift_operator.cluster.kinds import DEPLOYMENT, HORIZONTAL_POD_AUTOSCALER, POD, QUANTIZED_MODEL
from tests.bitshift_operator.controller.played import (
    ON_ONE_GPU,
    ONE_RUNG,
    USERS_OWN,
    all_on,
    full,
    in_step,
    is_noted,
    stable_of,
    story,
)
from tests.controllers import gpus_of, is_placed
from tests.play import CHAT
from tests.scenery import SPEC
from tests.users import label

pytestmark = pytest.mark.long


def size(play):
    return stable_of(play)["spec"]["replicas"]


def watched(play):
    """Note stable's size and what the status said of it, after every turn."""
    told = []
    return told, lambda: told.append((size(play), play.status.get("reason"), play.status.get("lent", "")))


async def test_a_release_takes_the_place_of_one_replica_and_is_promoted():
    play = full()
    await play.until_quiet()

    assert story(play) == ["Planning", "Waiting", "Starting", "Gating", "Shifting", "Holding", "Serving"]
    assert play.backends_for("acme") == all_on(play.revision("q4"))
    assert size(play) == 1


async def test_what_coming_back_would_take_is_said_before_the_first_replica_goes_and_after():
    play = full()
    told, note = watched(play)
    await play.until_quiet(each=note)
    before = [(reason, lent) for replicas, reason, lent in told if replicas == 2 and lent]
    after = [lent for replicas, _, lent in told if replicas == 1]

    assert [reason for reason, _ in before] == ["SwapAnnounced"]
    assert before[0][1] == (
        "Deployment 'chat' lends 1 of its 2 replicas, one at a time, and keeps 1; to come back it must load again, "
        "which may take 121 s."
    )
    assert after[-1].startswith("Deployment 'chat' lent 1 of its 2 replicas; to come back it must load again")


async def test_nothing_is_taken_where_nobody_asked_for_it():
    play = full(whenFull="Wait")
    await play.until_quiet()

    assert (play.status["phase"], size(play), is_noted(play)) == ("Waiting", 2, False)
    assert "1 Insufficient nvidia.com/gpu." in play.status["message"]


async def test_nothing_is_taken_where_there_is_room_beside_stable():
    play = full(gpus=4)
    await play.until_quiet()

    assert (play.status["phase"], size(play)) == ("Serving", 2)
    assert "Waiting" not in story(play)


async def test_a_refused_release_gives_back_what_it_took():
    play = full()
    play.verdicts["quality", "q4"] = Verdict.FAILED
    await play.until_quiet()

    assert (play.status["phase"], play.status["reason"]) == ("Rejected", "NoRungPassed")
    assert (size(play), is_noted(play), play.status.get("lent", "")) == (2, False, "")
    assert len(play.pods_behind("chat")) == 2
    assert names.FINALIZER not in play.model["metadata"].get("finalizers", [])


async def test_a_release_that_users_had_seen_gives_back_what_it_took():
    play = full()
    play.broken.add("q4")
    await play.until_quiet()

    assert (play.status["phase"], play.backends_for("acme")) == ("Rejected", USERS_OWN)
    assert (size(play), len(play.pods_behind("chat"))) == (2, 2)


async def test_a_release_that_is_only_judged_gives_back_what_it_took():
    play = full(traffic={"mode": "None"})
    await play.until_quiet()

    assert (play.status["phase"], play.status["reason"], size(play)) == ("Serving", "Judged", 2)


async def test_the_next_rung_takes_over_what_the_one_before_it_took():
    play = full(ladder=SPEC["ladder"])
    play.verdicts["quality", "q4"] = Verdict.FAILED
    told, note = watched(play)
    await play.until_quiet(each=note)

    assert play.status["currentRevision"] == play.revision("q8")
    assert min(replicas for replicas, *_ in told) == 1


async def test_replicas_go_one_at_a_time_and_none_before_the_place_of_the_one_before_is_taken():
    play = full(4, serving=ON_ONE_GPU | {"replicas": 2})
    seen = []

    def look(_, target):
        if target.kind is DEPLOYMENT and target.name == "chat":
            ours = [pod for pod in play.all(POD) if label(pod, names.ROLE) == "release"]
            seen.append((size(play), sum(map(is_placed, ours))))

    play.api.after = look
    await play.until_quiet()

    assert list(dict.fromkeys(seen)) == [(3, 0), (2, 1)]
    assert play.status["currentRevision"] == play.revision("q4")


async def test_the_last_replica_is_never_taken():
    play = full(1)
    await play.until_quiet()

    assert (play.status["phase"], size(play), is_noted(play)) == ("Waiting", 1, False)
    assert "never takes the last replica" in play.status["message"]
    assert len(play.pods_behind("chat")) == 1


async def test_as_many_replicas_as_stable_has_are_refused_with_a_way_out():
    play = full(2, serving=ON_ONE_GPU | {"replicas": 2})
    await play.until_quiet()

    assert (play.status["phase"], size(play)) == ("Waiting", 2)
    assert "2 of the 2 of Deployment 'chat' would have to go. Fewer `serving.replicas`" in play.status["message"]


async def test_what_an_autoscaler_owns_is_left_alone():
    play = full()
    target = {"scaleTargetRef": {"kind": "Deployment", "name": "chat"}, "minReplicas": 2, "maxReplicas": 4}
    play.api.put(HORIZONTAL_POD_AUTOSCALER.new("team", "chat", spec=target))
    await play.until_quiet()

    assert (play.status["phase"], size(play)) == ("Waiting", 2)
    assert "the autoscaler that owns its size" in play.status["message"]


async def test_the_pod_that_goes_is_the_one_that_was_chosen():
    play = full()
    await play.until(lambda play: size(play) == 1)
    going = [pod for pod in play.all(POD) if "pod-deletion-cost" in str(pod["metadata"].get("annotations"))]
    await play.until(lambda play: play.status["phase"] == "Starting")

    assert len(going) == 1
    assert play.api.get(POD, "team", going[0]["metadata"]["name"]) is None
    assert sum(gpus_of(pod) for pod in play.all(POD) if is_placed(pod)) == 2


async def test_a_size_that_somebody_else_gives_is_theirs():
    play = full(3, serving=ON_ONE_GPU | {"replicas": 2})
    await play.until(lambda play: size(play) == 2)
    play.api.put({**stable_of(play), "spec": stable_of(play)["spec"] | {"replicas": 3}})
    await play.until_quiet()

    assert (play.status["phase"], size(play)) == ("Waiting", 3)
    assert "was left with 2; somebody gave it 3 since: leave `replicas` out" in play.status["message"]


async def test_a_deleted_model_gives_back_what_it_took_before_it_goes():
    play = full()
    await play.until(lambda play: play.status.get("phase") == "Gating")
    assert size(play) == 1
    play.delete_model()
    for _ in range(4):
        await play.turn()

    assert play.api.get(QUANTIZED_MODEL, *CHAT) is None
    assert (size(play), is_noted(play)) == (2, False)


async def test_a_model_deleted_after_its_promotion_gives_stable_its_replicas_for_the_users_who_come_home():
    play = full()
    await play.until_quiet()
    play.delete_model()
    for _ in range(12):
        await play.turn()

    assert play.api.get(QUANTIZED_MODEL, *CHAT) is None
    assert size(play) == 2


async def test_a_promoted_release_keeps_its_place_when_the_next_one_is_refused():
    play = full(ladder=ONE_RUNG)
    await play.until_quiet()
    play.verdicts["quality", "q8"] = Verdict.FAILED
    play.edit(ladder=[SPEC["ladder"][1]])
    await play.until_quiet()

    assert play.backends_for("acme") == all_on(play.status["currentRevision"])
    assert size(play) == 1


async def test_the_copy_to_compare_with_makes_room_for_what_is_to_be_compared():
    play = full(2, gpus=3, ladder=SPEC["ladder"], whenFull="Wait")
    play.verdicts["quality", "q4"] = Verdict.FAILED
    await play.until_quiet()

    assert play.status["currentRevision"] == play.revision("q8")


async def test_in_the_middle_of_the_rollout_stable_is_measured_by_what_it_was_left_with():
    play = full()
    await play.until(in_step("first"))
    await play.turn()

    assert play.status["phase"] == "Shifting"
    assert play.status["reason"] != "StableTooSmall"
