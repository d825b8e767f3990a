"""Live evidence: the relay's reports in, what is known of the candidate out.

Here: counting each report once, who is judged singly, restarting the tests. Not here: blocks and bets
(`evidence.strata`, `evidence.sequential`), what is concluded (`evidence.verdict`, whose `judge` is offered here too).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from .rows import OTHER_TENANTS, Arm, RelayReport, Row, Stage, edge_index, edge_ms
from .state import AT_ONCE, MAX_SEEN, MAX_TENANTS, QUANTILES, LivePolicy, LiveState, Statistic, Stratum
from .statistic import LATENCIES, Rules, remembering, restarted, statistic_names
from .strata import absorb, chunk_of, summed
from .verdict import LiveVerdict, judge

__all__ = [
    "Arm",
    "LivePolicy",
    "LiveState",
    "LiveVerdict",
    "RelayReport",
    "Row",
    "Stage",
    "begin_step",
    "edge_index",
    "edge_ms",
    "fold",
    "judge",
]

FORGET_SECONDS = 3_600
"""A relay process not heard of for so long is forgotten; so nothing older is ever counted."""
LEAST_LATENCIES = 20
"""Fewer of stable's latencies say nothing about its quantiles."""


def begin_step(
    state: LiveState, step: str, now: float, policy: LivePolicy | None = None, *, concurrent: bool = True
) -> LiveState:
    """Return the state with all tests restarted for a step; the same step again changes nothing.

    Without a restart, good early minutes become a debt that a late regression has to pay off first. The mean of all
    restarted processes is still a test at the same error rate. `concurrent` is False where none is
    kept on stable.
    """
    if step == state.step:
        return state
    policy, state, number = policy or LivePolicy(), _with_frozen_edges(state), state.steps_begun + 1
    mass = AT_ONCE * policy.step_wealth(number)
    chosen = _largest_tenants(state)
    return state.model_copy(
        update={
            "step": step,
            "began": now,
            "steps_begun": number,
            "concurrent": concurrent,
            "interval": int(now) // policy.interval_seconds,
            "intervals_of_step": 0,
            "reserve": max(0.0, state.reserve - mass),
            "candidate_requests": 0,
            "stable_requests": 0,
            "strata": {name: _restarted(state.strata[name], mass, new_step=True) for name in chosen},
            "pooled": _restarted(state.pooled, mass, new_step=True),
        }
    )


def _restarted(stratum: Stratum, mass: float, *, new_step: bool) -> Stratum:
    statistics = {name: restarted(old, name, mass, new_step=new_step) for name, old in stratum.statistics.items()}
    if not new_step:
        return stratum.model_copy(update={"statistics": statistics})
    cleared: dict[str, object] = {"pending": {}, "opened": {}, "kinds": {}, "historical_requests": 0}
    return stratum.model_copy(update={"statistics": statistics} | cleared)


def _largest_tenants(state: LiveState) -> list[str]:
    """Return the strata to keep: those of the tenants with most requests, and the one that the others share."""
    ranked = sorted(state.seen, key=lambda name: (-state.seen[name], name))
    return [name for name in (*ranked[:MAX_TENANTS], OTHER_TENANTS) if name in state.strata]


def _with_frozen_edges(state: LiveState) -> LiveState:
    """Return the state with stable's latency quantiles as observed so far, which are its past from then on.

    What lies above a quantile of n values has the share that Beta(k + 1, n - k) describes, where k of them do: the very
    bound that the past of a rate gets, so the observation may serve as both.
    """
    known = {
        metric: {int(index): count for index, count in bins.items()}
        for metric, bins in state.histograms.items()
        if sum(bins.values()) >= LEAST_LATENCIES
    }
    edges = {metric: _quantiles(bins) for metric, bins in known.items()}
    past = {
        name: remembering(state.pooled.statistics.get(name, Statistic()), sum(bins.values()), _above(bins, edge))
        for metric, bins in known.items()
        for name, edge in zip(statistic_names(metric), edges[metric], strict=True)
    }
    pooled = state.pooled.model_copy(update={"statistics": state.pooled.statistics | past})
    waiting = {metric: bins for metric, bins in state.histograms.items() if metric not in known}
    return state.model_copy(update={"edges": edges | state.edges, "histograms": waiting, "pooled": pooled})


def _above(bins: Mapping[int, int], edge: int) -> int:
    return sum(count for index, count in bins.items() if index > edge)


def _quantiles(bins: Mapping[int, int]) -> tuple[int, ...]:
    edges: list[int] = []
    total, passed = sum(bins.values()), 0
    for index in sorted(bins):
        passed += bins[index]
        edges += [index] * (sum(passed >= quantile * total for quantile in QUANTILES) - len(edges))
    return tuple(edges)


