from dataclasses import replace

import pytest

from bitshift_core.api.v1alpha1 import Refused
from bitshift_core.evidence.report import GateReport, Verdict
from bitshift_core.rollout import names, plan
from bitshift_core.rollout.observation import Gate, Pods
from bitshift_core.rollout.phases import decide
from bitshift_core.starting.deadlines import Deadlines
from bitshift_core.traffic.steps import EVERYONE, OBSERVATION
from tests.builders import (
    NOW,
    SERVING,
    STARTING,
    a_fit,
    a_release,
    a_shifting_observation,
    a_spec,
    a_stable,
    a_verdict,
    an_observation,
    an_overlay,
    gates,
    passed,
)


def kinds(decision):
    return [type(action).__name__ for action in decision.plan.actions]


def test_artifacts_are_read_before_anything_is_started():
    seen = an_observation(releases=(a_release(0, reading=True, fit=None), a_release(1)))

    decision = decide(seen)

    assert decision.phase == "Planning"
    assert decision.plan.actions == (plan.ReadFacts("pvc://models/q4.gguf"),)


def test_a_spec_that_cannot_be_followed_is_blocked_with_its_sentence_and_moves_nobody():
    decision = decide(an_observation(problem=("RouteNotFound", "There is no such route.")))

    assert (decision.phase, decision.plan.reason, decision.plan.stalled) == ("Blocked", "RouteNotFound", True)
    assert decision.plan.actions == ()


def test_when_nothing_fits_every_rung_says_what_is_missing():
    small = a_fit("DoesNotFit", "InsufficientMemory", "42 GiB are missing.")
    seen = an_observation(releases=(a_release(0, fit=small), a_release(1, fit=small)))

    decision = decide(seen)

    assert decision.phase == "Blocked"
    assert decision.plan.message == "q4: 42 GiB are missing. q8: 42 GiB are missing."


def test_the_first_rung_that_fits_is_started_beside_an_idle_baseline():
    decision = decide(an_observation())

    assert decision.phase == "Starting"
    assert kinds(decision) == ["StartRelease", "StartBaseline"]
    assert decision.plan.actions[0].release.rung.name == "q4"


def test_a_rung_that_does_not_fit_leaves_the_next_one_its_chance():
    seen = an_observation(releases=(a_release(0, fit=a_fit("DoesNotFit")), a_release(1)))

    assert decide(seen).plan.actions[0].release.rung.name == "q8"


def test_a_rung_that_fits_only_later_asks_for_room_by_a_pending_pod():
    waiting = a_release(0, fit=a_fit("Waiting", "WaitingForRoom", "2 GPUs are taken."))

    decision = decide(an_observation(releases=(waiting, a_release(1))))

    assert decision.phase == "Waiting"
    assert kinds(decision) == ["StartRelease"]


def test_a_ready_pod_is_asked_a_question_before_it_counts():
    pods = Pods(exists=True, desired=1, ready=1, answered=0, started_at=NOW - 9, stage="Answering")

    decision = decide(an_observation(releases=(a_release(0, pods=pods), a_release(1)), baseline=SERVING))

    assert decision.phase == "Starting"
    assert kinds(decision) == ["AskPods"]


def test_a_baseline_that_never_comes_up_is_not_waited_for_without_end():
    release = a_release(0, pods=SERVING)
    loading = an_observation(releases=(release,), baseline=replace(STARTING, started_at=NOW - 400))
    stuck = an_observation(releases=(release,), baseline=replace(STARTING, started_at=NOW - 500))

    assert decide(loading).phase == "Starting"
    assert decide(stuck).phase == "Gating"


def test_a_release_that_keeps_crashing_is_refused_and_never_blocks_the_next_rung():
    broken = replace(STARTING, failure=("CrashedAtStart", "Exit code 1."), fatal=True)

    decision = decide(an_observation(releases=(a_release(0, pods=broken), a_release(1))))

    (kept,) = decision.plan.actions
    assert (kept.report.gate, kept.report.verdict) == ("start", Verdict.FAILED)
    assert "Exit code 1." in kept.report.message


