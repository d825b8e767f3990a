"""The shape of `logs.yaml`: which line of which engine's log means what.

Here: rules and how they are chosen. Not here: reading the file (it is data of this package, parsed by who does I/O),
applying the rules (`reading`). They are ours and tested, not a profile's: a stranger's expression may run for ever.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field

from ..api.base import ApiObject

Stage = Literal["Fetching", "Loading", "Repacking", "Compiling", "Warming", "Answering"]
STAGES: tuple[Stage, ...] = ("Fetching", "Loading", "Repacking", "Compiling", "Warming", "Answering")
"""In the order in which a start passes through them."""
ANY, FETCH = "any", "fetch"
"""What every engine's libraries say, and what our own container says that fetches artifacts."""

Reason = Annotated[str, Field(pattern="^[A-Z][A-Za-z]{2,40}$")]
Source = Annotated[str, Field(min_length=10)]


class LineRule(ApiObject):
    """One line, recognised wherever it stands in the log."""

    pattern: Annotated[str, Field(min_length=6)]
    source: Source

    @cached_property
    def expression(self) -> re.Pattern[str]:
        """Return the compiled pattern; its named groups are all that is ever quoted."""
        return re.compile(self.pattern)


class StageRule(LineRule):
    """The engine is in this stage from such a line on; `done` and `total` tell how far."""

    stage: Stage
    unit: Annotated[str, Field(max_length=16)] = ""


class FailureRule(LineRule):
    """Why it does not start, and the way out; `{group}` stands for what the pattern caught."""

    reason: Reason
    sentence: Annotated[str, Field(min_length=20, max_length=400)]
    final: bool = False
    """Another start of the same release would end the same way."""


class ReportRule(LineRule):
    """What the engine tells of itself: `size` in units of `scale` bytes, `tokens` (times `each`), or a `kernel`."""

    tells: Literal["modelBytes", "kvTokens", "kernel"]
    scale: Annotated[int, Field(ge=1)] = 1
    sums: bool = False
    """Several such lines are parts of one whole: its buffers, one for each device."""
    says: Annotated[str, Field(max_length=64)] = ""
    """The kernel's name where the line does not spell it out."""


class ExitRule(ApiObject):
    """What an exit code means where the log says nothing."""

    code: Annotated[int, Field(ge=1, le=255)]
    reason: Reason
    sentence: Annotated[str, Field(min_length=20, max_length=400)]
    source: Source


class EngineLines(ApiObject):
    """All rules of one engine; of failures the first that is found anywhere in the log is the one that is told."""

    stages: tuple[StageRule, ...] = ()
    failures: tuple[FailureRule, ...] = ()
    reports: tuple[ReportRule, ...] = ()
    exits: tuple[ExitRule, ...] = ()

    def and_also(self, other: "EngineLines") -> "EngineLines":
        """Return these rules, and the other ones after them."""
        return EngineLines(
            stages=self.stages + other.stages,
            failures=self.failures + other.failures,
            reports=self.reports + other.reports,
            exits=self.exits + other.exits,
        )


NO_RULES = EngineLines()


@dataclass(frozen=True)
class LogRules:
    """The parsed `logs.yaml`."""

    engines: Mapping[str, EngineLines] = field(default_factory=dict)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "LogRules":
        """Return the rules of a parsed `logs.yaml`."""
        return cls({name: EngineLines.model_validate(rules) for name, rules in values.items()})

    @property
    def fetch(self) -> EngineLines:
        """What the container says that fetches artifacts."""
        return self.engines.get(FETCH, NO_RULES)

    def of(self, runtime: str) -> EngineLines:
        """Return an engine's rules and those of its libraries; a profile of the user's own is read by all of them."""
        known = [runtime] if runtime in self.engines else sorted(set(self.engines) - {ANY, FETCH})
        lines = NO_RULES
        for name in (*known, ANY):
            lines = lines.and_also(self.engines.get(name, NO_RULES))
        return lines
