"""The bets: no alternative may win on average where the null holds, whatever the traffic split."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitshift_core.evidence.sequential import (
    ODDS,
    Block,
    grown,
    harm_factors,
    historical_factors,
    hurt_by,
    nearest_null,
    promotion_factors,
    promotion_growth,
    upper_bound,
    with_odds,
)
from tests.examples import examples

ALMOST_ONE = 1 + 1e-9
counts = st.integers(1, 6)
rates = st.one_of(st.sampled_from([0.0, 0.001, 0.01, 0.5, 1.0]), st.floats(0, 1))


def expected(
    candidates: int, stables: int, candidate: float, stable: float, factors: Callable[[Block], tuple[float, ...]]
) -> list[float]:
    """Return each bet's expectation by going through every outcome."""
    total = [0.0] * len(factors(Block(candidates, 0, stables, 0)))
    for i in range(candidates + 1):
        for j in range(stables + 1):
            chance = _binomial(candidates, i, candidate) * _binomial(stables, j, stable)
            for bet, factor in enumerate(factors(Block(candidates, i, stables, j))):
                total[bet] += chance * factor
    return total


def _binomial(count: int, seen: int, rate: float) -> float:
    return math.comb(count, seen) * rate**seen * (1 - rate) ** (count - seen)


@settings(max_examples=examples(80))
@given(counts, counts, rates, st.floats(0, 1), st.floats(0, 1), st.sampled_from([0.0, 0.003, 0.013, 0.2]))
def test_no_bet_on_harm_wins_on_average_while_the_candidate_is_within_the_margin(n, m, aim, stable, inside, margin):
    candidate = min(1.0, stable + margin) * inside

    assert max(expected(n, m, candidate, stable, lambda block: harm_factors(block, aim, margin))) <= ALMOST_ONE


@settings(max_examples=examples(80))
@given(counts, counts, rates, st.floats(0, 1), st.sampled_from([0.003, 0.2]))
def test_no_bet_on_harm_wins_on_average_exactly_at_the_margin(n, m, aim, stable, margin):
    stable *= 1 - margin

    assert max(expected(n, m, stable + margin, stable, lambda b: harm_factors(b, aim, margin))) <= ALMOST_ONE


@settings(max_examples=examples(80))
@given(counts, counts, rates, st.floats(0, 1), st.floats(0, 1), st.sampled_from([0.01, 0.02, 0.3]))
def test_no_bet_on_promotion_wins_on_average_while_the_candidate_is_worse_by_the_margin(n, m, aim, stable, out, margin):
    stable *= 1 - margin
    candidate = stable + margin + (1 - stable - margin) * out

    assert max(expected(n, m, candidate, stable, lambda b: promotion_factors(b, aim, margin))) <= ALMOST_ONE


@given(st.integers(1, 6), st.floats(0.001, 0.9), st.floats(0, 1))
def test_no_bet_on_history_wins_on_average_below_its_limit(n, limit, inside):
    rate = limit * inside
    total = [0.0] * len(ODDS)
    for bad in range(n + 1):
        for bet, factor in enumerate(historical_factors(n, bad, limit)):
            total[bet] += _binomial(n, bad, rate) * factor

    assert max(total) <= ALMOST_ONE


@pytest.mark.parametrize(("ratio", "base", "margin"), [(1 / 19, 0.01, 0.003), (1 / 19, 0.01, 0.2), (1, 0.001, 0.003)])
def test_the_bets_grow_almost_as_fast_as_the_best_point_of_the_null_would_let_them(ratio, base, margin):
    for odds in ODDS:
        candidate = with_odds(base + margin, odds)
        best = min(
            _information(ratio, base, candidate, margin, base + k / 4000 * (candidate - margin - base))
            for k in range(1, 4000)
        )

        found = _information(ratio, base, candidate, margin, nearest_null(ratio, base, candidate, margin))

        assert found <= best * 1.02


def _information(ratio: float, base: float, candidate: float, margin: float, point: float) -> float:
    return ratio * _divergence(candidate, point + margin) + _divergence(base, point)


def _divergence(p: float, q: float) -> float:
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


def test_promotion_grows_as_fast_as_the_information_of_a_request_allows():
    needed = math.log(100) / promotion_growth(0.01, 0.02, 0.1 / 0.9)

    assert needed == pytest.approx(513, rel=0.02)  # the two-sample bound for 1 % against +2 points at 10 % weight


def test_wealth_is_cut_at_its_limit_and_lost_bets_stay_lost():
    assert sum(grown((1.0, 1.0), (50.0, 50.0), limit=10)) == pytest.approx(10)
    assert grown((1e-11, 1.0), (0.01, 1.0)) == (0.0, 1.0)


def test_the_upper_bound_of_a_rate_is_above_it_and_closes_in():
    assert upper_bound(0, 0) == 1
    assert 0.01 < upper_bound(10, 1000) < 0.025
    assert upper_bound(100, 10_000) < upper_bound(10, 1000)


def test_e_bh_names_who_has_evidence_enough_for_their_number():
    assert hurt_by({"acme": 40.0, "globex": 1.0, "initech": 0.5}, 0.1) == ("acme",)
    assert hurt_by({"acme": 29.0, "globex": 1.0, "initech": 0.5}, 0.1) == ()
    assert hurt_by({"acme": 16.0, "globex": 15.0, "initech": 0.5}, 0.1) == ("acme", "globex")
    assert hurt_by({}, 0.1) == ()
