"""Whether the candidate computes the parent's model at all: how likely both find the same few texts.

A kernel that reads weights in another order, or a damaged scale, loads, reports ready and answers; only its numbers are
garbage. So both sides are asked how likely each token of the same texts is. Quantization costs a little, garbage all.

Here: tokens of both sides → a verdict, one sentence, the figures. Not here: asking an engine for them, which texts
(`evidence.texts`), how good the answers are (the quality gate: this check passes what merely is not garbage).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Annotated

from pydantic import Field

from ..api.base import ApiObject
from .report import NumericReport, Verdict
from .texts import TEXTS

MOST_NATS_PER_TOKEN = 30.0
"""Surprise at one token is counted up to here: engines print anything from -9999 to -3.4e38 for a vanished one."""
UNNUMBERED_PERCENT = 10
"""One NaN makes a whole row of logits NaN; above this share of tokens it is no accident of one."""
WAY_OUT = (
    "Its weights may be packed for another layout, a scale be damaged, or the kernel be wrong: make the artifact"
    " again, or try another kernel or version of the engine."
)


class NumericCheck(ApiObject):
    """What both sides are asked about, and by which measure; all of it is part of the verdict's key."""

    texts: Annotated[tuple[str, ...], Field(min_length=1, max_length=64)] = TEXTS
    times: Annotated[int, Field(ge=2)] = 10
    """Above so many times the parent's perplexity the candidate computes something else. Round-to-nearest 4 bits cost
    a model of 135M parameters 2.5 on these texts, the most published for 8B is 4.1 (IQ1_M); one tensor with scales ten
    times too large costs 42 and more, weights read in another order millions."""
    fewest_tokens: Annotated[int, Field(ge=1)] = 24
    """Fewer say nothing."""
    parent_perplexity: Annotated[int, Field(ge=2)] = 1_000
    """Above it the parent itself does not know these texts, and the same damage would hardly show."""
    seconds: Annotated[int, Field(ge=1, le=3_600)] = 60


@dataclass(frozen=True)
class Token:
    """One token of a text as one side sees it."""

    text: str
    logprob: float | None
    """None where the engine printed something that is no log-probability: NaN, null, or above 0."""
    likeliest: tuple[str, ...] = ()
    """What the side itself would rather have said there, best first."""


@dataclass(frozen=True)
class TextPair:
    """What both sides make of the same text."""

    parent: tuple[Token, ...]
    candidate: tuple[Token, ...]


@dataclass(frozen=True)
class NumericVerdict:
    """What the numbers show; Inconclusive is unknown here, which neither passes nor refuses."""

    verdict: Verdict
    message: str
    """A whole sentence when it failed, else a part of one."""
    report: NumericReport | None = None


def unknown(why: str) -> NumericVerdict:
    """Return that the numbers could not be compared, and why."""
    return NumericVerdict(Verdict.INCONCLUSIVE, f"the numbers ({why})")


def garbage(what: str, report: NumericReport | None = None) -> NumericVerdict:
    """Return that the candidate does not compute the parent's model, and what may be done."""
    return NumericVerdict(
        Verdict.FAILED, f"The candidate answers, but not as the parent's model: {what}. {WAY_OUT}", report
    )


def judge_numbers(
    pairs: Sequence[TextPair], check: NumericCheck, *, way: str = "", at_least: bool = False
) -> NumericVerdict:
    """Return what the same texts under both sides show.

    `at_least` says that a token that the candidate did not list counts as its least listed one: then it is no more
    likely than that, and the candidate's perplexity is a lower bound.
    """
    if missing := _unnumbered(pairs):
        return missing
    usable = [pair for pair in map(_numbered, pairs) if pair.parent and pair.candidate]
    report = _figures(usable, way)
    if report.tokens < check.fewest_tokens:
        return replace(unknown(f"only {report.tokens} tokens of {check.fewest_tokens} were told"), report=report)
    if report.parent_perplexity > check.parent_perplexity:
        why = f"the parent itself finds the texts unlikely, with a perplexity of {_number(report.parent_perplexity)}"
        return replace(unknown(why), report=report)
    told = _told(report, at_least=at_least)
    if report.candidate_perplexity > check.times * report.parent_perplexity:
        return garbage(f"{told}; that is over {check.times} times, and 4-bit weights cost under 3", report)
    return NumericVerdict(Verdict.PASSED, told, report)


