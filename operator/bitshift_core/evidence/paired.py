"""Candidate against parent on the same items: not worse by the margin, worse, or too few items to tell.

Each item gives D = candidate's score - parent's, in [-1, 1]. For "the drop is at least m" (E[D] <= -m) every stake
λ in [0, 1/(1-m)) gives a fair game Π (1 + λ (D + m)); the mean of a few such games reaches 1/α with probability <= α,
at whatever item one stops. Passed is the end of that claim, Failed the end of the opposite one, "there is no drop".

Here: the test, and how far from enough the items are. Not here: scoring answers, several suites (`evidence.gates`).
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .report import Verdict

Scores = tuple[float, float]
"""The parent's and the candidate's score of one item, each from 0 to 1; a bool is a score."""
Agreement = tuple[int, int]
"""Of one item: tokens that agree with the parent's, and tokens that were compared."""

HORIZON_TOKENS = 32
STAKES = (0.1, 0.2, 0.35, 0.5, 0.7, 0.99)
"""Parts of the largest stake; large ones are right where few items flip, small ones where many do."""
STAKE_WEIGHTS = (0.1, 0.15, 0.15, 0.15, 0.15, 0.3)
PASSING_SCORE = 0.5
LARGEST_MARGIN = 0.99
MOST_MISSING = 100_000


@dataclass(frozen=True)
class PairedVerdict:
    """What a suite's pairs prove, and their numbers."""

    verdict: Verdict
    reason: str
    items: int
    parent_passed: int
    candidate_passed: int
    lost: int
    won: int
    drop_points: float
    certifiable_margin_points: float
    """The smallest margin that these items certify; 100 when none."""
    missing_items: int
    """How many more items would probably pass it; 0 when it passed, failed, or more of the same would not help."""
    message: str


@dataclass(frozen=True)
class Claim:
    """What is to be shown: the drop is below `margin`, or it is above `harmless`; shares, not points."""

    gain: Callable[[tuple[float, float], float], float]
    """What an item wins for the claim that the drop is below a margin; never under margin - 1."""
    margin: float
    harmless: float
    largest_gain: float
    """The most an item can win against "the drop is above `harmless`"."""
    error_rate: float

    @property
    def threshold(self) -> float:
        """Return the wealth that ends a claim."""
        return 1 / self.error_rate


def score_gain(item: tuple[float, float], margin: float) -> float:
    """Return candidate's score less parent's, plus the margin: negative on average where the drop is above it."""
    return item[1] - item[0] + margin


def agreement_gain(item: tuple[float, float], margin: float) -> float:
    """Return by how many tokens more than 1 - margin of those compared an item agrees; no answer is one wrong token."""
    return max(margin - 1, item[0] - (1 - margin) * item[1])


def judge_pairs(
    outcomes: Sequence[Scores], margin_points: float, error_rate_ppm: int, floor_percent: float = 0
) -> PairedVerdict:
    """Return the verdict on (parent, candidate) scores in the order in which they were asked.

    A candidate as good as the parent fails, and one that is worse by the margin passes, at most at the error rate each.
    Failed also asks that the drop on these items is above the margin: a small drop that is proven is still tolerated.
    """
    claim = scores_claim(margin_points, error_rate_ppm)
    found = _scores_numbers(outcomes, claim)
    if outcomes and 100 * sum(parent for parent, _ in outcomes) / len(outcomes) < floor_percent:
        sentence = (
            f"The parent is below the floor of {floor_percent:g} %: this can neither pass nor refuse a candidate."
        )
        return replace(
            found, verdict=Verdict.INCONCLUSIVE, reason="Uninformative", message=f"{found.message} {sentence}"
        )
    return _concluded(found, outcomes, claim)


def judge_agreement(
    agreements: Sequence[Agreement], margin_points: float, error_rate_ppm: int, horizon: int = HORIZON_TOKENS
) -> PairedVerdict:
    """Return the verdict on how far answers agree with the parent's own, token by token until they part (`agreement`).

    Passed: the share of agreeing tokens is above 1 - margin. No quantized model agrees in all, so Failed is not "less
    than full agreement" but "below 1 - margin".
    """
    claim = agreement_claim(margin_points, error_rate_ppm, horizon)
    return _concluded(_agreement_numbers(agreements, claim), agreements, claim)