def test_a_stage_beyond_its_deadline_is_refused_with_its_name_and_never_blocks_the_next_rung():
    stuck = replace(STARTING, stage="Compiling", stage_since=NOW - 121)
    release = a_release(0, pods=stuck, deadlines=Deadlines(start_seconds=120))

    decision = decide(an_observation(releases=(release, a_release(1))))

    (kept,) = decision.plan.actions
    assert decision.plan.reason == kept.report.reason == "StartDeadlineExceeded"
    assert "stuck in the stage Compiling, 121 s of at most 120 s" in kept.report.message


def test_a_refusal_keeps_the_reason_by_which_the_failure_was_named():
    report = GateReport(
        gate="start", revision="r", verdict=Verdict.FAILED, message="No kernel.", reason="MissingKernel"
    )
    refused = a_release(0, gates=(Gate("start", "k", report=report, kept=True),))

    assert refused.refusal == ("MissingKernel", "No kernel.")


@pytest.mark.parametrize("verdicts", [{}, {"compatibility": Verdict.PASSED}])
def test_another_kernel_than_promised_is_refused_before_it_is_judged_any_further(verdicts):
    other = a_release(0, pods=SERVING, gates=gates(**verdicts), broken_promise="Another kernel.")
    decision = decide(an_observation(releases=(other, a_release(1)), baseline=SERVING))

    assert (decision.phase, decision.plan.reason) == ("Starting", "OtherKernel")
    assert kinds(decision) == ["KeepVerdict"]


def test_a_promoted_release_is_never_refused_for_its_kernel():
    serving = a_release(0, pods=SERVING, gates=passed(), broken_promise="Another kernel.")
    seen = an_observation(releases=(serving,), current_revision=serving.revision, current_pods=SERVING)

    assert decide(seen).phase == "Serving"


def test_a_refused_start_gives_the_next_rung_its_turn():
    refused = a_release(0, gates=gates(start=Verdict.FAILED))

    assert decide(an_observation(releases=(refused, a_release(1)))).plan.actions[0].release.rung.name == "q8"


def test_gates_are_judged_one_after_the_other():
    release = a_release(0, pods=SERVING, gates=gates(compatibility=Verdict.PASSED))

    decision = decide(an_observation(releases=(release, a_release(1)), baseline=SERVING))

    assert decision.phase == "Gating"
    assert decision.plan.actions[0].gate.name == "quality"


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.INCONCLUSIVE])
def test_a_rung_that_does_not_pass_gives_way_and_its_pods_go(verdict):
    refused = a_release(0, pods=SERVING, gates=gates(compatibility=Verdict.PASSED, quality=verdict))

    decision = decide(an_observation(releases=(refused, a_release(1)), deployed=("chat-q4-1",), baseline=SERVING))

    assert decision.phase == "Starting"
    assert plan.RemoveRelease("chat-q4-1") in decision.plan.actions


def test_when_no_rung_passed_users_stay_and_each_refusal_is_told():
    refused = gates(quality=Verdict.FAILED)
    seen = an_observation(releases=(a_release(0, gates=refused), a_release(1, gates=refused)))

    decision = decide(seen)

    assert (decision.phase, decision.plan.stalled) == ("Rejected", True)
    assert decision.plan.message == "q4: quality said so. q8: quality said so."


def test_judging_only_moves_nobody_and_ends_the_pods():
    spec = a_spec(traffic={"mode": "None"})
    release = a_release(0, pods=SERVING, gates=passed())

    decision = decide(an_observation(spec=spec, releases=(release,), deployed=("chat-q4-1",), baseline=SERVING))

    assert (decision.phase, decision.plan.reason) == ("Serving", "Judged")
    assert kinds(decision) == ["RemoveRelease", "RemoveBaseline"]


def test_the_relay_stands_before_a_route_is_made():
    decision = decide(a_shifting_observation(overlay=None, relay=Pods()))

    assert decision.phase == "Shifting"
    assert kinds(decision) == ["StartRelay"]


def test_a_route_is_born_with_matches_that_nobody_sends():
    decision = decide(a_shifting_observation(overlay=None))

    (born,) = decision.plan.actions
    assert born.born and born.assignment.step == OBSERVATION


def test_a_born_route_waits_for_the_gateway_and_then_observes_everybody_on_stable():
    waiting = decide(a_shifting_observation(overlay=an_overlay(state="born", accepted=False)))
    taken = decide(a_shifting_observation(overlay=an_overlay(state="born")))

    assert kinds(waiting) == []
    assert kinds(taken) == ["Route", "Verify"]
    assert taken.plan.actions[0].assignment.enrolled == ()


