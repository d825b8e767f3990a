from dataclasses import replace

import pytest

from bitshift_core.api.v1alpha1 import QuantizedModelStatus, Refused
from bitshift_core.evidence.report import Verdict
from bitshift_core.rollout.observation import Pods
from bitshift_core.rollout.phases import decide
from bitshift_core.rollout.seeing import see
from bitshift_core.rollout.status import LONGEST_MESSAGE, report
from bitshift_core.starting.promises import Kept
from bitshift_core.starting.reading import Progress
from bitshift_core.traffic.steps import EVERYONE, OBSERVATION
from tests.bitshift_core.rollout.snapshots import URIS, a_snapshot, read
from tests.builders import (
    NOW,
    SERVING,
    STARTING,
    a_fit,
    a_release,
    a_shifting_observation,
    a_spec,
    a_verdict,
    an_observation,
    an_overlay,
    gates,
    passed,
)

PROMOTED = {
    "overlay": an_overlay(EVERYONE, resting="chat-q4-1"),
    "relay": Pods(),
    "current_revision": "chat-q4-1",
    "current_pods": SERVING,
    "handover": ("spec.rules[0].backendRefs[0].name: chat-release",),
}
REFUSED = Refused(revision="chat-q4-1", rung="q4", reason="CandidateWorse", message="It failed.", live=True)


def told(seen):
    return report(seen, decide(seen))


def conditions(seen):
    return {each.type: (each.status, each.reason) for each in told(seen).conditions}


def states(seen):
    return {each.name: each.state for each in told(seen).rungs}


@pytest.mark.parametrize(
    "seen",
    [
        a_shifting_observation(**PROMOTED),
        an_observation(problem=("RouteNotFound", "There is no such route.")),
        an_observation(releases=(a_release(0, fit=a_fit("DoesNotFit")),)),
        an_observation(spec=a_spec(traffic={"mode": "None"}), releases=(a_release(0, gates=passed()),)),
    ],
)
def test_a_settled_model_is_told_the_same_an_hour_later(seen):
    first = told(seen)
    later = replace(seen, now=NOW + 3600, status=first)

    assert told(later) == first


def test_a_condition_keeps_its_time_until_its_status_changes():
    first = told(an_observation())
    later = told(replace(an_observation(), now=NOW + 60, status=first, problem=("RouteNotFound", "Gone.")))
    times = {each.type: each.last_transition_time for each in first.conditions}

    assert {each.type for each in later.conditions if times.get(each.type) != each.last_transition_time} == {
        "Accepted", "Stalled",
    }  # fmt: skip


def test_ready_comes_first_and_tells_whether_users_are_served_by_whichever_release():
    nobody = a_shifting_observation(**PROMOTED | {"current_pods": Pods(exists=True, desired=1)})

    assert told(an_observation()).conditions[0].type == "Ready"
    assert conditions(an_observation())["Ready"][0] == "True"
    assert conditions(nobody)["Ready"][0] == "False"


def test_stalled_is_said_only_when_the_user_can_help():
    stuck = an_observation(problem=("RouteNotFound", "There is no such route."))

    assert conditions(stuck)["Stalled"] == ("True", "RouteNotFound")
    assert conditions(stuck)["Accepted"] == ("False", "RouteNotFound")
    assert "Stalled" not in conditions(an_observation())
    assert "Reconciling" in conditions(an_observation())


def test_what_is_not_known_yet_is_unknown():
    reading = an_observation(releases=(a_release(0, reading=True, fit=None, gates=()),))

    assert conditions(reading)["Fits"] == ("Unknown", "NotSized")
    assert conditions(reading)["GatesPassed"] == ("Unknown", "NotJudged")
    assert states(reading) == {"q4": "Unknown"}


def test_every_rung_has_its_state_and_a_refused_one_its_sentence():
    refused = a_release(0, gates=gates(quality=Verdict.FAILED))
    seen = an_observation(releases=(refused, a_release(1, pods=SERVING, gates=gates(compatibility=Verdict.PASSED))))

    assert states(seen) == {"q4": "Refused", "q8": "Gating"}
    assert told(seen).rungs[0].message == "quality said so."
    assert told(seen).gates == "1/3"