def scores_claim(margin_points: float, error_rate_ppm: int) -> Claim:
    """Return what `judge_pairs` tests."""
    return Claim(score_gain, min(LARGEST_MARGIN, margin_points / 100), 0.0, 1.0, error_rate_ppm / 1e6)


def agreement_claim(margin_points: float, error_rate_ppm: int, horizon: int = HORIZON_TOKENS) -> Claim:
    """Return what `judge_agreement` tests."""
    margin = min(LARGEST_MARGIN, margin_points / 100)
    return Claim(agreement_gain, margin, margin, margin * horizon, error_rate_ppm / 1e6)


def agreement(parent: Sequence[object], candidate: Sequence[object], horizon: int = HORIZON_TOKENS) -> Agreement:
    """Return how many tokens of two greedy answers agree before they part, and how many were compared.

    After the first difference the two continue different texts, so nothing later is compared. The share over many items
    hardly depends on how long answers are; that they end together counts as one more agreeing token.
    """
    ours, theirs = parent[:horizon], candidate[:horizon]
    shorter = min(len(ours), len(theirs))
    together = next((k for k in range(shorter) if ours[k] != theirs[k]), shorter)
    if together == len(ours) == len(theirs):
        ended = len(ours) < horizon
        return together + ended, together + ended
    return together, together + 1


def decide(outcomes: Sequence[tuple[float, float]], claim: Claim) -> tuple[Verdict, str]:
    """Return the first verdict that the items, in their order, arrive at; cheap enough to ask after every item."""
    passing: tuple[float, ...] = STAKE_WEIGHTS
    failing, balance = passing, 0.0
    for item in outcomes:
        gain = claim.gain(item, claim.margin)
        balance += gain
        passing = _staked(passing, gain, 1 - claim.margin)
        against = min(claim.largest_gain, claim.gain(item, claim.harmless))
        failing = _staked(failing, -against, claim.largest_gain)
        if sum(passing) >= claim.threshold:
            return Verdict.PASSED, "NotWorse"
        if sum(failing) >= claim.threshold and balance < 0:
            return Verdict.FAILED, "Worse"
    return Verdict.INCONCLUSIVE, "TooFewItems"


def _staked(wealth: Sequence[float], gain: float, worst: float) -> tuple[float, ...]:
    """Return each game's wealth after an item; `worst` is the largest loss, which no stake may reach."""
    return tuple(have * (1 + stake / worst * gain) for have, stake in zip(wealth, STAKES, strict=True))


def certifiable_margin(outcomes: Sequence[tuple[float, float]], claim: Claim) -> float:
    """Return the smallest margin, as a share, that the items certify together; 1 when there is none."""
    enough, low, high = math.log(claim.threshold), 0.0, LARGEST_MARGIN
    if _log_wealth(outcomes, replace(claim, margin=high)) < enough:
        return 1.0
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (low, middle) if _log_wealth(outcomes, replace(claim, margin=middle)) >= enough else (middle, high)
    return high


def missing_items(outcomes: Sequence[tuple[float, float]], claim: Claim) -> int:
    """Return how many more items would certify the margin if they went like those so far; 0 when they would not."""
    logs, have, enough = _log_games(outcomes, claim), len(outcomes), math.log(claim.threshold)
    if not have or max(logs) <= 0:
        return 0
    low, high = 0, MOST_MISSING
    while high - low > 1:
        middle = (low + high) // 2
        wealth = _log_mean([log * (1 + middle / have) for log in logs])
        low, high = (low, middle) if wealth >= enough else (middle, high)
    return high


def _log_games(outcomes: Sequence[tuple[float, float]], claim: Claim) -> list[float]:
    """Return the log of each game's wealth after all items; equal items are played at once."""
    counted = Counter(outcomes).items()
    gains = [(claim.gain(item, claim.margin) / (1 - claim.margin), count) for item, count in counted]
    return [sum(count * math.log(1 + stake * gain) for gain, count in gains) for stake in STAKES]


