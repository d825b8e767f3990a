import pytest

from bitshift_core.rollout import names
from bitshift_operator.cli.access import NOTHING_TO_DO, Refusal
from bitshift_operator.cli.story import as_json, next_commands, understand, waits_for
from bitshift_operator.cli.verbs import VERBS
from tests.bitshift_operator.cli.models import AWQ, a_model

NOW = "2026-11-21T10:00:00Z"


def say(verb, **model):
    told = VERBS[verb](understand(a_model(**model)), NOW)
    return told.annotation, told.value


@pytest.mark.parametrize("verb, annotation", [("promote", names.PROMOTE), ("rollback", names.ROLLBACK)])
def test_what_moves_users_is_bound_to_the_release_that_they_are_on(verb, annotation):
    assert say(verb) == (annotation, AWQ["revision"])


@pytest.mark.parametrize("verb", ["promote", "rollback"])
@pytest.mark.parametrize("phase", ["Gating", "Serving", "Rejected", ""])
def test_nobody_is_moved_who_is_not_on_a_candidate(verb, phase):
    with pytest.raises(Refusal, match="no user is on a candidate") as refusal:
        say(verb, phase=phase)

    assert refusal.value.exit_code == NOTHING_TO_DO


def test_a_paused_rollout_may_still_be_rolled_back_but_not_promoted():
    paused = {"annotations": {names.PAUSE: AWQ["revision"]}, "phase": "Suspended", "canary": "3/12 tenants"}

    assert say("rollback", **paused) == (names.ROLLBACK, AWQ["revision"])
    with pytest.raises(Refusal, match="resume chat` first"):
        say("promote", **paused)


def test_a_pause_is_bound_to_the_candidate_or_said_of_whatever_comes():
    assert say("pause") == (names.PAUSE, AWQ["revision"])
    assert say("pause", phase="Planning", rungs=[]) == (names.PAUSE, "true")


def test_a_pause_of_an_earlier_release_is_no_pause():
    assert say("pause", annotations={names.PAUSE: "chat-awq-older"}) == (names.PAUSE, AWQ["revision"])


def test_resume_takes_the_annotation_away_and_names_what_else_suspends():
    assert say("resume", annotations={names.PAUSE: AWQ["revision"]}) == (names.PAUSE, None)
    with pytest.raises(Refusal, match="not paused"):
        say("resume")
    with pytest.raises(Refusal, match="suspend: true"):
        say("resume", spec={"suspend": True})


def test_each_retry_is_another_one():
    assert say("retry", phase="Rejected") == (names.RETRY, NOW)
    with pytest.raises(Refusal, match="nothing was refused"):
        say("retry", phase="Serving", rungs=[AWQ])


@pytest.mark.parametrize(
    "model, expected",
    [
        ({"phase": ""}, "it has not looked at this object yet"),
        ({"generation": 3}, "to look at generation 3 (it saw 2)"),
        ({"phase": "Gating"}, "gate 'load'"),
        ({"phase": "Holding", "holdUntil": "2026-11-21T12:00:00Z"}, "2026-11-21T12:00:00Z; then it is promoted"),
        ({"phase": "Serving"}, "nothing."),
        ({"phase": "Serving", "handover": "spec.rules[0]"}, "hand over"),
        ({"phase": "Suspended", "spec": {"suspend": True}}, "`spec.suspend: false`"),
        ({"phase": "Suspended"}, "kubectl bitshift -n team resume chat"),
        ({"phase": "Blocked"}, "you"),
        ({"phase": "SomethingNew"}, "what the sentence above says"),
    ],
)
def test_what_it_waits_for_is_said_in_one_sentence(model, expected):
    assert expected in waits_for(understand(a_model(**model)))


def test_only_commands_that_would_do_something_are_offered():
    for phase in ("Shifting", "Holding", "Gating", "Rejected", "Blocked", "Serving", "RollingBack", "Suspended", ""):
        story = understand(a_model(phase=phase))
        for command, _ in next_commands(story):
            verb = command.split()[-2]
            if verb in VERBS:
                VERBS[verb](story, NOW)


def test_programs_get_the_status_and_what_people_are_told():
    told = as_json(understand(a_model()))

    assert told["status"]["rungs"][1]["gates"][0]["verdict"] == "Passed"
    assert told["waitsFor"].startswith("evidence")
    assert told["next"][0]["command"] == "kubectl bitshift -n team rollback chat"