def _unnumbered(pairs: Sequence[TextPair]) -> NumericVerdict | None:
    """Return what becomes of tokens to which a side gave no number; None when there are hardly any."""
    parent = [token.logprob is None for pair in pairs for token in pair.parent]
    candidate = [token.logprob is None for pair in pairs for token in pair.candidate]
    if 100 * sum(parent) > UNNUMBERED_PERCENT * len(parent):
        return unknown(f"the parent gave no number for {sum(parent)} of {len(parent)} tokens")
    if 100 * sum(candidate) > UNNUMBERED_PERCENT * len(candidate):
        return garbage(f"it gave no number for {sum(candidate)} of {len(candidate)} tokens, the parent did")
    return None


def _numbered(pair: TextPair) -> TextPair:
    """Return the tokens that may be compared: where texts are cut alike, those to which both gave a number."""
    if _cut_alike(pair):
        both = [
            (theirs, ours)
            for theirs, ours in zip(pair.parent, pair.candidate, strict=True)
            if theirs.logprob is not None and ours.logprob is not None
        ]
        return TextPair(tuple(theirs for theirs, _ in both), tuple(ours for _, ours in both))
    whole = all(token.logprob is not None for token in chain(pair.parent, pair.candidate))
    return pair if whole else TextPair((), ())


def _cut_alike(pair: TextPair) -> bool:
    return [token.text for token in pair.parent] == [token.text for token in pair.candidate]


def _figures(pairs: Sequence[TextPair], way: str) -> NumericReport:
    """Return both perplexities per token of the parent's, however the candidate cuts the text: it is the same text."""
    tokens = sum(len(pair.parent) for pair in pairs)
    if not tokens:
        return NumericReport(way=way)
    parent = sum(_nats(pair.parent) for pair in pairs) / tokens
    candidate = sum(_nats(pair.candidate) for pair in pairs) / tokens
    alike = [pair for pair in pairs if _cut_alike(pair)]
    told = [
        (theirs.likeliest, ours.likeliest)
        for pair in alike
        for theirs, ours in zip(pair.parent, pair.candidate, strict=True)
        if theirs.likeliest and ours.likeliest
    ]
    same = sum(theirs[0] == ours[0] for theirs, ours in told)
    shared = sum(len(set(theirs) & set(ours)) / len(set(theirs)) for theirs, ours in told)
    return NumericReport(
        way=way,
        texts=len(pairs),
        tokens=tokens,
        parent_perplexity=round(math.exp(parent), 2),
        candidate_perplexity=round(math.exp(candidate), 2),
        likeliest_compared=len(told),
        likeliest_same=same,
        overlap_percent=round(100 * shared / len(told), 1) if told else 0,
    )


def _nats(tokens: Sequence[Token]) -> float:
    return sum(min(MOST_NATS_PER_TOKEN, max(0.0, -token.logprob)) for token in tokens if token.logprob is not None)


def _told(report: NumericReport, *, at_least: bool) -> str:
    """Return the figures as part of a sentence."""
    bound = "at least " if at_least and report.candidate_perplexity > report.parent_perplexity else ""
    told = (
        f"perplexity of {report.tokens} tokens {_number(report.parent_perplexity)} at the parent, "
        f"{bound}{_number(report.candidate_perplexity)} at the candidate"
    )
    if not report.likeliest_compared:
        return told
    return f"{told}, the likeliest token the same for {report.likeliest_same} of {report.likeliest_compared}"


def _number(perplexity: float) -> str:
    return f"{perplexity:,.0f}" if perplexity >= 100 else f"{perplexity:.1f}"
