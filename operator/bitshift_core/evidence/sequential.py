"""A sequential two-sample test of rates: may be looked at after every request, and its error rate still holds.

A block holds n_C candidate and n_B stable requests of the same moment. Under "candidate's rate <= stable's + margin"
take any point t_C = t_B + margin on the boundary and any bet λ >= 0, both chosen from the past:

    E = Π_candidate (1 + λ/n_C · (bad - t_C)) · Π_stable (1 - λ/n_B · (bad - t_B)),    E[E] <= 1 on the whole null,

so the running product reaches 1/α with probability <= α at most, whatever the traffic split and whatever drifts in both
arms alike. λ and t_B make E the likelihood ratio of the alternative against the nearest point of the boundary.

Here: bets, blocks, wealth. Not here: which requests form a block (`evidence.strata`), what is concluded
(`evidence.verdict`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ODDS = (1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 200.0)
"""Alternatives: the candidate's odds as multiples of the odds on the boundary."""
PRIOR = (0.10, 0.20, 0.25, 0.20, 0.10, 0.10, 0.05)
HARD_ODDS = (2.0, 5.0, 20.0, 200.0)
"""Alternatives of the hard tier: it looks for candidates that are broken, not for those that are somewhat worse."""
HARD_PRIOR = (0.20, 0.25, 0.25, 0.30)
FEW_ODDS = (1.3, 2.0, 4.0, 15.0)
"""Alternatives for shares above a quantile, which are known to begin with."""
FEW_PRIOR = (0.3, 0.3, 0.25, 0.15)
EQUAL_ODDS = (0.5, 1.0, 1.6)
"""Alternatives of the mirror-image test: the candidate is about as good as stable."""
EQUAL_PRIOR = (0.2, 0.6, 0.2)

LARGEST_WEALTH = 1e12
SMALLEST_WEALTH = 1e-12
"""Below it a bet is lost: a restart will earn sooner than it recovers."""
CLOSEST = 1e-6


@dataclass(frozen=True, slots=True)
class Block:
    """Requests of both arms that are compared with each other, and how many of them were bad."""

    candidate: int
    candidate_bad: int
    stable: int
    stable_bad: int

    def mirrored(self) -> "Block":
        """Return the block with good and bad exchanged: it turns "is worse by" into "is not worse by"."""
        return Block(self.candidate, self.candidate - self.candidate_bad, self.stable, self.stable - self.stable_bad)


def with_odds(rate: float, multiple: float) -> float:
    """Return the rate whose odds are `multiple` times those of `rate`."""
    odds = multiple * rate / (1 - rate)
    return odds / (1 + odds)


def inside(rate: float, low: float = 0, high: float = 1) -> float:
    """Return the rate moved off the ends of its range, where a single outcome would prove everything."""
    return min(high - CLOSEST, max(low + CLOSEST, rate))


def harm_factors(block: Block, rate: float, margin: float, alternatives: Sequence[float] = ODDS) -> tuple[float, ...]:
    """Return by how much each bet on "worse by more than the margin" is multiplied; `rate`: stable's past."""
    base = inside(rate, high=1 - margin)
    boundary = inside(base + margin)
    return tuple(_factor(block, base, with_odds(boundary, odds), margin) for odds in alternatives)


def promotion_factors(block: Block, rate: float, margin: float) -> tuple[float, ...]:
    """Return by how much each bet against "worse by at least the margin" is multiplied."""
    mirrored, base = block.mirrored(), inside(rate)
    alternatives = (1 - with_odds(base, odds) for odds in EQUAL_ODDS)
    return tuple(_factor(mirrored, 1 - base, candidate, -margin) for candidate in alternatives)


def promotion_growth(rate: float, margin: float, ratio: float) -> float:
    """Return by how much the log of promotion evidence grows per candidate request when both arms are equally good.

    `ratio` is candidate requests per stable request: a control that is small itself makes each request worth less.
    """
    good = 1 - inside(rate, high=1 - margin)
    t_stable = nearest_null(ratio, good, good, -margin)
    return divergence(good, t_stable - margin) + divergence(good, t_stable) / ratio


def divergence(rate: float, other: float) -> float:
    """Return the Kullback-Leibler divergence of two yes-or-no outcomes, in nats per request."""
    bad = (1 - rate) * math.log((1 - rate) / (1 - other)) if rate < 1 else 0.0
    return bad + (rate * math.log(rate / other) if rate > 0 else 0.0)


