"""Handing a verdict over: the report into the termination message, per-item scores into a ConfigMap.

Here: what is written, and that no text of a prompt or an answer is. Not here: the calls (`bitshift_runtime.cluster`).
"""

import json
from collections.abc import Sequence

import click

from bitshift_core.api.catalogue import Scorer
from bitshift_core.evidence.report import GateReport
from bitshift_runtime.cluster import ClusterError, patch_config_map, write_termination

from .asking import Asked


def deliver(report: GateReport) -> None:
    """Write the report where the kubelet picks it up, and its sentence to whoever reads the log."""
    click.echo(f"{report.verdict}: {report.message}")
    write_termination(report.fit_into().to_json())


def deliver_failure(reason: str, message: str) -> None:
    """Say why there is no verdict at all."""
    click.echo(f"{reason}: {message}", err=True)
    write_termination(json.dumps({"reason": reason, "message": message}, ensure_ascii=False))


def deliver_scores(config_map: str, suites: Sequence[Asked]) -> None:
    """Write every item's two scores, one key per suite; a refused write costs the detail, never the verdict."""
    if not config_map or not suites:
        return
    try:
        patch_config_map(config_map, {f"{asked.suite.name}.jsonl": scores(asked) for asked in suites})
    except ClusterError as error:
        click.echo(f"The scores could not be kept: {error}", err=True)


def scores(asked: Asked) -> str:
    """Return a suite's scores as JSON lines: names and numbers, no texts."""
    names = ("agreed", "compared") if asked.suite.scorer is Scorer.AGREEMENT else ("parent", "candidate")
    lines = (
        {"item": pair.item}
        | dict(zip(names, pair.outcome, strict=True))
        | ({"parentFailure": pair.parent_failure} if pair.parent_failure else {})
        | ({"candidateFailure": pair.candidate_failure} if pair.candidate_failure else {})
        for pair in asked.pairs
    )
    return "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