def test_no_step_is_taken_before_the_data_plane_confirmed_the_last_one():
    seen = a_shifting_observation(overlay=an_overlay("first", verified=False), verdict=a_verdict(may_advance=True))

    assert kinds(decide(seen)) == ["Verify"]


def test_a_proven_step_is_followed_by_the_next():
    decision = decide(a_shifting_observation(verdict=a_verdict(may_advance=True)))

    route, verify = decision.plan.actions
    assert route.assignment.step == "all" and route.new_step
    assert isinstance(verify, plan.Verify)


def test_the_last_step_is_followed_by_everybody():
    decision = decide(a_shifting_observation("all", verdict=a_verdict(may_advance=True)))

    assert decision.plan.actions[0].assignment.step == EVERYONE


def test_without_evidence_the_step_is_held_and_called_inconclusive_after_its_deadline():
    growing = decide(a_shifting_observation())
    late = decide(a_shifting_observation(overlay=an_overlay("first", since=NOW - 4000)))

    assert growing.plan.reason == "EvidenceGrows"
    assert late.plan.reason == "Inconclusive"
    assert kinds(late) == []


def test_no_more_is_shifted_than_stable_could_take_back():
    seen = a_shifting_observation(stable=a_stable(ready_replicas=1), verdict=a_verdict(may_advance=True))

    decision = decide(seen)

    assert decision.plan.reason == "StableTooSmall"
    assert kinds(decision) == []


def test_live_evidence_against_the_candidate_sends_everybody_home_at_once():
    seen = a_shifting_observation(verdict=a_verdict(roll_back=True, reason="CandidateWorse", message="31 of 64 failed"))

    decision = decide(seen)

    assert decision.phase == "RollingBack"
    assert decision.plan.actions == (plan.RouteHome("CandidateWorse", "31 of 64 failed."), plan.Verify())


@pytest.mark.parametrize("suspended", [True, False])
def test_a_candidate_without_ready_pods_is_left_at_once_even_when_suspended(suspended):
    spec = a_spec(suspend=suspended)
    lost = replace(SERVING, ready=0, answered=0)

    decision = decide(a_shifting_observation(spec=spec, overlay=an_overlay("first", pods=lost)))

    assert (decision.phase, decision.plan.reason) == ("RollingBack", "CandidateLost")


def test_a_person_may_roll_back_the_release_they_name_and_no_other():
    asked = a_shifting_observation(annotations={names.ROLLBACK: "chat-q4-1"})
    other = a_shifting_observation(annotations={names.ROLLBACK: "chat-q8-1"})

    assert decide(asked).plan.reason == "RolledBackByUser"
    assert decide(other).phase == "Shifting"


def test_a_typo_in_the_spec_never_moves_users():
    seen = a_shifting_observation(problem=("RuntimeProfileNotFound", "No such profile."), releases=())

    assert decide(seen).phase == "Blocked"


def test_another_wanted_release_brings_users_home_first():
    seen = a_shifting_observation(overlay=an_overlay("first", revision="chat-q4-0"))

    assert decide(seen).plan.reason == "SpecChanged"


TOLD = {"reason": "CandidateWorse", "message": "31 of 64 failed."}


def home(**changes):
    return a_shifting_observation(
        overlay=an_overlay("first", state="home", **(TOLD | changes.pop("overlay", {}))), **changes
    )


REFUSED = Refused(
    revision="chat-q4-1", rung="q4", reason="CandidateWorse", message="31 of 64 failed.", live=True, generation=1
)


def recorded(seen):
    return replace(seen, status=seen.status.model_copy(update={"refused": (REFUSED,)}))


def test_home_is_confirmed_before_anything_is_taken_away():
    assert kinds(decide(home(overlay={"verified": False}))) == ["Verify"]


def test_routes_stay_until_their_verdict_is_in_the_status():
    decision = decide(home())

    assert decision.phase == "RollingBack"
    assert kinds(decision) == []


def test_streams_through_the_relay_end_before_the_routes_go():
    streaming = recorded(home(relay_in_flight={"candidate": 1}))
    quiet = recorded(home())

    assert kinds(decide(streaming)) == []
    assert kinds(decide(quiet)) == ["Neutralise"]


