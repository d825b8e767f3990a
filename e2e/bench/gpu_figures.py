"""What was planned and what was seen of each format, as a table for a terminal and as a page.

Pure: figures → text. Not here: measuring them (`gpu`).
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.table import Table

from bitshift_core.evidence.report import LoadReport
from bitshift_core.fit.units import GIB, gib
from bitshift_core.rollout.promised import JUDGED
from bitshift_core.starting.promises import Promise, held
from bitshift_core.starting.reading import EngineReport
from bitshift_operator.cli.sizing import Sizing

ABSENT = "–"
GRAPHS = re.compile(r"Graph capturing finished in [\d.]+ secs?, took (-?[\d.]+) GiB")
POOL = re.compile(r"Available KV cache memory: (-?[\d.]+) GiB")
"""Both as vllm/v1/worker prints them (gpu_model_runner.py capture_model, gpu_worker.py); a CPU's worker prints neither."""
Value = float | str | None


@dataclass(frozen=True)
class Planned:
    """What sizing says of one format before anything runs."""

    verdict: str
    kernel: str
    runs: str
    weight_bytes: int
    pool_bytes: int | None
    kv_tokens: int | None
    graph_bytes: int | None
    memory_bytes: int
    promise: Promise


@dataclass(frozen=True)
class Seen:
    """What the engine reports, and what users and the driver see of it."""

    kernels: str
    weight_bytes: int | None
    pool_bytes: int | None
    kv_tokens: int | None
    graph_bytes: int | None
    memory_bytes: int | None
    ready_seconds: float
    steady: LoadReport
    crowd: LoadReport
    """All requests at once: how many tokens a second it can make."""
    broken: tuple[str, ...]
    """What differs from the plan beyond the operator's own bands, in its sentences."""


@dataclass(frozen=True)
class Figures:
    """One format; where it was not served, why."""

    name: str
    planned: Planned
    seen: Seen | None = None
    failure: str = ""


def planned_from(sizing: Sizing) -> Planned:
    """Return what was planned; an engine that takes a share of the GPU holds that much, however little is needed."""
    items = {item.name: item.bytes for item in sizing.items}
    assert sizing.fit
    capacity, kernel = sizing.fit.held, sizing.fit.kernels[0] if sizing.fit.kernels else None
    cache = capacity.pool.likely if capacity else items["kv-cache"]
    need = sizing.need
    return Planned(
        verdict=sizing.fit.verdict,
        kernel=kernel.name if kernel else "",
        runs=kernel.runs if kernel else "unknown",
        weight_bytes=items["weights"],
        pool_bytes=cache,
        kv_tokens=capacity.tokens.likely if capacity else None,
        graph_bytes=items.get("graphs"),
        memory_bytes=cache + sum(size for name, size in items.items() if name not in ("kv-cache", "margin")),
        promise=Promise(
            weight_bytes=items["weights"],
            whole_bytes=need.facts.weight_bytes or need.facts.file_bytes,
            kv_tokens=need.context_tokens * need.concurrent_sequences,
            context_tokens=need.context_tokens,
            kernel=kernel.name if kernel and kernel.runs in JUDGED else "",
        ),
    )


def seen_from(
    log: str,
    report: EngineReport,
    promise: Promise,
    *,
    memory_bytes: int | None,
    ready_seconds: float,
    steady: LoadReport,
    crowd: LoadReport,
) -> Seen:
    """Return what was seen; of graphs and the pool the operator itself does not ask, so its rules do not know them."""
    return Seen(
        kernels=", ".join(report.kernels),
        weight_bytes=report.model_bytes,
        pool_bytes=_last_gib(POOL, log),
        kv_tokens=report.kv_tokens,
        graph_bytes=_last_gib(GRAPHS, log),
        memory_bytes=memory_bytes,
        ready_seconds=ready_seconds,
        steady=steady,
        crowd=crowd,
        broken=held(promise, report).broken,
    )


def _last_gib(pattern: re.Pattern[str], log: str) -> int | None:
    found = pattern.findall(log)
    return int(float(found[-1]) * GIB) if found else None


# The table


def _bytes(value: float) -> str:
    return gib(int(value))


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _millis(value: float) -> str:
    return f"{value:,.1f} ms"


@dataclass(frozen=True)
class Row:
    """One quantity: as it was seen, and as it was planned where it was."""

    words: str
    show: Callable[[float], str]
    seen: Callable[[Seen], Value]
    planned: Callable[[Planned], Value] | None = None
    compared: bool = True


