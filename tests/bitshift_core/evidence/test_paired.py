"""The quality gate's test on pairs: three answers, published cases, and honest error rates."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitshift_core.evidence.paired import agreement, decide, judge_agreement, judge_pairs, scores_claim
from bitshift_core.evidence.report import Verdict

ERROR_RATE_PPM = 50_000


def pairs(count: int, *, flips: float, drop: float, parent: float = 0.7, seed: int = 1) -> list[tuple[bool, bool]]:
    """Return (parent, candidate) outcomes with exactly so many flips, in a shuffled order."""
    lost, won = round(count * (flips + drop) / 2), round(count * (flips - drop) / 2)
    right = round(count * parent) - lost
    outcomes = [(True, False)] * lost + [(False, True)] * won + [(True, True)] * right
    outcomes += [(False, False)] * (count - len(outcomes))
    random.Random(seed).shuffle(outcomes)
    return outcomes


@pytest.mark.parametrize(
    ("model", "parent", "candidate", "items", "flips", "margin", "verdict"),
    [
        ("Llama-3.1-8B NVFP4 round-to-nearest, GSM8K", 0.7528, 0.6406, 1319, 0.15, 3, Verdict.FAILED),
        ("Llama-3-70B W8A16, GSM8K", 0.9083, 0.8643, 1319, 0.08, 2, Verdict.FAILED),
        ("Llama-3.1-8B NVFP4 W4A4, GSM8K", 0.771, 0.7248, 1319, 0.12, 3, Verdict.FAILED),
        ("Qwen3-8B FP8 block, GSM8K", 0.8726, 0.8704, 1319, 0.03, 2, Verdict.PASSED),
        ("a Q8_0 model within noise", 0.60, 0.60, 300, 0.02, 5, Verdict.PASSED),
    ],
)
def test_published_losses_are_judged_as_a_person_would(model, parent, candidate, items, flips, margin, verdict):
    found = judge_pairs(pairs(items, flips=flips, drop=parent - candidate, parent=parent), margin, ERROR_RATE_PPM, 20)

    assert found.verdict is verdict, (model, found.message)


def test_a_large_loss_on_few_items_never_passes():
    for seed in range(20):
        outcomes = pairs(164, flips=0.2, drop=0.823 - 0.732, parent=0.823, seed=seed)  # Qwen3-8B NVFP4, HumanEval+

        assert judge_pairs(outcomes, 3, ERROR_RATE_PPM, 20).verdict is not Verdict.PASSED


def test_too_few_items_are_inconclusive_and_say_how_many_are_missing():
    found = judge_pairs([(True, True)] * 60, 3, ERROR_RATE_PPM, 20)

    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.certifiable_margin_points > 3
    assert judge_pairs([(True, True)] * (60 + found.missing_items), 3, ERROR_RATE_PPM).verdict is Verdict.PASSED
    assert f"add about {found.missing_items} more items or raise `marginPoints`" in found.message


def test_the_certifiable_margin_is_one_that_passes():
    outcomes = pairs(200, flips=0.04, drop=0.0)
    margin = judge_pairs(outcomes, 1, ERROR_RATE_PPM).certifiable_margin_points

    assert judge_pairs(outcomes, margin + 0.2, ERROR_RATE_PPM).verdict is Verdict.PASSED
    assert judge_pairs(outcomes, margin / 2, ERROR_RATE_PPM).verdict is Verdict.INCONCLUSIVE


def test_a_parent_below_the_floor_neither_passes_nor_refuses():
    outcomes = pairs(400, flips=0.1, drop=0.1, parent=0.15)

    found = judge_pairs(outcomes, 3, ERROR_RATE_PPM, floor_percent=20)

    assert (found.verdict, found.reason) == (Verdict.INCONCLUSIVE, "Uninformative")
    assert "below the floor of 20 %" in found.message


def test_a_suite_without_items_is_inconclusive():
    assert judge_pairs([], 3, ERROR_RATE_PPM, 20).verdict is Verdict.INCONCLUSIVE
    assert judge_agreement([], 3, ERROR_RATE_PPM).verdict is Verdict.INCONCLUSIVE


def test_a_small_drop_that_is_proven_is_still_tolerated():
    outcomes = pairs(5000, flips=0.02, drop=0.01)

    assert judge_pairs(outcomes, 5, ERROR_RATE_PPM).verdict is Verdict.PASSED


@pytest.mark.long
def test_wrong_verdicts_are_as_rare_as_promised():
    chance, found = random.Random(7), Counter[str]()
    for _ in range(100):
        equal = [_flip(chance, 0.05, 0.05) for _ in range(600)]
        at_margin = [_flip(chance, 0.06, 0.02) for _ in range(600)]
        claim = scores_claim(4, ERROR_RATE_PPM)
        found["failed a good one"] += decide(equal, claim)[0] is Verdict.FAILED
        found["passed a bad one"] += decide(at_margin, claim)[0] is Verdict.PASSED

    assert max(found.values()) <= 0.05 * 100


def _flip(chance: random.Random, lost: float, won: float) -> tuple[bool, bool]:
    drawn = chance.random()
    return (True, False) if drawn < lost else (False, True) if drawn < lost + won else (True, True)


@given(st.floats(0.01, 0.5), st.floats(0, 1), st.floats(0, 1))
def test_no_stake_wins_on_average_at_a_drop_of_the_margin(margin, share_of_flips, stake):
    lost = margin + (1 - margin) / 2 * share_of_flips
    won = lost - margin
    part = stake * 0.99 / (1 - margin)

    mean = lost * (1 - part * (1 - margin)) + won * (1 + part * (1 + margin)) + (1 - lost - won) * (1 + part * margin)

    assert mean <= 1 + 1e-9


@pytest.mark.parametrize(
    ("scheme", "tokens_agree", "verdict"),
    [
        ("8-bit of a small model", 0.965, Verdict.PASSED),
        ("4-bit round-to-nearest of a small model", 0.71, Verdict.FAILED),
        ("2-bit of a small model", 0.4, Verdict.FAILED),
    ],
)
def test_agreement_passes_mild_and_fails_heavy_quantization(scheme, tokens_agree, verdict):
    for seed in range(10):
        found = judge_agreement(_agreements(60, tokens_agree, seed), 10, ERROR_RATE_PPM)
        assert found.verdict is verdict, (scheme, found.message)


def _agreements(items: int, tokens_agree: float, seed: int, horizon: int = 32) -> list[tuple[int, int]]:
    chance, found = random.Random(seed), []
    for _ in range(items):
        together = next((k for k in range(horizon) if chance.random() > tokens_agree), horizon)
        found.append((together, min(together + 1, horizon)))
    return found


def test_answers_that_never_came_or_are_longer_than_the_horizon_break_nothing():
    assert judge_agreement([(0, 40)] * 60, 10, ERROR_RATE_PPM).verdict is Verdict.FAILED
    assert judge_agreement([(90, 90)] * 60, 10, ERROR_RATE_PPM).verdict is Verdict.PASSED


def test_agreement_counts_tokens_until_answers_part():
    parent = ["the", "capital", "of", "France", "is", "Paris"]

    assert agreement(parent, parent) == (7, 7)
    assert agreement(parent, ["the", "capital", "is", "Paris"]) == (2, 3)
    assert agreement(parent, parent[:3]) == (3, 4)
    assert agreement(parent, parent, horizon=4) == (4, 4)
    assert agreement([], []) == (1, 1)
    assert agreement(parent, []) == (0, 1)
