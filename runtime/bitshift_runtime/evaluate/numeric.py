"""Asking both sides how likely the same few texts are, in the best way that both know.

Here: the ways, and what becomes of a side that knows none. Not here: the questions (`logprobs`), the measure
(`bitshift_core.evidence.numeric`).
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from bitshift_core.evidence.numeric import (
    NumericCheck,
    NumericVerdict,
    TextPair,
    Token,
    garbage,
    judge_numbers,
    unknown,
)

from .endpoint import Endpoint, UnreachableError
from .logprobs import Said, continue_text, first_of_answer, next_token, score_text

CONTINUED_TOKENS = 8
"""So much of what the parent itself would say is judged with each text."""
CUTS_PERCENT = (30, 50, 70, 90)
"""Where a text is cut, when only the token after a text can be asked for."""
SPACE = re.compile(r"\s")
LONG_WORD = 12

CLOSED_AFTER = 4
"""So many questions without numbers from both, and others of their kind bring none either."""
COMPILES = "vLLM compiles for it and ends where its image has no C++ compiler, TORCHDYNAMO_DISABLE=1 does without"
BROKEN_PERCENT = 10
"""An engine that breaks at more of the questions that the parent's answers breaks at them by itself."""

Asking = Callable[[Endpoint, str], Awaitable[Said]]
Answers = AsyncGenerator[tuple[Said, Said]]
"""What the parent said and what the candidate did, question by question."""


@dataclass
class Heard:
    """What one way of asking has brought so far."""

    way: str = ""
    pairs: list[TextPair] = field(default_factory=list)
    asked: int = 0
    bounded: bool = False
    """True where the candidate did not list the parent's token, which is then at most as likely as its last one."""
    parent_failures: list[str] = field(default_factory=list)
    candidate_failures: list[str] = field(default_factory=list)
    """Only of questions to which the parent had an answer."""
    broken: list[str] = field(default_factory=list)
    """Those of them at which the candidate's engine failed."""

    def take(self, theirs: Said, ours: Said) -> None:
        """Take both answers to one question."""
        self.asked += 1
        if theirs.failure:
            self.parent_failures.append(theirs.failure)
        elif ours.failure:
            self.candidate_failures.append(ours.failure)
            self.broken += [ours.failure] * ours.broke
        else:
            pair, bounded = _pair(theirs, ours)
            self.pairs.append(pair)
            self.bounded |= bounded

    @property
    def broke(self) -> bool:
        """Say whether the candidate's engine fails at what the parent's does: refusing to score texts is no failure."""
        answered = self.asked - len(self.parent_failures)
        return self.way != "Texts" and 100 * len(self.broken) > BROKEN_PERCENT * answered and not self.parent_failures


async def check_numbers(check: NumericCheck, candidate: Endpoint, parent: Endpoint) -> NumericVerdict:
    """Return what the first way of asking shows that both sides know; unknown, and why, where they share none.

    Texts are put to both sides at once, one after the other: a fuller batch would change the numbers.
    """
    heard = Heard()
    deadline = asyncio.get_running_loop().time() + check.seconds
    for way, asking in WAYS:
        heard = Heard(way)
        try:
            async with asyncio.timeout_at(deadline):
                await _ask_all(heard, asking(check, candidate, parent))
        except TimeoutError:
            break
        except UnreachableError as error:
            return unknown(f"{str(error).removesuffix('.')} after a question for log-probabilities: {COMPILES}")
        if heard.pairs or heard.broke:
            break
    return _concluded(heard, check)


async def _ask_all(heard: Heard, answers: Answers) -> None:
    """Take answers as they come; what the first questions find closed is not asked to the end."""
    async with aclosing(answers):
        async for theirs, ours in answers:
            heard.take(theirs, ours)
            if not heard.pairs and heard.asked >= CLOSED_AFTER:
                return


def _concluded(heard: Heard, check: NumericCheck) -> NumericVerdict:
    """Return the judgement, or what it means that there is nothing to judge.

    An engine that refuses the question knows none. One that breaks at it where the parent answers has logits that are
    no numbers: NaN becomes HTTP 500, because JSON has no word for it.
    """
    if heard.broke:
        kinds, answered = " and ".join(sorted(set(heard.broken))), heard.asked - len(heard.parent_failures)
        times = f"{len(heard.broken)} times of {answered}"
        return garbage(f"asked for log-probabilities it ended with {kinds} {times}, the parent never did")
    if heard.pairs:
        return judge_numbers(heard.pairs, check, way=heard.way, at_least=heard.bounded)
    for side, failures in (("candidate", heard.candidate_failures), ("parent", heard.parent_failures)):
        if failures:
            return unknown(f"the {side}'s engine tells no log-probabilities: {failures[0]}")
    return unknown(f"no answer within {check.seconds} s")


def _pair(theirs: Said, ours: Said) -> tuple[TextPair, bool]:
    """Return both sides' tokens; of next tokens, what each side thinks of the parent's."""
    if theirs.listed is None or ours.listed is None:
        return TextPair(theirs.tokens, ours.tokens), False
    (token,) = theirs.tokens
    likeliest = ours.tokens[0].likeliest
    if token.text in ours.listed:
        return TextPair(theirs.tokens, (Token(token.text, ours.listed[token.text], likeliest),)), False
    numbers = [number for number in ours.listed.values() if number is not None]
    bound = min(numbers) if len(numbers) == len(ours.listed) else None
    return TextPair(theirs.tokens, (Token(token.text, bound, likeliest),)), True


async def _texts(check: NumericCheck, candidate: Endpoint, parent: Endpoint) -> Answers:
    """Yield how likely both find each text and what the parent would go on with."""
    for text in check.texts:
        whole = text + await continue_text(parent, text, CONTINUED_TOKENS)
        theirs, ours = await _both(score_text, parent, candidate, whole)
        yield theirs, ours
        if theirs.failure or ours.failure:
            return


async def _next_tokens(check: NumericCheck, candidate: Endpoint, parent: Endpoint) -> Answers:
    async for said in _cut_texts(next_token, check, candidate, parent):
        yield said


async def _answers(check: NumericCheck, candidate: Endpoint, parent: Endpoint) -> Answers:
    async for said in _cut_texts(first_of_answer, check, candidate, parent):
        yield said


async def _cut_texts(ask: Asking, check: NumericCheck, candidate: Endpoint, parent: Endpoint) -> Answers:
    """Yield what both would say after the beginnings of each text, longer ones last: engines keep what they read."""
    for text in check.texts:
        for beginning in beginnings(text):
            yield await _both(ask, parent, candidate, beginning)


async def _both(ask: Asking, parent: Endpoint, candidate: Endpoint, text: str) -> tuple[Said, Said]:
    theirs, ours = await asyncio.gather(ask(parent, text), ask(candidate, text))
    return theirs, ours


def beginnings(text: str) -> tuple[str, ...]:
    """Return beginnings of a text that end with a word where words are spaced, and differ."""
    ends: list[int] = []
    for percent in CUTS_PERCENT:
        at = max(1, len(text) * percent // 100)
        word_end = SPACE.search(text, at, at + LONG_WORD) or SPACE.search(text, max(1, at - LONG_WORD), at)
        ends.append(word_end.start() if word_end else at)
    return tuple(text[:end] for end in dict.fromkeys(ends))


WAYS: tuple[tuple[str, Callable[[NumericCheck, Endpoint, Endpoint], Answers]], ...] = (
    ("Texts", _texts),
    ("NextTokens", _next_tokens),
    ("Answers", _answers),
)
