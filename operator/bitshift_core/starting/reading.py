"""The end of a log → stage, progress, failure, report. Nothing but what a rule's named groups caught is ever quoted.

Here: lines and rules. Not here: whose log it is (`rollout.pods`), fetching it (`cluster.logs`), `deadlines`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from string import Formatter
from typing import Annotated

from pydantic import Field

from ..api.base import ApiObject
from ..api.conditions import epoch
from .rules import STAGES, EngineLines, FailureRule, ReportRule, Stage, StageRule

MOST_LINES, LONGEST_LINE = 400, 1_000
"""What is looked at, so that no log takes long: an engine that prints more is in a stage all the same."""
LONGEST_QUOTE, LONGEST_SENTENCE = 64, 600
MOST_KERNELS = 8
LARGEST = 1 << 53
_TIME = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)) ?")
_QUOTABLE = re.compile(r"[^\w .,:+=\-/%()\[\]]", re.ASCII)

KernelName = Annotated[str, Field(max_length=LONGEST_QUOTE, pattern=r"^[\w .\-]+$")]


@dataclass(frozen=True)
class Line:
    """One line, and when the node's runtime saw it; 0 where that is not told."""

    at: float
    text: str


@dataclass(frozen=True)
class Progress:
    """How far a stage is."""

    done: int
    total: int
    unit: str = ""
    at: float = 0
    """When it was told."""


@dataclass(frozen=True)
class Failure:
    """Why an engine does not start, with the way out."""

    reason: str
    message: str
    final: bool = False
    """Another start of the same release would end the same way."""


class EngineReport(ApiObject):
    """What an engine told of itself while it started; kept on its pod, so it is bounded."""

    model_bytes: Annotated[int | None, Field(ge=0, le=LARGEST)] = None
    is_whole: bool = False
    """`model_bytes` are those of all devices together."""
    kv_tokens: Annotated[int | None, Field(ge=0, le=LARGEST)] = None
    kernels: Annotated[tuple[KernelName, ...], Field(max_length=MOST_KERNELS)] = ()


@dataclass(frozen=True)
class LogReading:
    """All that the end of a log tells."""

    stage: Stage | None = None
    since: float = 0
    """When its first line was seen that is still at hand."""
    progress: Progress | None = None
    failure: Failure | None = None
    report: EngineReport = field(default_factory=EngineReport)


def read_log(rules: EngineLines, text: str) -> LogReading:
    """Return what the end of a log tells; with several workers, of the one that is furthest."""
    lines = lines_of(text)
    stage, since, progress = _stage(rules.stages, lines)
    return LogReading(stage, since, progress, _failure(rules.failures, lines), _report(rules.reports, lines))


def lines_of(text: str) -> Sequence[Line]:
    """Return the last lines, each as long as is looked at; a progress bar's states are lines of their own.

    A line without a time was seen no earlier than the one before it.
    """
    found: list[Line] = []
    at = 0.0
    for raw in text.rsplit("\n", MOST_LINES)[-MOST_LINES:]:
        time = _TIME.match(raw)
        at = (_seconds(time[1]) if time else 0.0) or at
        parts = raw[time.end() if time else 0 :].split("\r")
        found += [Line(at, part[:LONGEST_LINE]) for part in parts if part.strip()]
    return found[-MOST_LINES:]


def exit_failure(rules: EngineLines, code: int) -> Failure | None:
    """Return what an exit code means by itself."""
    rule = next((each for each in rules.exits if each.code == code), None)
    return Failure(rule.reason, rule.sentence) if rule else None


def _stage(rules: Iterable[StageRule], lines: Sequence[Line]) -> tuple[Stage | None, float, Progress | None]:
    reached, since, progress = -1, 0.0, None
    rules = tuple(rules)
    for line in lines:
        for rule in rules:
            found = rule.expression.search(line.text)
            if not found or (position := STAGES.index(rule.stage)) < reached:
                continue
            if position > reached:
                reached, since, progress = position, line.at, None
            progress = _progress(rule, found.groupdict(), line.at) or progress
    return (STAGES[reached] if reached >= 0 else None), since, progress


def _progress(rule: StageRule, groups: Mapping[str, str | None], at: float) -> Progress | None:
    done, total = _number(groups.get("done")), _number(groups.get("total"))
    return Progress(done, total, rule.unit, at) if done is not None and total and done <= total else None


def _failure(rules: Iterable[FailureRule], lines: Sequence[Line]) -> Failure | None:
    for rule in rules:
        for line in reversed(lines):
            if found := rule.expression.search(line.text):
                return Failure(rule.reason, _said(rule.sentence, found.groupdict()), rule.final)
    return None


def _said(template: str, groups: Mapping[str, str | None]) -> str:
    """Return the sentence with what was caught: cut, and without signs that a page or a terminal would act on."""
    parts = []
    for literal, name, _, _ in Formatter().parse(template):
        quoted = _QUOTABLE.sub("", groups.get(name) or "")[:LONGEST_QUOTE].strip() if name else ""
        parts += [literal, quoted or ("?" if name else "")]
    return "".join(parts)[:LONGEST_SENTENCE]


def _report(rules: Iterable[ReportRule], lines: Sequence[Line]) -> EngineReport:
    sizes: list[int] = []
    parts: list[int] = []
    tokens: list[int] = []
    kernels: dict[str, None] = {}
    rules = tuple(rules)
    for line in lines:
        for rule in rules:
            found = rule.expression.search(line.text)
            if not found:
                continue
            groups = found.groupdict()
            if rule.tells == "kernel":
                kernels |= {rule.says or _QUOTABLE.sub("", groups.get("kernel") or "")[:LONGEST_QUOTE]: None}
            elif rule.tells == "kvTokens":
                tokens += _product(groups)
            else:
                (parts if rule.sums else sizes).extend(_size(rule, groups))
    named = tuple(name for name in kernels if re.fullmatch(r"[\w .\-]+", name))[:MOST_KERNELS]
    size = sum(parts) if parts else max(sizes, default=None)
    return EngineReport(
        model_bytes=None if size is None else min(size, LARGEST),
        is_whole=bool(parts),
        kv_tokens=min(tokens[-1], LARGEST) if tokens else None,
        kernels=named,
    )


def _product(groups: Mapping[str, str | None]) -> list[int]:
    tokens, each = _number(groups.get("tokens")), _number(groups.get("each") or "1")
    return [tokens * each] if tokens is not None and each is not None else []


def _size(rule: ReportRule, groups: Mapping[str, str | None]) -> list[int]:
    try:
        return [int(float(groups.get("size") or "") * rule.scale)]
    except (ValueError, OverflowError):
        return []


def _number(text: str | None) -> int | None:
    digits = (text or "").replace(",", "")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 15 else None


def _seconds(text: str) -> float:
    try:
        return epoch(text)
    except (ValueError, OverflowError):
        return 0.0