def test_the_canary_is_said_in_tenants():
    assert told(a_shifting_observation(OBSERVATION)).canary == "observing"
    assert told(a_shifting_observation("first")).canary == "1/4 tenants"
    assert told(a_shifting_observation(EVERYONE)).canary == "all"
    assert told(a_shifting_observation(**PROMOTED)).canary == ""


def test_the_end_of_the_hold_time_is_told_as_a_time():
    assert told(a_shifting_observation(EVERYONE)).hold_until == "2027-01-15T08:01:30Z"
    assert told(a_shifting_observation("first")).hold_until == ""


def test_a_live_refusal_is_recorded_while_users_go_home_and_kept_afterwards():
    home = an_overlay("first", state="home", reason="CandidateWorse", message="It failed.")
    going = told(a_shifting_observation(overlay=home))
    gone = told(a_shifting_observation(overlay=None, status=going))

    assert [(each.revision, each.live) for each in going.refused] == [("chat-q4-1", True)]
    assert gone.refused == going.refused
    assert {each.name: each.state for each in gone.rungs}["q4"] == "Refused"


@pytest.mark.parametrize("reason", ["SpecChanged", "Deleted", "RelayLost"])
def test_going_home_for_another_reason_refuses_nothing(reason):
    home = an_overlay("first", state="home", reason=reason, message="Something else happened.")

    assert told(a_shifting_observation(overlay=home)).refused == ()


def test_a_refusal_is_bound_to_what_held_when_users_were_sent_back():
    home = replace(an_overlay("first", state="home", reason="CandidateWorse"), refusal=REFUSED)
    changed = a_shifting_observation(overlay=home, generation=7, annotations={"bitshift.dev/retry": "now"})

    assert told(changed).refused == (REFUSED,)
    assert told(replace(changed, status=told(changed))).refused == (REFUSED,)


def test_the_lines_to_hand_over_are_told_until_it_is_done():
    assert "chat-release" in told(a_shifting_observation(**PROMOTED)).handover
    assert told(a_shifting_observation(**PROMOTED | {"handed_over": True})).handover == ""


def test_the_release_before_is_remembered():
    before = QuantizedModelStatus(current_revision="chat-q8-1")

    assert told(a_shifting_observation(**PROMOTED, status=before)).previous_revision == "chat-q8-1"


def test_a_sentence_longer_than_the_api_allows_is_cut_and_marked():
    seen = a_shifting_observation(verdict=a_verdict(message="x" * 5000))

    assert len(told(seen).message) <= 2048 and told(seen).message.endswith("…")


def test_a_rung_that_starts_names_its_stage_and_how_far_it_is():
    pods = replace(STARTING, progress=Progress(3, 8, "shards"))
    rung = told(an_observation(releases=(a_release(0, pods=pods),))).rungs[0]

    assert rung.state == "Starting"
    assert "Loading 3 of 8 shards, 5 of at most 130 s" in rung.message


def test_a_rung_that_cannot_start_names_why_while_it_is_tried_again():
    pods = replace(STARTING, failure=("DeviceOutOfMemory", "GPU 0 is full."))
    rung = told(an_observation(releases=(a_release(0, pods=pods),))).rungs[0]

    assert (rung.state, rung.reason, rung.message) == ("Starting", "DeviceOutOfMemory", "GPU 0 is full.")


def test_what_an_engine_reports_stands_in_its_rung_and_is_bounded():
    kept = Kept("The engine reports 46,592 KV tokens.", ("65,536 KV tokens were planned.",) * 200)
    rung = told(an_observation(releases=(a_release(0, pods=SERVING, kept=kept),))).rungs[0]

    assert rung.engine.startswith("The engine reports 46,592 KV tokens. 65,536 KV tokens were planned.")
    assert len(rung.engine) == LONGEST_MESSAGE


def test_a_rung_tells_where_exactly_its_bytes_lie():
    pinned = f"hf://org/m@{40 * 'a'}"
    seen = see(a_snapshot(config_maps={**a_snapshot().config_maps, **_pinned(pinned)}))

    assert [rung.artifact for rung in told(seen).rungs] == [pinned, URIS[1]]


def _pinned(uri):
    facts = read(URIS[0], pinned_uri=uri)
    return {facts["metadata"]["name"]: facts}
