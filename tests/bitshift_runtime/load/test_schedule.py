import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitshift_runtime.load.prompts import prompt
from bitshift_runtime.load.schedule import arrivals, blocks, turns


def test_arrivals_are_the_same_for_the_same_seed_only():
    assert arrivals(5, 60, seed=1) == arrivals(5, 60, seed=1)
    assert arrivals(5, 60, seed=1) != arrivals(5, 60, seed=2)


def test_arrivals_come_at_the_rate_that_was_asked_for():
    assert len(arrivals(50, 200, seed=3)) == pytest.approx(10_000, rel=0.05)


@given(st.integers(10, 600), st.integers(1, 1_200))
def test_blocks_hold_every_arrival_once_and_in_order(seconds, per_minute):
    warm_up, *measured = blocks(per_minute / 60, seconds, seed=1)

    assert warm_up.warm_up
    assert not any(block.warm_up for block in measured)
    assert sum(block.seconds for block in measured) == pytest.approx(seconds)
    assert sum(len(block.offsets_seconds) for block in measured) == len(arrivals(per_minute / 60, seconds, seed=2))
    expected = len(warm_up.offsets_seconds)
    for block in measured:
        assert block.first_request == expected
        assert all(0 <= offset < block.seconds for offset in block.offsets_seconds)
        expected += len(block.offsets_seconds)


def test_the_sides_take_turns_in_alternating_order():
    orders = [turns(("candidate", "baseline"), block)[0] for block in blocks(1, 60, seed=1)]

    assert orders[1:5] == ["baseline", "candidate", "baseline", "candidate"]


def test_prompts_are_the_same_on_both_sides_and_never_the_same_twice():
    assert prompt(7, seed=1) == prompt(7, seed=1)
    assert len({prompt(number, seed=1)[:20] for number in range(200)}) == 200
