"""What a gate's Job hands back: a verdict, one sentence and its numbers, small enough for a termination message.

Here: the report's shape and how it shrinks. Not here: how a verdict is reached (`evidence.paired`, `evidence.gates`).
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from ..api.base import ApiObject

MAX_REPORT_BYTES = 3_500
"""A termination message holds 4096 bytes; the rest is for whoever wraps it."""

GateName = Literal["start", "compatibility", "quality", "load"]
Count = Annotated[int, Field(ge=0)]


class Verdict(StrEnum):
    """A gate's three answers; Inconclusive passes nothing and blames nobody."""

    PASSED = "Passed"
    FAILED = "Failed"
    INCONCLUSIVE = "Inconclusive"


class SuiteReport(ApiObject):
    """One suite: candidate against parent on the same items."""

    name: str
    scorer: str = ""
    verdict: Verdict
    informative: bool = True
    """False where the parent itself is below the suite's floor: it can refuse nothing and pass nothing."""
    items: Count = 0
    parent_passed: Count = 0
    candidate_passed: Count = 0
    lost: Count = 0
    """Items that the parent passed and the candidate did not."""
    won: Count = 0
    drop_points: float = 0
    """Percentage points by which the candidate is below the parent (for Agreement: below full agreement)."""
    certifiable_margin_points: float = 0
    """The smallest margin that so many items could have certified."""
    missing_items: Count = 0
    """How many more items would probably decide."""
    message: str = ""


class SideLoad(ApiObject):
    """One side of a load run, after the warm-up."""

    offered: Count = 0
    completed: Count = 0
    failed: Count = 0
    ttft_p50_millis: float = 0
    ttft_p95_millis: float = 0
    itl_p50_millis: float = 0
    itl_p95_millis: float = 0
    tokens_per_second: float = 0


class LoadReport(ApiObject):
    """The same arrivals on both sides."""

    candidate: SideLoad = SideLoad()
    baseline: SideLoad | None = None
    client_delay_p99_millis: float = 0
    """How late the client itself sent: above its bound the run says nothing about a server."""
    ttft_ratio: tuple[float, float, float] | None = None
    """Candidate's 95th percentile over the baseline's: lower bound, estimate, upper bound."""
    itl_ratio: tuple[float, float, float] | None = None


class NumericReport(ApiObject):
    """How likely both sides find the same few texts; no token of them stands here."""

    way: str = ""
    """How the engines were asked: Texts, NextTokens or Answers."""
    texts: Count = 0
    tokens: Count = 0
    parent_perplexity: float = 0
    candidate_perplexity: float = 0
    likeliest_compared: Count = 0
    likeliest_same: Count = 0
    """Of the tokens compared, those at which both sides would have said the same."""
    overlap_percent: float = 0
    """How much of the parent's list of likely tokens is in the candidate's."""


class GateReport(ApiObject):
    """A gate's verdict on a revision in one sentence with numbers, and what it rests on."""

    gate: GateName
    revision: str
    verdict: Verdict
    message: str
    reason: Annotated[str, Field(max_length=64, pattern="^([A-Z][A-Za-z]*)?$")] = ""
    """Why in one word, where there is a better one than the gate's."""
    suites: tuple[SuiteReport, ...] = ()
    load: LoadReport | None = None
    numeric: NumericReport | None = None

    def to_json(self) -> str:
        """Return the report as compact JSON."""
        return self.model_dump_json(by_alias=True, exclude_none=True, exclude_defaults=True)

    def fit_into(self, max_bytes: int = MAX_REPORT_BYTES) -> "GateReport":
        """Return the report, less its detail where it is too long: suites' sentences first, then suites, then words."""
        for smaller in (self, self._with_messages(160), self._with_messages(0), self._without_suites()):
            if len(smaller.to_json().encode()) <= max_bytes:
                return smaller
        return self._without_suites()._cut(max_bytes)

    def _with_messages(self, length: int) -> "GateReport":
        shortened = tuple(suite.model_copy(update={"message": cut(suite.message, length)}) for suite in self.suites)
        return self.model_copy(update={"suites": shortened})

    def _without_suites(self) -> "GateReport":
        return self.model_copy(update={"suites": ()})

    def _cut(self, max_bytes: int) -> "GateReport":
        """Return the report with as much of its sentence as fits; JSON may need six bytes for one character."""
        room = max_bytes - len(self.model_copy(update={"message": ""}).to_json().encode())
        return self.model_copy(update={"message": cut(self.message, max(0, room // 6))})


def cut(text: str, length: int) -> str:
    """Return at most `length` characters of a text, marked where it was cut."""
    if len(text) <= length:
        return text
    return text[: max(0, length - 1)] + "…" if length else ""
