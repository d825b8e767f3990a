"""`python -m bitshift_runtime evaluate`: one gate, one verdict.

Here: options, and what ends the process how. Not here: the gates themselves (`compatibility`, `quality`).
"""

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import click

from bitshift_core.evidence.report import GateReport, Verdict

from .asking import Asked
from .compatibility import check_compatibility
from .config import ConfigError, GateConfig, read_config
from .delivery import deliver, deliver_failure, deliver_scores
from .endpoint import Endpoint, UnreachableError
from .quality import check_quality


@click.command()
@click.option("--gate", type=click.Choice(["compatibility", "quality"]), required=True)
@click.option("--config", "config_file", type=click.Path(path_type=Path), required=True, help="The gate's JSON file.")
@click.option("--items-directory", type=click.Path(path_type=Path), default=Path("/items"), show_default=True)
@click.option("--scores-config-map", default="", help="ConfigMap, made beforehand, that takes each item's scores.")
def evaluate(gate: str, config_file: Path, items_directory: Path, scores_config_map: str) -> None:
    """Ask candidate and parent the same questions and deliver the gate's verdict.

    Ends with 0 whatever the verdict is, and with another status when there is none.
    """
    try:
        config = read_config(config_file, gate)
        report, suites = asyncio.run(run_gate(config, items_directory))
    except (ConfigError, UnreachableError) as error:
        deliver_failure("EndpointUnreachable" if isinstance(error, UnreachableError) else "ConfigRefused", str(error))
        sys.exit(1)
    deliver_scores(scores_config_map, suites)
    deliver(report)


async def run_gate(config: GateConfig, items_directory: Path) -> tuple[GateReport, tuple[Asked, ...]]:
    """Return a gate's report and, of the quality gate, each suite's scores."""
    async with AsyncExitStack() as open_sides:
        seconds = config.request_seconds
        candidate = await open_sides.enter_async_context(
            Endpoint("candidate", config.candidate, request_seconds=seconds)
        )
        parent = None
        if config.parent:
            parent = await open_sides.enter_async_context(Endpoint("parent", config.parent, request_seconds=seconds))
        if config.gate == "compatibility":
            return await check_compatibility(config, candidate, parent), ()
        if parent is None:
            return _nobody_to_compare_with(config), ()
        return await check_quality(config, candidate, parent, items_directory)


def _nobody_to_compare_with(config: GateConfig) -> GateReport:
    message = "No parent is running, so there is nothing to hold the candidate's answers against."
    return GateReport(gate="quality", revision=config.revision, verdict=Verdict.INCONCLUSIVE, message=message)