def fold(state: LiveState, reports: Sequence[RelayReport], policy: LivePolicy) -> LiveState:
    """Return the state with every closed second of every relay process counted once, however often it is reported."""
    rows = _unheard(state, reports)
    state = _with_watermarks(state, reports)
    rules = Rules(policy, state.edges, 1 - state.reserve, state.concurrent, state.began)
    groups: dict[tuple[int, bool], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.bucket // policy.interval_seconds, row.bucket >= state.began].append(row)
    for interval, fresh in sorted(groups):
        state = _with_interval(state, interval, policy)
        rules = replace(rules, in_play=1 - state.reserve)
        state = _with_rows(state, groups[interval, fresh], rules)
    return _with_latencies(state, rows)


def _unheard(state: LiveState, reports: Iterable[RelayReport]) -> list[Row]:
    """Return the rows of closed seconds that are above their process's watermark, each second of a process once."""
    known, rows = dict(state.watermarks), []
    for report in reports:
        for stage, until in report.closed_until.items():
            after = known.get(_key(report, stage), int(report.now) - FORGET_SECONDS)
            rows += [row for row in report.rows if row.stage == stage and after < row.bucket <= until]
            known[_key(report, stage)] = max(after, until)
    return rows


def _key(report: RelayReport, stage: Stage) -> str:
    return f"{report.pod}/{report.boot}/{stage}"


def _with_watermarks(state: LiveState, reports: Iterable[RelayReport]) -> LiveState:
    marks = dict(state.watermarks)
    for report in reports:
        for stage, until in report.closed_until.items():
            marks[_key(report, stage)] = max(until, marks.get(_key(report, stage), until))
    oldest = max(marks.values(), default=0) - FORGET_SECONDS
    return state.model_copy(update={"watermarks": {key: mark for key, mark in marks.items() if mark >= oldest}})


def _with_interval(state: LiveState, interval: int, policy: LivePolicy) -> LiveState:
    """Return the state in a new interval: caps count anew, and a little of the reserve restarts every test.

    Restarts 1, 2, 3 … of a step get 1/2, 1/6, 1/12 … of what was kept for them: the sum over any gap is a difference.
    """
    if interval <= state.interval or not state.steps_begun:
        return state
    before, after = state.intervals_of_step, state.intervals_of_step + interval - state.interval
    kept = (1 - AT_ONCE) * policy.step_wealth(state.steps_begun)
    mass = min(state.reserve, kept * (1 / (before + 1) - 1 / (after + 1)))
    return state.model_copy(
        update={
            "interval": interval,
            "intervals_of_step": after,
            "reserve": state.reserve - mass,
            "strata": {name: _restarted(old, mass, new_step=False) for name, old in state.strata.items()},
            "pooled": _restarted(state.pooled, mass, new_step=False),
        }
    )


def _with_rows(state: LiveState, rows: Sequence[Row], rules: Rules) -> LiveState:
    """Return the state after rows of one interval: one chunk for each stratum and stage."""
    strata, pooled = dict(state.strata), state.pooled
    gathered: dict[tuple[str, Stage], list[Row]] = defaultdict(list)
    for row in rows:
        gathered[_stratum_of(row.tenant, strata), row.stage].append(row)
    for name, stage in sorted(gathered):
        applied = replace(rules, mixed=name == OTHER_TENANTS)
        chunk = chunk_of(stage, gathered[name, stage], applied)
        pooled = pooled.model_copy(update={"kinds": summed((pooled.kinds, chunk.kinds))})
        strata[name], pooled = absorb(strata[name], pooled, chunk, applied)
    return _with_requests(state.model_copy(update={"strata": strata, "pooled": pooled}), rows)


def _with_requests(state: LiveState, rows: Iterable[Row]) -> LiveState:
    """Return the state with requests counted, by tenant for the whole rollout and by arm for this step."""
    seen, arms = dict(state.seen), {"candidate": state.candidate_requests, "stable": state.stable_requests}
    for row in rows:
        if row.stage == "first" and (row.tenant in seen or len(seen) < MAX_SEEN):
            seen[row.tenant] = seen.get(row.tenant, 0) + row.started
        if row.stage == "first" and row.bucket >= state.began:
            arms[row.arm] += row.started
    requests = {"candidate_requests": arms["candidate"], "stable_requests": arms["stable"]}
    return state.model_copy(update={"seen": seen} | requests)


def _stratum_of(tenant: str, strata: dict[str, Stratum]) -> str:
    """Return where a tenant is counted; while there is room, in a stratum of its own, which is made here."""
    if tenant not in strata:
        tenant = tenant if len(strata.keys() - {OTHER_TENANTS}) < MAX_TENANTS else OTHER_TENANTS
    strata.setdefault(tenant, Stratum())
    return tenant


def _with_latencies(state: LiveState, rows: Iterable[Row]) -> LiveState:
    """Return the state with stable's latencies counted until edges are frozen.

    Where a rollout began without an observation, edges are frozen as soon as there are enough: before the next look.
    """
    waiting = [row for row in rows if row.arm == "stable" and LATENCIES[row.stage] not in state.edges]
    if not waiting:
        return state
    histograms = dict(state.histograms)
    for metric in {LATENCIES[row.stage] for row in waiting}:
        bins = (row.histogram for row in waiting if LATENCIES[row.stage] == metric)
        histograms[metric] = summed((histograms.get(metric, {}), *bins))
    state = state.model_copy(update={"histograms": histograms})
    return _with_frozen_edges(state) if state.steps_begun else state
