"""Quantiles of a few hundred latencies, and how sure one may be of them.

Here: order statistics, a bootstrap over blocks. Not here: which latency is tolerated (`evidence.load`).
"""

import math
from collections.abc import Callable, Sequence

Interval = tuple[float, float, float]
"""Lower bound, estimate, upper bound."""

MASK = (1 << 64) - 1


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed; NaN of none."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def quantile_interval(values: Sequence[float], share: float, error_rate: float) -> Interval:
    """Return a quantile and the order statistics that enclose it; unbounded where there are too few values.

    The ranks come from the exact binomial distribution of "how many values are below the true quantile": nothing is
    assumed of the latencies' shape.
    """
    ordered, count = sorted(values), len(values)
    if not count:
        return 0.0, math.nan, math.inf
    below = _cumulative_binomial(count, share)
    low = sum(chance <= error_rate / 2 for chance in below)
    high = next((rank for rank in range(count + 1) if below[rank] >= 1 - error_rate / 2), count)
    lower = ordered[low - 1] if low >= 1 else 0.0
    upper = ordered[high] if high < count else math.inf
    return lower, quantile(ordered, share), upper


def _cumulative_binomial(count: int, share: float) -> list[float]:
    """Return P(X <= k) for k = 0 … count, of a binomial count."""
    total, cumulative = 0.0, []
    for k in range(count + 1):
        log = math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
        total += math.exp(log + k * math.log(share) + (count - k) * math.log(1 - share))
        cumulative.append(total)
    return cumulative


def tail(count: int, seen: int, share: float) -> float:
    """Return the chance of at least `seen` in `count` when each has probability `share`."""
    if seen <= 0:
        return 1.0
    if share <= 0:
        return 0.0
    return max(0.0, 1 - _cumulative_binomial(count, share)[seen - 1])


def ratio_interval(
    ours: Sequence[Sequence[float]],
    theirs: Sequence[Sequence[float]],
    share: float,
    *,
    error_rate: float,
    seed: int,
    rounds: int = 500,
) -> Interval:
    """Return the ratio of two quantiles with its bootstrap interval; block i of both sides was sent alike.

    Blocks are drawn, not requests: neighbours wait in the same queue. They are drawn in pairs, so what the schedule
    does to both sides cancels; the interval is widened by what few blocks make it too narrow.
    """
    draw, blocks = generator(seed), len(ours)
    estimate = _ratio(ours, theirs, range(blocks), share)
    ratios = sorted(_ratio(ours, theirs, [draw(blocks) for _ in range(blocks)], share) for _ in range(rounds))
    known = [ratio for ratio in ratios if not math.isnan(ratio)]
    if blocks < 2 or len(known) < rounds // 2:
        return 0.0, estimate, math.inf
    widen = _few_blocks(blocks)
    low, high = quantile(known, error_rate / 2), quantile(known, 1 - error_rate / 2)
    return estimate * (low / estimate) ** widen, estimate, estimate * (high / estimate) ** widen


def _few_blocks(blocks: int) -> float:
    """Return how much wider an interval from so few blocks must be: Student's quantile over the normal one, nearly."""
    free = blocks - 1
    return math.sqrt(blocks / free) * (1 + 1.21 / free + 1.43 / free**2)


def _ratio(
    ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]], chosen: Sequence[int], share: float
) -> float:
    ours_drawn = [value for block in chosen for value in ours[block]]
    theirs_drawn = [value for block in chosen for value in theirs[block]]
    below = quantile(theirs_drawn, share)
    return quantile(ours_drawn, share) / below if below > 0 else math.nan


def generator(seed: int) -> Callable[[int], int]:
    """Return a function that gives numbers below its argument, the same ones for the same seed (SplitMix64)."""
    state = seed & MASK

    def below(limit: int) -> int:
        nonlocal state
        state = (state + 0x9E3779B97F4A7C15) & MASK
        mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK
        return ((mixed ^ (mixed >> 31)) * limit) >> 64

    return below
