"""The quality gate: every suite put to both sides, ended as soon as it is decided.

Here: which suite is asked when, progress, what the report says besides. Not here: asking (`asking`), when it is enough
(`stopping`), the tests (`bitshift_core.evidence`).
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click

from bitshift_core.api.catalogue import Item, Scorer
from bitshift_core.evidence.gates import judge_quality
from bitshift_core.evidence.report import GateReport, Verdict

from .asking import Asked, ask_suite
from .config import ConfigError, GateConfig, SuiteConfig, items_of
from .endpoint import Endpoint
from .scoring import fault
from .stopping import is_enough, is_refused, outcome_of

PROGRESS_SECONDS = 5.0


async def check_quality(
    config: GateConfig, candidate: Endpoint, parent: Endpoint, items_directory: Path
) -> tuple[GateReport, tuple[Asked, ...]]:
    """Return the quality gate's report and each suite's scores; a suite that refuses the candidate ends the gate."""
    try:
        planned = [(suite, usable_items(suite, items_directory)) for suite in config.suites]
    except ConfigError as error:
        message, verdict = str(error), Verdict.INCONCLUSIVE
        return GateReport(gate="quality", revision=config.revision, verdict=verdict, message=message), ()
    done = await ask_suites(config, planned, (candidate, parent))
    report = judge_quality(config.revision, [outcome_of(asked) for asked in done], config.error_rate_ppm)
    circumstances = (*not_asked(config, done), *out_of_time(config, done), *failures(done, (candidate, parent)))
    return report.model_copy(update={"message": " ".join((report.message, *circumstances))}), done


def usable_items(suite: SuiteConfig, items_directory: Path) -> tuple[Item, ...]:
    """Return a suite's items, refused before anything is asked when the suite itself is at fault."""
    items = items_of(suite, items_directory)
    if wrong := fault(suite.scorer, items, suite.json_schema):
        raise ConfigError(f"Suite '{suite.name}' cannot be scored: {wrong}.")
    return items


async def ask_suites(
    config: GateConfig, planned: Sequence[tuple[SuiteConfig, tuple[Item, ...]]], sides: tuple[Endpoint, Endpoint]
) -> tuple[Asked, ...]:
    """Return the suites that were asked, in their order, the last of which may have refused the candidate."""
    deadline = asyncio.get_running_loop().time() + config.max_seconds
    done: list[Asked] = []
    for suite, items in planned:
        asked = Asked(suite, len(items), critical=sum(item.critical for item in items))
        done.append(asked)
        await ask_suite(
            asked,
            items,
            sides,
            pairs_in_flight=config.pairs_in_flight,
            deadline=deadline,
            enough=lambda asked: is_enough(asked, config.error_rate_ppm),
            progress=Progress(),
        )
        click.echo(progress_line(asked, ended=True))
        if is_refused(asked, config.error_rate_ppm):
            break
    return tuple(done)


class Progress:
    """A line every few seconds while a suite is asked."""

    def __init__(self) -> None:
        self._printed_at = asyncio.get_running_loop().time()

    def __call__(self, asked: Asked) -> None:
        """Print how far a suite is, unless that was said just now."""
        now = asyncio.get_running_loop().time()
        if now - self._printed_at >= PROGRESS_SECONDS:
            self._printed_at = now
            click.echo(progress_line(asked))


def progress_line(asked: Asked, *, ended: bool = False) -> str:
    """Return a suite's counts: no names, no texts."""
    one, other = (round(sum(pair.outcome[side] for pair in asked.judged)) for side in (0, 1))
    compared = asked.suite.scorer is Scorer.AGREEMENT
    scored = f"{one} of {other} words agree" if compared else f"parent right in {one}, candidate in {other}"
    state = "ended" if ended else "asking"
    return f"{asked.suite.name}: {state}, {len(asked.pairs)}/{asked.planned} pairs, {scored}"


def not_asked(config: GateConfig, done: Sequence[Asked]) -> list[str]:
    """Return how many suites a refusal has spared."""
    left = len(config.suites) - len(done)
    return [f"{left} more {'suite was' if left == 1 else 'suites were'} not asked."] if left else []


def out_of_time(config: GateConfig, done: Sequence[Asked]) -> list[str]:
    """Return what the deadline cut short."""
    if not any(asked.out_of_time for asked in done):
        return []
    count, planned = sum(len(asked.pairs) for asked in done), sum(asked.planned for asked in done)
    return [f"The {config.max_seconds} s ran out after {count} of {planned} items; raise `gates.quality.maxSeconds`."]


def failures(done: Sequence[Asked], sides: tuple[Endpoint, Endpoint]) -> list[str]:
    """Return which requests failed on which side, and how often a connection had to be tried again."""
    said: list[str] = []
    for side in sides:
        kinds = [failure for asked in done for failure in asked.failures(side.name)]
        if kinds:
            counted = ", ".join(f"{kinds.count(kind)} x {kind}" for kind in sorted(set(kinds)))
            said.append(f"Requests that failed on the {side.name}: {counted}.")
        if side.connect_retries:
            said.append(f"Connections to the {side.name} were tried again {side.connect_retries} times.")
    return said
