from dataclasses import replace

import pytest

from bitshift_core.rollout.observation import Pods
from bitshift_core.rollout.starts import WAYS_OUT, said, why_refused
from bitshift_core.starting.deadlines import Deadlines
from bitshift_core.starting.reading import Progress
from tests.builders import NOW, SERVING, STARTING, a_release

DEADLINES = Deadlines(start_seconds=900, artifact_bytes=10**9, load_bytes_per_second=10**7)


def starting(stage, waited, **changes):
    pods = replace(STARTING, stage=stage, stage_since=NOW - waited, **changes)
    return a_release(0, pods=pods, deadlines=DEADLINES)


def test_a_start_says_its_stage_how_far_it_is_and_how_long_it_may_take():
    release = starting("Loading", 45, progress=Progress(3, 8, "shards", NOW - 5))

    assert said(release, NOW) == (
        "0 of 1 pods of chat-q4-1 answered a prompt (Loading 3 of 8 shards, 45 of at most 1000 s)."
    )


def test_bytes_are_told_as_people_read_them():
    release = starting("Fetching", 45, progress=Progress(1 << 30, 4 << 30, "bytes", NOW - 5))

    assert "Fetching 1.00 GiB of 4.00 GiB" in said(release, NOW)


@pytest.mark.parametrize("stage", [each for each in DEADLINES.table])
def test_a_stage_beyond_its_deadline_is_refused_by_its_name_with_numbers_and_a_way_out(stage):
    allowed = DEADLINES.seconds(stage)

    assert why_refused(starting(stage, allowed - 1), NOW) is None
    reason, message = why_refused(starting(stage, allowed + 1), NOW)
    assert reason == "StartDeadlineExceeded"
    assert f"stuck in the stage {stage}, {allowed + 1:.0f} s of at most {allowed:.0f} s" in message
    assert WAYS_OUT.get(stage, "") in message


def test_a_late_stage_is_explained_by_what_the_engine_complains_of():
    _, message = why_refused(starting("Loading", 2_000, hint="GPUs waited for each other."), NOW)

    assert message.endswith("GPUs waited for each other.")


def test_an_image_that_is_refused_is_not_waited_for_as_long_as_one_that_is_large():
    failing = starting("Pulling", 301, failure=("ImageCannotBePulled", "There is none."))

    assert why_refused(failing, NOW)[0] == "ImageCannotBePulled"
    assert why_refused(starting("Pulling", 301), NOW) is None


def test_what_is_fatal_is_not_waited_for_and_keeps_its_own_reason():
    release = starting("Restarting", 1, fatal=True, failure=("MissingKernel", "There is no kernel."))

    assert why_refused(release, NOW) == (
        "MissingKernel", "chat-q4-1 did not start (in the stage Restarting): There is no kernel.",
    )  # fmt: skip


def test_pods_that_never_come_to_be_are_given_up():
    made = a_release(0, pods=Pods(exists=True, desired=1, started_at=NOW - 121), deadlines=DEADLINES)

    assert "events of its ReplicaSet" in why_refused(made, NOW)[1]


def test_pods_that_take_each_other_along_are_not_made_anew_for_ever():
    anew = Pods(
        exists=True, desired=1, stage="Loading", stage_since=NOW - 1, made_anew_after=DEADLINES.together_seconds
    )
    again = replace(anew, made_anew_after=DEADLINES.together_seconds + 1)

    assert why_refused(a_release(0, pods=anew, deadlines=DEADLINES), NOW) is None
    reason, message = why_refused(a_release(0, pods=again, deadlines=DEADLINES), NOW)
    assert reason == "GroupMadeAnew" and f"{DEADLINES.together_seconds + 1:.0f} s after the first ones" in message


def test_what_serves_is_refused_only_for_a_promise_that_the_spec_insists_on():
    assert why_refused(a_release(0, pods=SERVING), NOW) is None
    assert why_refused(a_release(0, pods=SERVING, broken_promise="Another kernel."), NOW)[0] == "OtherKernel"
