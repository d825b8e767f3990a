"""`python -m bitshift_runtime load`: the same arrivals to candidate and baseline, one verdict.

Here: options, blocks in turn, records. Not here: sending (`sender`), judging (`bitshift_core.evidence.load`).
"""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import click

from bitshift_core.evidence.gates import Record, judge_load
from bitshift_core.evidence.load import Side
from bitshift_core.evidence.report import GateReport, Verdict
from bitshift_runtime.evaluate.config import ConfigError, GateConfig, SideConfig, read_config
from bitshift_runtime.evaluate.delivery import deliver, deliver_failure

from .schedule import Block, blocks, turns
from .sender import Target, Timing, send_block, session, settle_parameters

SEED = 1
"""The same arrivals and prompts in every run: two runs differ by the servers, not by luck."""


@click.command()
@click.option("--config", "config_file", type=click.Path(path_type=Path), required=True, help="The gate's JSON file.")
def load(config_file: Path) -> None:
    """Send candidate and baseline the same open-loop arrivals and deliver the load gate's verdict.

    Ends with 0 whatever the verdict is, and with another status when there is none.
    """
    try:
        report = asyncio.run(run_load(read_config(config_file, "load")))
    except ConfigError as error:
        deliver_failure("ConfigRefused", str(error))
        sys.exit(1)
    deliver(report)


async def run_load(config: GateConfig, seed: int = SEED) -> GateReport:
    """Return the load gate's report."""
    schedule = blocks(config.load.requests_per_minute / 60, config.load.seconds, seed)
    async with AsyncExitStack() as sessions:
        targets = [await _target(sessions, name, side, config) for name, side in _sides(config)]
        for target in targets:
            first = await settle_parameters(target, seed)
            if first.failure:
                return _silent(config, target, first)
        _ask_alike(targets)
        records: list[Record] = []
        for block in schedule:
            for target in turns(targets, block):
                records += await _run_block(target, block, seed)
    return judge_load(config.revision, records, config.load, seed=seed)


def _sides(config: GateConfig) -> list[tuple[Side, SideConfig]]:
    """Return who is put under load; a baseline only where targets do not already say what is asked of the candidate."""
    by_targets = config.load.ttft_millis and config.load.itl_millis
    baseline = config.parent if config.parent and not by_targets else None
    sides: list[tuple[Side, SideConfig]] = [("candidate", config.candidate)]
    return [*sides, ("baseline", baseline)] if baseline else sides


async def _target(sessions: AsyncExitStack, name: Side, side: SideConfig, config: GateConfig) -> Target:
    opened = await sessions.enter_async_context(session(side))
    return Target(
        name,
        side,
        config.load.reply_tokens,
        config.request_seconds,
        opened,
        context_tokens=config.context_tokens,
        prompt_tokens=config.load.prompt_tokens,
    )


def _ask_alike(targets: Sequence[Target]) -> None:
    """What one side refuses to be asked, the other is not asked either: replies must be of the same length."""
    if not all(target.extra for target in targets):
        for target in targets:
            target.extra = {}


async def _run_block(target: Target, block: Block, seed: int) -> list[Record]:
    timings = await send_block(target, block, seed)
    failed = sum(bool(timing.failure) for timing in timings)
    kind = "warm-up" if block.warm_up else f"block {block.number}"
    click.echo(f"load: {kind} of the {target.name}: {len(timings)} requests, {failed} failed")
    return [] if block.warm_up else [record_of(target.name, block.number, timing) for timing in timings]


def record_of(side: Side, block: int, timing: Timing) -> Record:
    """Return a request as the evidence takes it; where the server counts no tokens, its chunks are counted."""
    return Record(
        side=side,
        block=block,
        intended_at=timing.intended_at,
        sent_at=timing.sent_at,
        first_token_at=timing.first_token_at,
        last_token_at=timing.last_token_at,
        tokens=timing.tokens or timing.chunks,
        failed=bool(timing.failure),
    )


def _silent(config: GateConfig, target: Target, first: Timing) -> GateReport:
    """Return the report of a run that could not begin: a candidate that fails its first request has failed."""
    verdict = Verdict.FAILED if target.name == "candidate" else Verdict.INCONCLUSIVE
    message = f"The {target.name} did not answer the first request: {first.failure}."
    return GateReport(gate="load", revision=config.revision, verdict=verdict, message=message)