def test_routes_match_nothing_before_they_are_deleted():
    seen = recorded(home())
    neutral = replace(seen, overlay=an_overlay("first", state="neutral", **TOLD))

    assert kinds(decide(neutral)) == ["RemoveOverlay"]


def test_after_a_live_rollback_nothing_is_tried_again_until_the_spec_changes_or_a_person_says_retry():
    gone = recorded(a_shifting_observation(overlay=None))

    refused = decide(gone)
    changed = decide(replace(gone, generation=2))
    retried = decide(replace(gone, annotations={names.RETRY: "2027-01-15T08:00:00Z"}))

    assert refused.phase == "Rejected"
    assert kinds(refused) == ["RemoveRelease", "RemoveRelay"]
    assert changed.phase == retried.phase == "Shifting"


def test_everybody_on_the_candidate_is_held_before_it_is_promoted():
    holding = decide(a_shifting_observation(EVERYONE))
    over = decide(a_shifting_observation(overlay=an_overlay(EVERYONE, since=NOW - 200)))

    assert holding.phase == "Holding" and kinds(holding) == []
    assert kinds(over) == ["ServeAs", "RouteResting", "Verify"]


def test_after_promotion_the_overlay_rests_until_the_user_hands_over():
    resting = an_overlay(EVERYONE, resting="chat-q4-1")
    promoted = {"current_revision": "chat-q4-1", "current_pods": SERVING}
    seen = a_shifting_observation(overlay=resting, **promoted, handover=("name: chat-release",))

    decision = decide(seen)

    assert (decision.phase, decision.plan.reason) == ("Serving", "AwaitingHandover")
    assert "chat-release" in decision.plan.message
    assert kinds(decision) == ["RemoveRelay"]


def test_the_old_deployment_is_freed_only_after_the_handover_and_only_if_asked():
    spec = a_spec(afterPromotion="ScaleToZero")
    settled = {"overlay": None, "relay": Pods(), "current_revision": "chat-q4-1", "current_pods": SERVING, "spec": spec}
    waiting = a_shifting_observation(**(settled | {"overlay": an_overlay(EVERYONE, resting="chat-q4-1")}))
    handed_over = a_shifting_observation(**settled, handed_over=True)

    assert "ScaleStableToZero" not in kinds(decide(waiting))
    assert kinds(decide(handed_over)) == ["ScaleStableToZero"]


def test_a_deleted_object_brings_traffic_home_before_it_goes():
    live = decide(a_shifting_observation(deleting=True))
    gone = decide(a_shifting_observation(deleting=True, overlay=None, has_finalizer=True))

    assert kinds(live) == ["RouteHome", "Verify"]
    assert kinds(gone) == ["DropFinalizer"]


def test_the_first_release_of_all_serves_after_its_gates_without_moving_anybody():
    spec = a_spec(stable=None, parent={"artifact": "pvc://models/f16.gguf"}, traffic={"gateway": "gw", "hostname": "h"})
    release = a_release(0, pods=SERVING, gates=passed())

    decision = decide(an_observation(spec=spec, stable=None, releases=(release,), baseline=SERVING))

    assert decision.phase == "Serving"
    assert kinds(decision) == ["ServeAs"]


@pytest.mark.parametrize(
    ("route", "reason", "actions"),
    [
        ({}, "AwaitingRoute", ["MakeRoute"]),
        ({"own_route_exists": True}, "AwaitingRoute", []),
        ({"own_route_exists": True, "own_route_accepted": True}, "Serving", []),
    ],
    ids=["missing", "made", "accepted"],
)
def test_the_first_release_is_said_to_serve_once_the_gateway_took_its_route(route, reason, actions):
    spec = a_spec(stable=None, parent={"artifact": "pvc://models/f16.gguf"}, traffic={"gateway": "gw", "hostname": "h"})
    release = a_release(0, pods=SERVING, gates=passed())
    served = {"current_revision": release.revision, "current_pods": SERVING}

    decision = decide(an_observation(spec=spec, stable=None, releases=(release,), **served, **route))

    assert (decision.phase, decision.plan.reason, kinds(decision)) == ("Serving", reason, actions)


def test_a_suspended_rollout_keeps_counting():
    decision = decide(a_shifting_observation(spec=a_spec(suspend=True), live_changed=True))

    assert decision.phase == "Suspended"
    assert kinds(decision) == ["SaveEvidence"]