def _log_wealth(outcomes: Sequence[tuple[float, float]], claim: Claim) -> float:
    return _log_mean(_log_games(outcomes, claim))


def _log_mean(logs: Sequence[float]) -> float:
    """Return the log of the games' mean wealth, without leaving the range of a float."""
    top = max(logs)
    return top + math.log(sum(w * math.exp(log - top) for w, log in zip(STAKE_WEIGHTS, logs, strict=True)))


def _scores_numbers(outcomes: Sequence[Scores], claim: Claim) -> PairedVerdict:
    pairs = Counter((theirs >= PASSING_SCORE, ours >= PASSING_SCORE) for theirs, ours in outcomes)
    parent, candidate = pairs[True, True] + pairs[True, False], pairs[True, True] + pairs[False, True]
    lost, won = pairs[True, False], pairs[False, True]
    drop = 100 * sum(theirs - ours for theirs, ours in outcomes) / max(1, len(outcomes))
    message = (
        f"Candidate passed {candidate} of {len(outcomes)} items, the parent {parent}"
        f" ({lost} lost, {won} won: {_drop(drop)})."
    )
    return _numbers(outcomes, claim, (parent, candidate, lost, won), drop, message)


def _drop(points: float) -> str:
    return f"a gain of {-points:.1f} points" if points < 0 else f"a drop of {points:.1f} points"


def _agreement_numbers(agreements: Sequence[Agreement], claim: Claim) -> PairedVerdict:
    agreed, compared = sum(k for k, _ in agreements), sum(n for _, n in agreements)
    same = sum(k == n for k, n in agreements)
    share = agreed / compared if compared else 0.0
    message = (
        f"{100 * share:.1f} % of {compared} tokens agree with the parent's until answers part;"
        f" {same} of {len(agreements)} answers never do."
    )
    counts = (len(agreements), same, len(agreements) - same, 0)
    return _numbers(agreements, claim, counts, 100 * (1 - share), message)


def _numbers(
    outcomes: Sequence[tuple[float, float]],
    claim: Claim,
    counts: tuple[int, int, int, int],
    drop_points: float,
    message: str,
) -> PairedVerdict:
    parent_passed, candidate_passed, lost, won = counts
    return PairedVerdict(
        verdict=Verdict.INCONCLUSIVE,
        reason="TooFewItems",
        items=len(outcomes),
        parent_passed=parent_passed,
        candidate_passed=candidate_passed,
        lost=lost,
        won=won,
        drop_points=round(drop_points, 1),
        certifiable_margin_points=round(100 * certifiable_margin(outcomes, claim), 1),
        missing_items=0,
        message=message,
    )


def _concluded(found: PairedVerdict, outcomes: Sequence[tuple[float, float]], claim: Claim) -> PairedVerdict:
    """Return the numbers with the verdict, what it rests on and, where there is none, the way to one."""
    verdict, reason = decide(outcomes, claim)
    missing = missing_items(outcomes, claim) if verdict is Verdict.INCONCLUSIVE else 0
    found = replace(found, verdict=verdict, reason=reason, missing_items=missing)
    return replace(found, message=f"{found.message} {_conclusion(found, claim)}")


def _conclusion(found: PairedVerdict, claim: Claim) -> str:
    margin, certified = f"{100 * claim.margin:g} points", found.certifiable_margin_points
    if found.verdict is Verdict.PASSED:
        return f"A drop of {margin} is excluded (error rate {100 * claim.error_rate:g} %)."
    if found.verdict is Verdict.FAILED:
        return f"That is worse than the tolerated {margin} (error rate {100 * claim.error_rate:g} %)."
    certifies = f"these items certify a margin of {certified:g} points" if certified < 100 else "they certify no margin"
    if not found.missing_items:
        return f"Neither is shown: {certifies}, {margin} are tolerated, and more items like these would not pass it."
    more = f"about {found.missing_items} more items"
    return f"Too few items: {certifies}, {margin} are asked; add {more} or raise `marginPoints`."
