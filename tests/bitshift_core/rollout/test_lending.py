from dataclasses import replace

import pytest

from bitshift_core.evidence.report import Verdict
from bitshift_core.fit.swap import Room
from bitshift_core.rollout.lending import ANNOUNCED, said
from bitshift_core.rollout.loans import Lent, Loan
from bitshift_core.rollout.phases import decide
from bitshift_core.rollout.plan import GiveBack, HoldObject, RemoveBaseline, TakeReplica
from bitshift_core.rollout.status import report
from bitshift_core.starting.deadlines import Deadlines
from tests.builders import SERVING, STARTING, a_fit, a_release, a_spec, a_stable, an_observation, gates, passed

SERIAL = Room("Serial", "There is room in place of stable.", swaps=1, reload_seconds=340, first="chat-0")
PENDING = replace(STARTING, unschedulable="0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
STABLE = a_stable(owner=("Deployment", "chat"), ready_replicas=4, replicas=4)
FULL = replace(a_fit("Waiting", "NoFreeGpu", "1 GPU is missing."), room=SERIAL)
LOAN = Loan(model="chat", before=4, after=3, reload_seconds=340)


def waiting(*, room=SERIAL, pods=PENDING, announced=True, **seen):
    """A release whose pods wait for GPUs that stable holds, and a user who allowed a swap."""
    release = a_release(0, pods=pods, fit=replace(FULL, room=room))
    known = {"releases": (release, a_release(1)), "stable": STABLE, "spec": a_spec(whenFull="Serial")}
    found = an_observation(**(known | seen))
    return replace(found, status=found.status.model_copy(update={"reason": ANNOUNCED if announced else ""}))


def taken(decision):
    return [action for action in decision.plan.actions if isinstance(action, TakeReplica)]


def test_the_bound_on_coming_back_stands_in_the_status_before_a_replica_goes():
    seen = waiting(announced=False)
    decision = decide(seen)

    assert (decision.phase, decision.plan.reason, taken(decision)) == ("Waiting", "SwapAnnounced", [])
    assert report(seen, decision).lent == (
        "Deployment 'chat' lends 1 of its 4 replicas, one at a time, and keeps 3; to come back it must load again, "
        "which may take 340 s."
    )


def test_then_one_replica_goes_and_the_object_waits_for_us_when_it_is_deleted():
    decision = decide(waiting())

    assert decision.plan.reason == "SwappingStable"
    assert decision.plan.actions == (HoldObject(), TakeReplica("chat", "chat-0", LOAN))


def test_the_note_says_what_there_was_before_the_first_of_several():
    stable = replace(STABLE, ready_replicas=3, replicas=3)
    decision = decide(waiting(stable=stable, lent=(Lent("chat", 3, LOAN),)))

    assert [action.loan for action in taken(decision)] == [LOAN.model_copy(update={"after": 2})]
    assert decision.plan.message.startswith("Deployment 'chat' lends 2 of its 4 replicas, one at a time, and keeps 2;")


UNFINISHED = {
    "a pod of stable that still ends": ({"stable": replace(STABLE, leaving=1)}, "ends its last requests"),
    "a pod that is still there": ({"stable": replace(STABLE, ready_replicas=5)}, "5 pods of 'chat' are ready, and 4"),
    "stable that is not whole": ({"stable": replace(STABLE, ready_replicas=3)}, "3 pods of 'chat' are ready, and 4"),
    "a pod of the rung before": ({"standing": frozenset({"chat-q2-1", "chat-q4-1"})}, "A pod of chat-q2-1 ends"),
    "room that is free": ({"room": replace(SERIAL, placeable=True)}, "the scheduler has yet to see it"),
    "a pod in the room of the one before": ({"pods": replace(PENDING, placed=1, ready=0)}, "0 of 1 pods of chat-q4-1"),
}


@pytest.mark.parametrize("name", UNFINISHED)
def test_no_replica_goes_before_the_one_before_is_replaced(name):
    known, words = UNFINISHED[name]
    for lent, reason in (((), "WaitingForRoom"), ((Lent("chat", 3, LOAN),), "SwappingStable")):
        decision = decide(waiting(lent=lent, **known))

        assert (decision.plan.reason, taken(decision)) == (reason, [])
        assert words in decision.plan.message


def test_a_replica_that_still_ends_is_not_taken_for_one_too_few():
    """Its GPU is held as long as it is there: by that alone one more would have to go."""
    stable = replace(STABLE, replicas=1, ready_replicas=1, leaving=1)
    loan = LOAN.model_copy(update={"before": 2, "after": 1})
    decision = decide(waiting(stable=stable, lent=(Lent("chat", 1, loan),)))

    assert decision.plan.message == (
        "A replica of 'chat' ends its last requests. Deployment 'chat' lent 1 of its 2 replicas; to come back it must "
        "load again, which may take 340 s."
    )


LEFT_ALONE = {
    "made by something else": ({"stable": replace(STABLE, owner=("StatefulSet", "chat"))}, "made by StatefulSet"),
    "an autoscaler's": ({"stable": replace(STABLE, autoscaled=True)}, "the autoscaler that owns its size"),
    "given back by somebody": ({"lent": (Lent("chat", 4, LOAN),)}, "was left with 3; somebody gave it 4 since"),
    "needed to the last": ({"room": replace(SERIAL, swaps=4)}, "4 of the 4 of Deployment 'chat' would have to go"),
}


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_a_stable_that_cannot_be_swapped_is_left_alone_and_it_is_said_why(name):
    known, words = LEFT_ALONE[name]
    decision = decide(waiting(**known))

    assert (decision.plan.reason, decision.plan.actions) == ("WaitingForRoom", ())
    assert words in decision.plan.message
    assert "1 GPU is missing." in decision.plan.message


@pytest.mark.parametrize("known", [{"spec": a_spec()}, {"room": Room("Wait")}, {"stable": None}])
def test_without_a_swap_the_pod_waits(known):
    decision = decide(waiting(**known))

    assert (decision.plan.reason, taken(decision)) == ("WaitingForRoom", [])
    assert "Insufficient nvidia.com/gpu" in decision.plan.message


def test_the_copy_to_compare_with_goes_before_anything_of_stable():
    decision = decide(waiting(baseline=STARTING))

    assert decision.plan.actions == (RemoveBaseline(),)


def test_a_pod_that_crashes_in_the_room_it_was_given_is_refused_while_others_wait():
    pods = replace(PENDING, placed=1, fatal=True, failure=("OutOfMemory", "It ran out of memory."))
    release = replace(waiting().releases[0], pods=pods, deadlines=Deadlines())
    decision = decide(waiting(releases=(release, a_release(1))))

    assert (decision.phase, decision.plan.reason) == ("Starting", "OutOfMemory")


def test_what_is_lent_stays_lent_while_a_release_is_judged_and_while_it_serves():
    lent = (Lent("chat", 3, LOAN),)
    judged = waiting(pods=SERVING, lent=lent, baseline=SERVING)
    serving = waiting(pods=SERVING, lent=lent, current_revision="chat-q4-1", current_pods=SERVING)

    assert GiveBack("chat") not in (*decide(judged).plan.actions, *decide(serving).plan.actions)


def test_what_is_lent_goes_back_when_no_rung_is_left():
    refused = tuple(a_release(rung, gates=gates(quality=Verdict.FAILED)) for rung in (0, 1))
    decision = decide(waiting(releases=refused, lent=(Lent("chat", 3, LOAN),), has_finalizer=True))

    assert decision.phase == "Rejected"
    assert decision.plan.actions == (GiveBack("chat"),)  # the object is held until that is seen


def test_a_deleted_model_gives_everything_back_before_the_object_goes():
    decision = decide(waiting(deleting=True, lent=(Lent("chat", 3, LOAN),), has_finalizer=True))

    assert [type(action).__name__ for action in decision.plan.actions] == ["GiveBack", "DropFinalizer"]


def test_where_the_users_route_leads_to_the_release_the_old_deployment_stays_as_it_is():
    seen = waiting(
        deleting=True,
        lent=(Lent("chat", 3, LOAN), Lent("chat-q4-1", 1, LOAN.model_copy(update={"after": 1}))),
        has_finalizer=True,
        users_lead_here=True,
        current_revision="chat-q4-1",
    )

    assert [action.deployment for action in decide(seen).plan.actions if isinstance(action, GiveBack)] == ["chat-q4-1"]


def test_the_status_tells_of_a_loan_as_long_as_it_is_one():
    assert said(waiting(lent=(Lent("chat", 3, LOAN),))) == (
        "Deployment 'chat' lent 1 of its 4 replicas; to come back it must load again, which may take 340 s."
    )
    assert said(waiting(lent=(Lent("chat", 0, LOAN),))) == ""


def test_a_release_that_passed_is_rolled_out_on_what_stable_was_left_with():
    release = a_release(0, pods=SERVING, gates=passed(), fit=a_fit())
    decision = decide(waiting(releases=(release,), lent=(Lent("chat", 3, LOAN),)))

    assert decision.phase == "Shifting"
