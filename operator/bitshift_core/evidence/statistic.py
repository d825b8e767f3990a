"""One yes-or-no outcome in one stratum: how a block, a restart or a new interval changes its evidence.

Here: rates, latencies as shares above an edge, wealth of both tiers and of the promotion test. Not here: the arithmetic
of a bet (`evidence.sequential`), which requests form a block (`evidence.strata`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from . import sequential
from .rows import Stage
from .sequential import Block
from .state import QUANTILES, LivePolicy, Statistic

RATES: dict[Stage, str] = {"first": "errors", "end": "answers"}
LATENCIES: dict[Stage, str] = {"first": "ttft", "end": "itl"}

FADE_AT = 2_000
"""Requests of the past above which it is halved, so that bets follow a drift."""
PRIOR_REQUESTS = 50
PRIOR_RATE = 0.01
AIMED_WITHIN = (0.25, 0.50)
"""Where a latency's promotion bets aim, wherever the past lies: so aimed they win at every share that both arms have in
common, also once stable has drifted away from its quantiles. Aimed at 0.01 they lose while 0.2 of both are above."""
LEAST_PAST = 30
"""Fewer requests of a tenant's own past, and the past of all tenants stands in."""


@dataclass(frozen=True)
class Rules:
    """What holds for one look at one stratum."""

    policy: LivePolicy
    edges: Mapping[str, tuple[int, ...]]
    in_play: float
    """The share of wealth whose tests have started: a new stratum has all of it, the observation none."""
    concurrent: bool
    began: float
    mixed: bool = False
    """True where tenants share a stratum: their arms need not be alike, so the margin is wider."""

    def margin(self, name: str) -> float:
        """Return how much worse a rate may be; a latency's margin is in its edges already."""
        own = self.policy.margin if is_rate(name) else 0.0
        return own + (self.policy.historical_margin if self.mixed else 0.0)


def is_rate(name: str) -> bool:
    """Return whether a statistic (or metric) is a rate of bad requests, not a share of slow ones."""
    return name in ("errors", "answers")


def statistic_names(metric: str) -> tuple[str, ...]:
    """Return the statistics that a metric is made of: one rate, or a share above each latency quantile."""
    return (metric,) if is_rate(metric) else tuple(f"{metric}-p{quantile * 100:.0f}" for quantile in QUANTILES)


def alternatives(name: str) -> tuple[float, ...]:
    """Return the odds that a statistic's tests bet on."""
    return sequential.ODDS if is_rate(name) else sequential.FEW_ODDS


def prior(name: str) -> tuple[float, ...]:
    """Return how wealth is spread over those odds at the start."""
    return sequential.PRIOR if is_rate(name) else sequential.FEW_PRIOR


def usual_rate(name: str) -> float:
    """Return the rate to expect before anything was seen: a quantile's edge is exceeded by what lies above it."""
    return PRIOR_RATE if is_rate(name) else 1 - int(name.rpartition("-p")[2]) / 100


def promotion_margin(name: str, policy: LivePolicy) -> float:
    """Return how much worse, as a share of requests, a statistic must be shown not to be before a step is taken."""
    return policy.promote_margin if is_rate(name) else policy.promote_latency_margin


def aim(statistic: Statistic, expected: float) -> float:
    """Return stable's rate as the past tells it, smoothed; it aims the bets and cannot make them invalid."""
    count, bad = statistic.past
    return (bad + PRIOR_REQUESTS * expected) / (count + PRIOR_REQUESTS)


def promotion_aim(name: str, rate: float) -> float:
    """Return what the promotion bets of a statistic expect of both arms, where stable's past says `rate`."""
    return rate if is_rate(name) else min(max(rate, AIMED_WITHIN[0]), AIMED_WITHIN[1])


def after_block(old: Statistic, block: Block, rate: float, name: str, rules: Rules, *, promotes: bool) -> Statistic:
    """Return a statistic after a block that bet with stable's rate of the past, which the block joins afterwards."""
    policy = rules.policy
    changed = _grown(
        old,
        name,
        rules,
        soft=sequential.harm_factors(block, rate, rules.margin(name), alternatives(name)),
        hard=sequential.harm_factors(block, rate, policy.hard_margin, sequential.HARD_ODDS) if is_rate(name) else None,
    )
    if promotes:
        expected, margin = promotion_aim(name, rate), promotion_margin(name, policy)
        factors = sequential.promotion_factors(block, expected, margin)
        changed["promote"] = sequential.grown(old.promote or sequential.EQUAL_PRIOR, factors)
    changed |= {
        "past": _with_past(old, block.stable, block.stable_bad),
        "candidate": (old.candidate[0] + block.candidate, old.candidate[1] + block.candidate_bad),
        "stable": (old.stable[0] + block.stable, old.stable[1] + block.stable_bad),
    }
    return old.model_copy(update=changed)


def after_history(old: Statistic, outcome: tuple[int, int], past: Statistic, name: str, rules: Rules) -> Statistic:
    """Return a statistic after candidate requests beside which nothing ran: stable's past and a wider margin judge."""
    count, bad = outcome
    known, known_bad = past.past
    limit = sequential.upper_bound(known_bad, known) + rules.policy.historical_margin
    hard = limit + rules.policy.hard_margin
    changed = _grown(
        old,
        name,
        rules,
        soft=sequential.historical_factors(count, bad, limit + rules.margin(name), alternatives(name)),
        hard=sequential.historical_factors(count, bad, hard, sequential.HARD_ODDS) if is_rate(name) else None,
    )
    changed["candidate"] = (old.candidate[0] + count, old.candidate[1] + bad)
    return old.model_copy(update=changed)


def _grown(
    old: Statistic, name: str, rules: Rules, *, soft: tuple[float, ...], hard: tuple[float, ...] | None
) -> dict[str, object]:
    """Return the tiers after their bets; one that was never touched holds what all processes started with."""
    fresh = sequential.staked(prior(name), rules.in_play)
    start = old.soft_start if old.soft else rules.in_play
    grown = sequential.grown(old.soft or fresh, soft, start * rules.policy.cap)
    changed: dict[str, object] = {"soft": grown, "soft_start": start}
    if hard is not None:
        fresh = sequential.staked(sequential.HARD_PRIOR, rules.in_play)
        changed["hard"] = sequential.grown(old.hard or fresh, hard)
    return changed


def _with_past(old: Statistic, count: int, bad: int) -> tuple[float, float]:
    seen = (old.past[0] + count, old.past[1] + bad)
    return seen if seen[0] <= FADE_AT else (seen[0] / 2, seen[1] / 2)


def remembering(old: Statistic, count: int, bad: int) -> Statistic:
    """Return a statistic whose past has more of stable's requests; nothing is judged by them."""
    return old.model_copy(update={"past": _with_past(old, count, bad)})


def has_past(statistic: Statistic | None) -> bool:
    """Return whether stable's past is long enough to judge by."""
    return statistic is not None and statistic.past[0] >= LEAST_PAST


def restarted(old: Statistic, name: str, mass: float, *, new_step: bool) -> Statistic:
    """Return a statistic with new processes of so much wealth beside the old ones; a step's counts begin at nothing."""
    changed: dict[str, object] = {"promote": (), "candidate": (0, 0), "stable": (0, 0)} if new_step else {}
    if old.soft:
        soft = sequential.topped_up(old.soft, prior(name), mass)
        changed |= {"soft": soft, "soft_start": sum(soft)}
    if old.hard:
        changed["hard"] = sequential.topped_up(old.hard, sequential.HARD_PRIOR, mass)
    return old.model_copy(update=changed)