def historical_factors(
    candidate: int, bad: int, limit: float, alternatives: Sequence[float] = ODDS
) -> tuple[float, ...]:
    """Return the bets' factors where nothing runs beside the candidate: against a fixed limit for its rate."""
    limit = inside(limit)
    likely = (with_odds(limit, odds) for odds in alternatives)
    return tuple(
        _clamped(bad * math.log(rate / limit) + (candidate - bad) * math.log((1 - rate) / (1 - limit)))
        for rate in likely
    )


def upper_bound(bad: float, count: float, deviations: float = 2.33) -> float:
    """Return Wilson's upper bound of a rate that was seen `bad` times in `count`."""
    if count <= 0:
        return 1.0
    share, square = bad / count, deviations**2
    spread = deviations * math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    return min(1.0, (share + square / (2 * count) + spread) / (1 + square / count))


def _factor(block: Block, base: float, candidate: float, margin: float) -> float:
    """Return the e-value of one block for one alternative; 1, no bet, where that lies inside the null."""
    if candidate <= base + margin + CLOSEST:
        return 1.0
    t_stable = nearest_null(block.candidate / block.stable, base, candidate, margin)
    t_candidate = t_stable + margin
    if candidate <= t_candidate or t_stable <= base:
        return 1.0
    stake = (candidate - t_candidate) / (t_candidate * (1 - t_candidate))
    counter = stake * block.candidate / block.stable
    if counter * (1 - t_stable) > 1 - CLOSEST:
        counter = (1 - CLOSEST) / (1 - t_stable)
        stake = counter * block.stable / block.candidate
    log_factor = (block.candidate - block.candidate_bad) * math.log(1 - stake * t_candidate)
    log_factor += (block.stable - block.stable_bad) * math.log(1 + counter * t_stable)
    if block.candidate_bad:
        log_factor += block.candidate_bad * math.log(1 + stake * (1 - t_candidate))
    if block.stable_bad:
        log_factor += block.stable_bad * math.log(1 - counter * (1 - t_stable))
    return _clamped(log_factor)


def nearest_null(ratio: float, base: float, candidate: float, margin: float) -> float:
    """Return stable's rate at the point of the null that is hardest to tell from (candidate, base).

    `ratio` is candidate requests per stable request. A few steps of a fixed-point iteration: any point of the boundary
    gives a valid test, the nearest a strong one.
    """
    distance = candidate - margin - base
    if margin == 0:
        return base + distance * ratio / (1 + ratio)
    low, high = max(base, CLOSEST - margin), min(candidate - margin, 1 - CLOSEST)
    point = (low + high) / 2
    for _ in range(3):
        moved = point + margin
        by_candidate = ratio * point * (1 - point)
        point = base + distance * by_candidate / (by_candidate + moved * (1 - moved))
        point = low if point < low else min(point, high)
    return point


def _clamped(log_factor: float) -> float:
    return math.exp(min(27.0, max(-60.0, log_factor)))


def staked(prior: Sequence[float], mass: float) -> tuple[float, ...]:
    """Return the wealth of bets that start with `mass` between them."""
    return tuple(share * mass for share in prior)


def topped_up(wealth: Sequence[float], prior: Sequence[float], mass: float) -> tuple[float, ...]:
    """Return the wealth with a new process beside the old ones: their sum is one vector, since they bet alike."""
    return tuple(have + share * mass for have, share in zip(wealth, prior, strict=True))


def grown(wealth: Sequence[float], factors: Sequence[float], limit: float = LARGEST_WEALTH) -> tuple[float, ...]:
    """Return the wealth after a block; the sum is cut to the limit, which can only make the test slower."""
    raw = [have * factor for have, factor in zip(wealth, factors, strict=True)]
    total = sum(raw)
    scale = limit / total if total > limit else 1.0
    return tuple(value * scale if value * scale > SMALLEST_WEALTH else 0.0 for value in raw)


def hurt_by(evidence: Mapping[str, float], false_share: float) -> tuple[str, ...]:
    """Return whom e-BH names: of those, the expected share that is named wrongly is at most `false_share`."""
    ranked = sorted(evidence, key=lambda name: (-evidence[name], name))
    enough = [rank for rank, name in enumerate(ranked, 1) if evidence[name] * rank * false_share >= len(ranked)]
    return tuple(ranked[: max(enough, default=0)])
