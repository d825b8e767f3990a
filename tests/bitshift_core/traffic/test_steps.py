import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitshift_core.api.v1alpha1 import DEFAULT_STEPS, Step
from bitshift_core.traffic.steps import Assignment, Share, assignment

TEN = tuple("abcdefghij")


def a_step(tenants=10, weight=20):
    return Step(name="s", tenants_percent=tenants, weight_percent=weight)


def test_the_first_step_enrols_the_first_of_ten_and_leaves_the_others_on_stable():
    first = assignment(DEFAULT_STEPS[0], TEN, exclude=("bank",))

    assert first.enrolled == ("a",) and first.waiting == TEN[1:]
    assert (first.enrolled_percent, first.anonymous_percent, first.excluded) == (20, 2, ("bank",))


def test_before_the_first_step_everybody_is_observed_on_stable():
    nobody = assignment(None, TEN)

    assert (nobody.step, nobody.enrolled, nobody.anonymous_percent) == ("Observation", (), 0)


def test_in_the_end_everybody_but_the_excluded_is_on_the_candidate():
    everyone = assignment("Everyone", TEN, exclude=("bank",))

    assert everyone.enrolled == TEN and everyone.enrolled_percent == 100 and everyone.anonymous_percent == 100


def test_a_users_step_named_like_ours_in_lower_case_is_a_step_like_any_other():
    assert assignment(Step(name="everyone", tenants_percent=1, weight_percent=1), TEN).enrolled_percent == 1


def test_anonymous_requests_stay_where_they_cannot_be_moved():
    assert assignment(a_step(), TEN, anonymous_movable=False).anonymous_percent == 0
    assert assignment("Everyone", TEN, anonymous_movable=False).anonymous_percent == 0


def test_anonymous_requests_are_never_forgotten():
    assert assignment(a_step(tenants=1, weight=1), ()).anonymous_percent == 1


@given(
    seen=st.permutations(TEN),
    already=st.sets(st.sampled_from(TEN)),
    tenants=st.integers(1, 100),
    weight=st.integers(1, 99),
)
def test_the_enrolled_stay_enrolled_and_the_share_is_reached(seen, already, tenants, weight):
    found = assignment(a_step(tenants, weight), seen, already=already)

    assert already <= set(found.enrolled)
    assert len(found.enrolled) == max(len(already), -(-len(seen) * tenants // 100))
    assert {share.tenant for share in found.shares} == set(TEN)


def test_two_different_shares_in_one_step_are_refused():
    with pytest.raises(ValueError, match="same share"):
        Assignment("s", (Share("a", 10), Share("b", 20)))
