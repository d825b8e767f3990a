"""Putting one suite's items to candidate and parent, pair by pair, until the evidence is enough.

Here: order, concurrency, deadline and early stop. Not here: what a pair is worth (`scoring`), what pairs prove
(`bitshift_core.evidence.paired`).
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bitshift_core.api.catalogue import Item, Scorer
from bitshift_core.evidence.paired import Agreement, Scores, agreement

from .config import SuiteConfig
from .endpoint import Answer, Endpoint
from .scoring import score, words


@dataclass(frozen=True)
class Pair:
    """One item's two scores; texts are gone by now."""

    item: str
    outcome: Scores | Agreement
    """The parent's and the candidate's score; of Agreement, tokens that agree and tokens that were compared."""
    critical: bool = False
    parent_failure: str = ""
    candidate_failure: str = ""


@dataclass
class Asked:
    """What a suite has brought so far."""

    suite: SuiteConfig
    planned: int
    critical: int = 0
    """Critical items, which are asked first."""
    pairs: list[Pair] = field(default_factory=list)
    out_of_time: bool = False

    @property
    def judged(self) -> list[Pair]:
        """Return the pairs that count: an item to which the parent has no answer measures nothing."""
        return [pair for pair in self.pairs if not pair.parent_failure]

    def failures(self, side: str) -> list[str]:
        """Return how each request that failed on a side did."""
        found = (pair.candidate_failure if side == "candidate" else pair.parent_failure for pair in self.pairs)
        return [failure for failure in found if failure]


async def ask_suite(
    asked: Asked,
    items: Sequence[Item],
    sides: tuple[Endpoint, Endpoint],
    *,
    pairs_in_flight: int,
    deadline: float,
    enough: Callable[[Asked], bool],
    progress: Callable[[Asked], None],
) -> None:
    """Fill `asked` item by item until it is enough, the items are all asked, or the deadline passes.

    Pairs are taken in the order in which they were asked: taking the quickest first would favour short answers.
    """
    running = in_order(
        (ask_pair(asked.suite, item, sides) for item in shuffled(asked.suite.name, items)), pairs_in_flight
    )
    try:
        async with asyncio.timeout_at(deadline):
            async for pair in running:
                asked.pairs.append(pair)
                progress(asked)
                if enough(asked):
                    return
    except TimeoutError:
        asked.out_of_time = True
    finally:
        await running.aclose()


async def ask_pair(suite: SuiteConfig, item: Item, sides: tuple[Endpoint, Endpoint]) -> Pair:
    """Ask both sides the same thing at the same time, so that whatever else the machine does hits both."""
    messages, parameters = request_of(suite, item)
    candidate, parent = await asyncio.gather(*(side.chat(messages, **parameters) for side in sides))
    outcome = (
        _agreed(parent, candidate) if suite.scorer is Scorer.AGREEMENT else _scores(suite, item, parent, candidate)
    )
    return Pair(item.name, outcome, item.critical, parent.failure, candidate.failure)


def request_of(suite: SuiteConfig, item: Item) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """Return the messages and parameters of an item, the same for both sides."""
    messages = [{"role": "system", "content": suite.system_prompt}] if suite.system_prompt else []
    parameters: dict[str, Any] = {"max_tokens": suite.max_tokens}
    if suite.scorer is Scorer.JSON_SCHEMA and suite.constrained:
        schema = {"name": "answer", "schema": suite.json_schema, "strict": True}
        parameters["response_format"] = {"type": "json_schema", "json_schema": schema}
    return [*messages, {"role": "user", "content": item.prompt}], parameters


def _scores(suite: SuiteConfig, item: Item, *answers: Answer) -> Scores:
    """Return each answer's score; a failed request scores nothing."""
    parent, candidate = (
        0.0 if answer.failure else score(suite.scorer, item, answer.text, suite.json_schema) for answer in answers
    )
    return parent, candidate


def _agreed(parent: Answer, candidate: Answer) -> Agreement:
    """Return how far the answers go together; a failed request agrees in none of the parent's words."""
    theirs = words(parent.text)
    return (0, len(theirs) + 1) if candidate.failure else agreement(theirs, words(candidate.text))


def shuffled(name: str, items: Sequence[Item]) -> list[Item]:
    """Return critical items first, the others in an order that no theme of theirs runs through; always the same."""
    mixed = random.Random(name).sample(list(items), len(items))
    return sorted(mixed, key=lambda item: not item.critical)


async def in_order(pairs: Iterable[Any], at_once: int) -> AsyncGenerator[Pair, None]:
    """Yield the results of coroutines in their order with at most so many running; the rest is never started."""
    coroutines: Iterator[Any] = iter(pairs)
    running: deque[asyncio.Task[Pair]] = deque()
    try:
        while True:
            while len(running) < at_once and (coroutine := next(coroutines, None)) is not None:
                running.append(asyncio.ensure_future(coroutine))
            if not running:
                return
            yield await running[0]
            running.popleft()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
