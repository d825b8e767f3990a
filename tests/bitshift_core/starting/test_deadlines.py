import pytest

from bitshift_core.starting.deadlines import FAILING_SECONDS, Deadlines
from bitshift_core.starting.reading import Progress
from tests.builders import NOW
from tests.engine_profiles import ENGINES, shipped

DEADLINES = Deadlines(start_seconds=900, artifact_bytes=10**10, load_bytes_per_second=10**8)


def test_what_moves_bytes_has_time_for_them_and_the_rest_has_the_profiles_seconds():
    more = Deadlines(900, 2 * 10**10, 10**8)

    for stage in ("Fetching", "Loading", "Repacking"):
        assert more.seconds(stage) > DEADLINES.seconds(stage)
    for stage in ("Pulling", "Compiling", "Warming", "Answering"):
        assert more.seconds(stage) == DEADLINES.seconds(stage)
    assert DEADLINES.seconds("Loading") == 1_000


def test_an_engine_may_be_unhealthy_for_as_long_as_its_own_stages_may_take():
    own = ("Loading", "Repacking", "Compiling", "Warming")

    assert DEADLINES.engine_seconds == sum(map(DEADLINES.seconds, own))


def test_a_measured_pace_gives_more_time_and_never_less():
    slow, fast = Progress(1, 8, "shards", NOW + 600), Progress(1, 8, "shards", NOW + 2)

    assert DEADLINES.seconds("Loading", NOW, slow) == 4 * 600 * 8
    assert DEADLINES.seconds("Loading", NOW, fast) == DEADLINES.seconds("Loading")


@pytest.mark.parametrize("progress", [Progress(0, 8, "shards", NOW + 9), Progress(1, 8, "bytes", NOW + 9_000)])
def test_what_tells_no_pace_changes_nothing(progress):
    assert DEADLINES.seconds("Loading", NOW, progress) == DEADLINES.seconds("Loading")


def test_a_refusal_that_was_heard_is_waited_for_briefly_outside_of_the_engine():
    assert DEADLINES.seconds("Pulling", fails=True) == FAILING_SECONDS
    assert DEADLINES.seconds("Loading", fails=True) == DEADLINES.seconds("Loading")


@pytest.mark.parametrize("name", ENGINES)
def test_no_profile_gives_an_engine_less_time_than_before_stages_were_told_apart(name):
    profile = shipped(name)
    deadlines = Deadlines.of(profile, 10**9)

    assert deadlines.seconds("Loading") == profile.start_seconds + 10**9 / profile.load_bytes_per_second
    assert deadlines.engine_seconds >= deadlines.seconds("Loading")
