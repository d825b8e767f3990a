"""The load gate: the same arrivals on both sides, judged by targets or by ratios, and void where the client was late.

Here: records of requests → verdict. Not here: sending them, quantiles and their intervals (`evidence.latency`).
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ..api.v1alpha1 import LoadGate
from .latency import Interval, quantile, quantile_interval, ratio_interval, tail
from .report import GateReport, LoadReport, SideLoad, Verdict

Side = Literal["candidate", "baseline"]

JUDGED_SHARE = 0.95
FEWEST_REQUESTS = 40
"""Fewer completed requests say nothing of a 95th percentile."""
LEAST_ACHIEVED = 0.98
CLIENT_DELAY_MILLIS = 10.0
CLIENT_DELAY_SHARE = 0.1
"""The client may be late by this part of the median TTFT where that is more than `CLIENT_DELAY_MILLIS`."""
TOLERATED_FAILURES = 0.001
MOST_TOLD = 999.0


@dataclass(frozen=True)
class Record:
    """One offered request; seconds of any clock that both sides share."""

    side: Side
    block: int
    """The slice of the schedule; slice i was the same on both sides."""
    intended_at: float
    """When a user would have sent it: latency counts from here, so that a stalled server cannot hide."""
    sent_at: float | None
    """None where the client never came to it."""
    first_token_at: float | None = None
    last_token_at: float | None = None
    tokens: int = 0
    failed: bool = False

    @property
    def ttft_millis(self) -> float:
        """Return the wait for the first token; without one it never came."""
        return (
            math.inf if self.failed or self.first_token_at is None else 1e3 * (self.first_token_at - self.intended_at)
        )

    @property
    def itl_millis(self) -> float | None:
        """Return the mean wait for each later token, None where there was none."""
        if self.failed or self.first_token_at is None or self.last_token_at is None or self.tokens < 2:
            return None
        return 1e3 * (self.last_token_at - self.first_token_at) / (self.tokens - 1)


@dataclass(frozen=True)
class Finding:
    """What one check says."""

    verdict: Verdict
    sentence: str


def judge_load(
    revision: str, records: Sequence[Record], gate: LoadGate, *, error_rate: float = 0.05, seed: int = 1
) -> GateReport:
    """Return the load gate's verdict on requests after the warm-up.

    A run in which the client could not keep its own schedule is Inconclusive whatever it measured; so is one whose
    intervals contain the limit.
    """
    sides: dict[Side, list[Record]] = defaultdict(list)
    for record in records:
        sides[record.side].append(record)
    candidate, baseline = sides["candidate"], sides["baseline"]
    measured = LoadReport(
        candidate=_side(candidate),
        baseline=_side(baseline) if baseline else None,
        client_delay_p99_millis=_client_delay(records),
    )
    void = _void(candidate, baseline, measured, gate)
    if void:
        return _report(revision, Verdict.INCONCLUSIVE, void, measured)
    errors = _errors(candidate, baseline, error_rate)
    ttft, ttft_ratio = _latency("TTFT", _ttfts, candidate, baseline, gate.ttft_millis, gate, error_rate, seed)
    itl, itl_ratio = _latency("ITL", _itls, candidate, baseline, gate.itl_millis, gate, error_rate, seed)
    measured = measured.model_copy(update={"ttft_ratio": ttft_ratio, "itl_ratio": itl_ratio})
    verdict, message = _together((errors, ttft, itl))
    return _report(revision, verdict, message, measured)


def _report(revision: str, verdict: Verdict, message: str, load: LoadReport) -> GateReport:
    return GateReport(gate="load", revision=revision, verdict=verdict, message=message, load=load)


def _together(findings: Iterable[Finding]) -> tuple[Verdict, str]:
    """Return the worst verdict; what decided it is said first."""
    order = (Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.PASSED)
    ranked = sorted(findings, key=lambda finding: order.index(finding.verdict))
    return ranked[0].verdict, " ".join(finding.sentence for finding in ranked)


def _ttfts(records: Iterable[Record]) -> list[float]:
    return [record.ttft_millis for record in records]


def _itls(records: Iterable[Record]) -> list[float]:
    return [gap for record in records if (gap := record.itl_millis) is not None]


def _side(records: Sequence[Record]) -> SideLoad:
    completed = [record for record in records if not record.failed and record.first_token_at is not None]
    ttfts, itls = _ttfts(completed), _itls(completed)
    return SideLoad(
        offered=len(records),
        completed=len(completed),
        failed=len(records) - len(completed),
        ttft_p50_millis=_rounded(quantile(ttfts, 0.5)),
        ttft_p95_millis=_rounded(quantile(ttfts, JUDGED_SHARE)),
        itl_p50_millis=_rounded(quantile(itls, 0.5)),
        itl_p95_millis=_rounded(quantile(itls, JUDGED_SHARE)),
        tokens_per_second=_rounded(_tokens_per_second(completed)),
    )


def _rounded(value: float) -> float:
    return 0.0 if math.isnan(value) or math.isinf(value) else round(value, 1)


def _tokens_per_second(completed: Sequence[Record]) -> float:
    """Return the tokens of a side over the time it was under load, block by block."""
    spans: dict[int, list[Record]] = defaultdict(list)
    for record in completed:
        spans[record.block].append(record)
    seconds = sum(
        max(record.last_token_at or record.intended_at for record in span) - min(record.intended_at for record in span)
        for span in spans.values()
    )
    return sum(record.tokens for record in completed) / seconds if seconds > 0 else 0.0


def _client_delay(records: Iterable[Record]) -> float:
    delays = [1e3 * (record.sent_at - record.intended_at) for record in records if record.sent_at is not None]
    return _rounded(quantile(delays, 0.99))


def _void(candidate: Sequence[Record], baseline: Sequence[Record], measured: LoadReport, gate: LoadGate) -> str:
    """Return why the run says nothing about a server; empty when it does."""
    for name, records in (("candidate", candidate), ("baseline", baseline)):
        sent = sum(record.sent_at is not None for record in records)
        if records and sent < LEAST_ACHIEVED * len(records):
            return (
                f"The client sent {sent} of {len(records)} requests to the {name}; {LEAST_ACHIEVED:.0%} are needed."
                " Give the load Job more CPU or lower `gates.load.requestsPerMinute`."
            )
    sides = [measured.candidate] + ([measured.baseline] if measured.baseline else [])
    limit = max(CLIENT_DELAY_MILLIS, CLIENT_DELAY_SHARE * min(side.ttft_p50_millis for side in sides))
    if measured.client_delay_p99_millis > limit:
        return (
            f"The client itself sent up to {measured.client_delay_p99_millis:.0f} ms late (99th percentile); above"
            f" {limit:.0f} ms its times say nothing about the server. Give the load Job more CPU."
        )
    if not baseline and not (gate.ttft_millis and gate.itl_millis):
        return "No baseline was measured; start one, or give `gates.load.ttftMillis` and `gates.load.itlMillis`."
    return ""


def _errors(candidate: Sequence[Record], baseline: Sequence[Record], error_rate: float) -> Finding:
    """Return whether more requests fail than is tolerated, or than fail on the baseline."""
    failed, offered = sum(_fails(record) for record in candidate), len(candidate)
    theirs, of = sum(_fails(record) for record in baseline), len(baseline)
    limit = max(TOLERATED_FAILURES, theirs / of if of else 0.0)
    said = f"{failed} of {offered} requests failed" + (f", {theirs} of {of} on the baseline" if baseline else "")
    if failed <= limit * offered:
        return Finding(Verdict.PASSED, f"{said}.")
    if tail(offered, failed, limit) <= error_rate and _more_often(failed, offered, theirs, of) <= error_rate:
        return Finding(Verdict.FAILED, f"{said}: more than the tolerated {limit:.1%}.")
    return Finding(Verdict.INCONCLUSIVE, f"{said}: above {limit:.1%}, but it may be chance; run longer.")


def _fails(record: Record) -> bool:
    return record.failed or record.first_token_at is None


def _more_often(failed: int, offered: int, theirs: int, of: int) -> float:
    """Return the chance that so many of all failures, or more, fall to the candidate when both sides fail alike."""
    return tail(failed + theirs, failed, offered / (offered + of)) if of else 0.0


def _latency(
    name: str,
    read: Callable[[Iterable[Record]], list[float]],
    candidate: Sequence[Record],
    baseline: Sequence[Record],
    target_millis: int | None,
    gate: LoadGate,
    error_rate: float,
    seed: int,
) -> tuple[Finding, Interval | None]:
    """Return what a latency's 95th percentile says: against the user's target where there is one, else as a ratio."""
    values = read(candidate)
    if len(values) < FEWEST_REQUESTS:
        sentence = f"{name} p95 cannot be judged from {len(values)} requests; {FEWEST_REQUESTS} are needed."
        return Finding(Verdict.INCONCLUSIVE, sentence), None
    if target_millis:
        found = quantile_interval(values, JUDGED_SHARE, error_rate)
        said = (
            f"{name} p95 {_ms(found[1])} (95 % interval {_ms(found[0])} to {_ms(found[2])}, target {target_millis} ms)"
        )
        return _against(found, float(target_millis), said), None
    if len(read(baseline)) < FEWEST_REQUESTS:
        sentence = f"{name} p95 has {len(read(baseline))} requests of the baseline; {FEWEST_REQUESTS} are needed."
        return Finding(Verdict.INCONCLUSIVE, sentence), None
    return _relative(name, read, candidate, baseline, gate, error_rate, seed)


def _relative(
    name: str,
    read: Callable[[Iterable[Record]], list[float]],
    candidate: Sequence[Record],
    baseline: Sequence[Record],
    gate: LoadGate,
    error_rate: float,
    seed: int,
) -> tuple[Finding, Interval | None]:
    blocks = sorted({record.block for record in candidate} | {record.block for record in baseline})
    ours, theirs = (
        [read(record for record in records if record.block == block) for block in blocks]
        for records in (candidate, baseline)
    )
    found = ratio_interval(ours, theirs, JUDGED_SHARE, error_rate=error_rate, seed=seed)
    limit = 1 + gate.slower_percent / 100
    p95, base = (quantile(read(records), JUDGED_SHARE) for records in (candidate, baseline))
    said = (
        f"{name} p95 {_ms(p95)} against {_ms(base)} of the baseline"
        f" (ratio {found[1]:.2f}, 95 % interval {found[0]:.2f} to {found[2]:.2f}, limit {limit:.2f})"
    )
    return _against(found, limit, said), _told(found)


def _told(found: Interval) -> Interval | None:
    """Return an interval as it may be written: JSON has no infinity."""
    low, estimate, high = (round(min(value, MOST_TOLD), 3) for value in found)
    return None if math.isnan(low + estimate + high) else (low, estimate, high)


def _against(found: Interval, limit: float, said: str) -> Finding:
    if found[2] <= limit:
        return Finding(Verdict.PASSED, f"{said}.")
    if found[0] > limit:
        return Finding(Verdict.FAILED, f"{said}: too slow.")
    return Finding(Verdict.INCONCLUSIVE, f"{said}: not sure enough; raise `gates.load.seconds` or the limit.")


def _ms(value: float) -> str:
    return "never" if math.isinf(value) or math.isnan(value) else f"{value:.0f} ms"
