import pytest

from bitshift_core.rollout.profiles import profile_status, read_profile
from tests.builders import NOW
from tests.engine_profiles import shipped

GOOD = shipped("llamacpp").as_json()


def a_profile(*, args=(), without=(), status=None, **changes):
    kept = [each for each in GOOD["args"] if each.get("source") not in without]
    metadata = {"name": "mine", "generation": 3}
    return {"metadata": metadata, "spec": GOOD | {"args": [*kept, *args]} | changes, "status": status or {}}


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (a_profile(image=""), "`image`"),
        (a_profile(args=[{"flag": "--x", "source": "Surprise"}]), "source"),
        (a_profile(without=["ModelPath"]), "which model to load"),
        (a_profile(without=["Port"]), "on which port"),
        (a_profile(without=["TotalContextTokens"]), "a promised context"),
        (a_profile(args=[{"flag": "--x", "source": "Dtype", "value": "f16"}]), "'--x' has both"),
        (a_profile(args=[{"flag": "--x", "equals": "Enabled"}]), "`equals` without `when`"),
        (a_profile(args=[{"flag": "--x", "since": "0.12", "until": "0.9"}]), "nowhere"),
        (a_profile(args=[{"flag": "--threads"}, {"flag": "-t", "aliases": ["--threads"]}]), "'--threads' twice"),
        (a_profile(writableDirectories=["/models/cache"]), "`writableDirectories`"),
        (a_profile(endpoints=["/v1/completions", "/v1/completions"]), "`endpoints`"),
    ],
)
def test_a_profile_that_would_not_work_says_why_in_its_status(manifest, words):
    assert words in read_profile(manifest)
    (condition,) = profile_status(manifest, NOW).conditions
    assert (condition.type, condition.status, condition.reason) == ("Accepted", "False", "Invalid")
    assert words in condition.message and condition.observed_generation == 3


def test_a_flag_may_have_two_meanings_in_two_versions():
    ages = [{"flag": "--x", "source": "Dtype", "until": "2"}, {"flag": "--x", "source": "Quantization", "since": "2"}]

    assert not isinstance(read_profile(a_profile(args=ages)), str)


def test_a_profile_that_can_be_used_says_so_and_then_nothing_more():
    first = profile_status(a_profile(), NOW)
    again = profile_status(a_profile(status=first.as_json()), NOW + 60)

    assert first.conditions[0].status == "True"
    assert again == first
