"""When a suite has been asked enough.

Here: what of a suite's pairs goes to the tests, and whether they have decided. Not here: the tests
(`bitshift_core.evidence`).
"""

import math

from bitshift_core.api.catalogue import Scorer
from bitshift_core.evidence.gates import SuiteOutcome
from bitshift_core.evidence.paired import agreement_claim, decide, scores_claim
from bitshift_core.evidence.report import Verdict

from .asking import Asked

LOOKS_PER_SUITE = 200
"""The tests may be asked after every item, but each time they read all items: rarer as a suite grows."""
FEWEST_TO_PASS = 20
"""Long answers that agree may prove a margin within five prompts; a user's confidence wants more kinds of them."""
FEWEST_FOR_FLOOR = 20
FLOOR_DEVIATIONS = 3
"""So many standard deviations below the floor, more items will not lift the parent above it."""


def outcome_of(asked: Asked) -> SuiteOutcome:
    """Return a suite's pairs as the tests take them; an item to which the parent has no answer measures nothing."""
    outcomes = tuple(pair.outcome for pair in asked.judged)
    compared = asked.suite.scorer is Scorer.AGREEMENT
    return SuiteOutcome(
        name=asked.suite.name,
        scorer=asked.suite.scorer,
        margin_points=asked.suite.margin_points,
        floor_percent=asked.suite.floor_percent,
        scores=() if compared else outcomes,
        agreements=tuple((round(agreed), round(of)) for agreed, of in outcomes) if compared else (),
        parent_unanswered=len(asked.pairs) - len(outcomes),
        critical_lost=critical_lost(asked),
    )


def critical_lost(asked: Asked) -> tuple[str, ...]:
    """Return the critical items that the parent holds and the candidate does not."""
    if asked.suite.scorer is Scorer.AGREEMENT:
        return ()
    return tuple(pair.item for pair in asked.judged if pair.critical and pair.outcome[0] > pair.outcome[1])


def is_enough(asked: Asked, error_rate_ppm: int) -> bool:
    """Say whether more items of a suite would change nothing: every critical one asked, and the rest decided."""
    if critical_lost(asked):
        return True
    count = len(asked.pairs)
    if count < asked.critical or count % max(1, count // LOOKS_PER_SUITE):
        return False
    if below_floor(asked):
        return hopelessly_below_floor(asked)
    verdict = decided(asked, error_rate_ppm)
    return verdict is Verdict.FAILED or (verdict is Verdict.PASSED and count >= FEWEST_TO_PASS)


def is_refused(asked: Asked, error_rate_ppm: int) -> bool:
    """Say whether a suite refuses the candidate, so that no other needs to be asked."""
    if critical_lost(asked):
        return True
    return not below_floor(asked) and decided(asked, error_rate_ppm) is Verdict.FAILED


def decided(asked: Asked, error_rate_ppm: int) -> Verdict:
    """Return what the pairs so far prove."""
    suite, outcomes = asked.suite, [pair.outcome for pair in asked.judged]
    claim = agreement_claim if suite.scorer is Scorer.AGREEMENT else scores_claim
    return decide(outcomes, claim(suite.margin_points, error_rate_ppm))[0]


def below_floor(asked: Asked) -> bool:
    """Say whether the parent itself scores below the suite's floor: then a drop cannot be seen."""
    return _above_floor_points(asked) < 0


def hopelessly_below_floor(asked: Asked) -> bool:
    """Say whether the parent is so far below the floor that it is no bad luck."""
    count = len(asked.judged)
    return count >= FEWEST_FOR_FLOOR and _above_floor_points(asked) < -FLOOR_DEVIATIONS * 50 / math.sqrt(count)


def _above_floor_points(asked: Asked) -> float:
    if asked.suite.scorer is Scorer.AGREEMENT or not asked.judged:
        return 0.0
    share = sum(pair.outcome[0] for pair in asked.judged) / len(asked.judged)
    return 100 * share - asked.suite.floor_percent
