"""Quantiles and their intervals, held against simulation."""

import math
import random

import pytest

from bitshift_core.evidence.latency import generator, quantile, quantile_interval, ratio_interval, tail


@pytest.fixture
def stats():
    """Return scipy's distributions, which take seconds to load: every worker would, were they a module's import."""
    from scipy import stats

    return stats


def test_a_quantile_is_a_value_that_was_seen():
    assert quantile([3.0, 1.0, 2.0, 4.0], 0.5) == 2.0
    assert quantile([1.0], 0.95) == 1.0
    assert math.isnan(quantile([], 0.5))


def test_the_interval_covers_the_true_quantile_as_often_as_promised():
    chance, covered = random.Random(3), 0
    for _ in range(300):
        low, _, high = quantile_interval([chance.random() for _ in range(180)], 0.95, 0.05)
        covered += low <= 0.95 <= high

    assert covered >= 0.95 * 300


def test_few_values_leave_the_upper_bound_open():
    assert quantile_interval([float(n) for n in range(40)], 0.95, 0.05)[2] == math.inf


@pytest.mark.long
@pytest.mark.parametrize(("count", "seen", "share"), [(180, 2, 0.001), (40, 5, 0.05), (10, 0, 0.5), (10, 10, 0.9)])
def test_the_tail_is_the_binomial_one(stats, count, seen, share):
    assert tail(count, seen, share) == pytest.approx(stats.binom.sf(seen - 1, count, share))


def test_the_ratio_of_equal_sides_encloses_one():
    chance = random.Random(5)
    enclosed = 0
    for seed in range(20):
        sides = [[[chance.lognormvariate(0, 0.3) for _ in range(15)] for _ in range(12)] for _ in range(2)]
        low, _, high = ratio_interval(*sides, 0.95, error_rate=0.05, seed=seed, rounds=200)
        enclosed += low <= 1 <= high

    assert enclosed >= 18


def test_one_block_tells_nothing():
    assert ratio_interval([[1.0]], [[1.0]], 0.95, error_rate=0.05, seed=1)[2] == math.inf


def test_the_generator_is_even_and_repeats(stats):
    first, again = generator(1), generator(1)
    drawn = [first(10) for _ in range(10_000)]

    assert drawn == [again(10) for _ in range(10_000)]
    assert stats.chisquare([drawn.count(n) for n in range(10)]).pvalue > 0.001