ROWS = (
    Row("kernel", _count, lambda seen: seen.kernels.replace("LinearKernel", ""), lambda plan: plan.kernel),
    Row("weights", _bytes, lambda seen: seen.weight_bytes, lambda plan: plan.weight_bytes),
    Row("KV cache", _bytes, lambda seen: seen.pool_bytes, lambda plan: plan.pool_bytes),
    Row("KV tokens", _count, lambda seen: seen.kv_tokens, lambda plan: plan.kv_tokens),
    Row("CUDA graphs", _bytes, lambda seen: seen.graph_bytes, lambda plan: plan.graph_bytes),
    Row("memory in all", _bytes, lambda seen: seen.memory_bytes, lambda plan: plan.memory_bytes),
    Row("TTFT p50", _millis, lambda seen: seen.steady.candidate.ttft_p50_millis or None),
    Row("TTFT p95", _millis, lambda seen: seen.steady.candidate.ttft_p95_millis or None),
    Row("ITL p50", _millis, lambda seen: seen.steady.candidate.itl_p50_millis or None),
    Row("ITL p95", _millis, lambda seen: seen.steady.candidate.itl_p95_millis or None),
    Row("tokens/s, steady", _count, lambda seen: seen.steady.candidate.tokens_per_second or None),
    Row("tokens/s, crowd", _count, lambda seen: seen.crowd.candidate.tokens_per_second or None),
    Row(
        "requests failed",
        _count,
        lambda seen: seen.steady.candidate.failed + seen.crowd.candidate.failed,
        compared=False,
    ),
    Row("ready after", lambda value: f"{value:.0f} s", lambda seen: seen.ready_seconds, compared=False),
)


def cells(found: Sequence[Figures]) -> list[list[str]]:
    """Return the table's rows: a plan with how far it is off, then what was seen with its ratio to the first format."""
    rows = []
    for row in ROWS:
        if row.planned:
            rows.append([f"{row.words}, planned", *(_planned_cell(row, each) for each in found)])
        words = f"{row.words}, seen" if row.planned else row.words
        rows.append([words, *(_seen_cell(row, each, found[0]) for each in found)])
    return rows


def _planned_cell(row: Row, figures: Figures) -> str:
    assert row.planned
    value, seen = row.planned(figures.planned), row.seen(figures.seen) if figures.seen else None
    if not isinstance(value, int | float):
        return value or ABSENT
    off = f" ({100 * (value / seen - 1):+.1f} %)" if isinstance(seen, int | float) and seen else ""
    return row.show(value) + off


def _seen_cell(row: Row, figures: Figures, first: Figures) -> str:
    value, base = (row.seen(each.seen) if each.seen else None for each in (figures, first))
    if not isinstance(value, int | float):
        return value or ABSENT
    if figures is first or not row.compared or not isinstance(base, int | float) or not base:
        return row.show(value)
    return f"{row.show(value)} (×{value / base:.2f})"


def screen(found: Sequence[Figures]) -> Table:
    """Return the table for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("", no_wrap=True)
    for each in found:
        table.add_column(each.name, justify="right", overflow="fold")
    for row in cells(found):
        table.add_row(*row)
    return table


def remarks(found: Iterable[Figures]) -> list[str]:
    """Return what must be said beside the numbers: formats that were not served, and promises that were not kept."""
    said = []
    for each in found:
        if each.failure:
            said.append(f"{each.name} was not served. {each.failure}")
        if each.planned.verdict != "Fits":
            said.append(f"{each.name} was planned as {each.planned.verdict}.")
        said += [f"{each.name}: {sentence}" for sentence in (each.seen.broken if each.seen else ())]
    return said or [
        "Weights, KV tokens and kernels are within the bands in which the operator holds a plan to be kept."
    ]


def page(found: Sequence[Figures], told: Sequence[str], command: str) -> str:
    """Return the whole of `docs/gpu.md`."""
    names = [each.name for each in found]
    lines = [
        "# On a real GPU",
        "",
        f"Written by `{command}`: every figure is of that one run, and each ratio is to {names[0]} in it.",
        "Percentages say how far the plan is off; `plan` and `size` say the same numbers before anything runs.",
        "",
        *(f"- {sentence}" for sentence in told),
        "",
        f"| | {' | '.join(names)} |",
        f"| --- |{' ---: |' * len(names)}",
        *(f"| {' | '.join(row)} |" for row in cells(found)),
        "",
        *(f"- {sentence}" for sentence in remarks(found)),
    ]
    return "\n".join(lines) + "\n"


def as_json(found: Iterable[Figures], told: Sequence[str]) -> dict[str, Any]:
    """Return all of it for programs."""
    return {"about": list(told), "formats": [_plain(asdict(each)) for each in found], "remarks": remarks(found)}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, LoadReport):
        return value.model_dump(by_alias=True)
    return value
