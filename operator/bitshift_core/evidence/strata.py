"""One tenant's requests, grouped into blocks in which both arms took part.

Here: tallies of rows, blocks and what waits for the other arm. Not here: what a block does to the evidence
(`evidence.statistic`), who is in which stratum and when tests restart (`evidence.live`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .rows import ANSWER_KINDS, ERROR_KINDS, Arm, Row, Stage, edges_apart
from .sequential import Block
from .state import NO_CONTROL_SECONDS, PENDING_SECONDS, QUANTILES, Statistic, Stratum
from .statistic import (
    LATENCIES,
    RATES,
    Rules,
    after_block,
    after_history,
    aim,
    has_past,
    remembering,
    statistic_names,
    usual_rate,
)

Tally = tuple[int, ...]
"""Requests started, bad, measured, and how many were above each latency edge."""

NOTHING: Tally = (0,) * (3 + len(QUANTILES))
JUDGED_KINDS: dict[Stage, frozenset[str]] = {"first": frozenset(ERROR_KINDS), "end": frozenset(ANSWER_KINDS)}
NEW = Statistic()


@dataclass(frozen=True)
class Chunk:
    """Requests of one stratum and stage that are looked at together."""

    stage: Stage
    candidate: Tally
    stable: Tally
    first_second: int
    last_second: int
    kinds: Mapping[str, int]
    """The candidate's bad outcomes by kind."""


def chunk_of(stage: Stage, rows: Sequence[Row], rules: Rules) -> Chunk:
    """Return rows of one stratum and stage as a chunk."""
    arms: dict[Arm, list[Row]] = {"candidate": [], "stable": []}
    for row in rows:
        arms[row.arm].append(row)
    kinds = summed(row.bad for row in arms["candidate"])
    seconds = [row.bucket for row in rows]
    candidate, stable = _tally(stage, arms["candidate"], rules, slower=True), _tally(stage, arms["stable"], rules)
    return Chunk(stage, candidate, stable, min(seconds), max(seconds), kinds)


def _tally(stage: Stage, rows: Sequence[Row], rules: Rules, *, slower: bool = False) -> Tally:
    """Return rows of one arm as counts; the candidate's latency is held against edges further out by the margin."""
    started = sum(row.started for row in rows)
    bad = sum(min(row.started, sum(row.bad.get(kind, 0) for kind in JUDGED_KINDS[stage])) for row in rows if row.bad)
    limits = rules.edges.get(LATENCIES[stage], ())
    if not limits:
        return (started, bad, *NOTHING[2:])
    shift = edges_apart(1 + rules.policy.latency_margin) if slower else 0
    bins = [(int(index) - shift, count) for index, count in summed(row.histogram for row in rows).items()]
    above = (sum(count for index, count in bins if index > limit) for limit in limits)
    return (started, bad, sum(count for _, count in bins), *above)


def added(one: Tally, other: Tally) -> Tally:
    """Return the sum of two tallies."""
    return tuple(a + b for a, b in zip(one, other, strict=True))


def summed(counters: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the sum of counters."""
    total: dict[str, int] = {}
    for counter in counters:
        for key, count in counter.items():
            total[key] = total.get(key, 0) + count
    return total


def absorb(stratum: Stratum, pooled: Stratum, chunk: Chunk, rules: Rules) -> tuple[Stratum, Stratum]:
    """Return the stratum and the pool of all strata after a chunk: it closes a block, or waits for the other arm.

    Whether a block is closed depends on who sent requests and when, never on how they ended.
    """
    stratum, (candidate, stable, opened) = _counted(stratum, chunk), _with_pending(stratum, chunk)
    stage, closed = chunk.stage, _closed(stratum, chunk.stage)
    if not rules.in_play:
        return _remembering(closed, stage, stable), _remembering(pooled, stage, stable)
    if candidate[0] and stable[0]:
        if bool(candidate[2]) != bool(stable[2]) and chunk.last_second - opened < PENDING_SECONDS:
            closed = _waiting(closed, stage, _latencies_of(candidate), _latencies_of(stable), opened)
        return _judged(closed, pooled, stage, (candidate, stable), rules, fresh=opened >= rules.began)
    alone = not rules.concurrent or chunk.last_second - stratum.control_seen >= NO_CONTROL_SECONDS
    if candidate[0] and alone and has_past(pooled.statistics.get(RATES[stage])):
        return _judged_by_past(closed, pooled, stage, candidate, rules)
    if stable[0] and chunk.last_second - opened >= PENDING_SECONDS:
        return _remembering(closed, stage, stable), _remembering(pooled, stage, stable)
    return _waiting(stratum, stage, candidate, stable, opened), pooled


def _counted(stratum: Stratum, chunk: Chunk) -> Stratum:
    """Return the stratum with the chunk in its counters; a request is counted in the stage in which it starts."""
    first = chunk.stage == "first"
    control = chunk.last_second if chunk.stable[0] else stratum.control_seen or chunk.first_second
    return stratum.model_copy(
        update={
            "control_seen": max(control, stratum.control_seen),
            "requests": stratum.requests + first * (chunk.candidate[0] + chunk.stable[0]),
            "candidate_requests": stratum.candidate_requests + first * chunk.candidate[0],
            "kinds": summed((stratum.kinds, chunk.kinds)),
        }
    )


def _with_pending(stratum: Stratum, chunk: Chunk) -> tuple[Tally, Tally, int]:
    """Return what has waited together with what has come, and the second in which the block was opened."""
    candidate = stratum.pending.get(f"{chunk.stage}/candidate", NOTHING)
    stable = stratum.pending.get(f"{chunk.stage}/stable", NOTHING)
    opened = stratum.opened.get(chunk.stage, chunk.first_second)
    return added(candidate, chunk.candidate), added(stable, chunk.stable), opened


def _latencies_of(arm: Tally) -> Tally:
    """Return what waits where only one arm has latencies: of a tenant who streams now and then few blocks have both."""
    return (0, 0, *arm[2:])


def _waiting(stratum: Stratum, stage: Stage, candidate: Tally, stable: Tally, opened: int) -> Stratum:
    pending = {**stratum.pending, f"{stage}/candidate": candidate, f"{stage}/stable": stable}
    return stratum.model_copy(update={"pending": pending, "opened": {**stratum.opened, stage: opened}})


def _closed(stratum: Stratum, stage: Stage) -> Stratum:
    pending = {key: value for key, value in stratum.pending.items() if not key.startswith(stage)}
    opened = {key: value for key, value in stratum.opened.items() if key != stage}
    return stratum.model_copy(update={"pending": pending, "opened": opened})


def _outcomes(stage: Stage, arm: Tally) -> dict[str, tuple[int, int]]:
    """Return (requests, bad ones) of each statistic of a stage."""
    started, bad, measured, *above = arm
    latencies = zip(statistic_names(LATENCIES[stage]), above, strict=True)
    return {RATES[stage]: (started, bad)} | {name: (measured, count) for name, count in latencies}


def _judged(
    stratum: Stratum, pooled: Stratum, stage: Stage, arms: tuple[Tally, Tally], rules: Rules, *, fresh: bool
) -> tuple[Stratum, Stratum]:
    """Return both after a block of concurrent requests: the same block bets in the stratum and in the pool.

    Requests that started before this step warn, but do not promote (`fresh`).
    """
    own, shared = dict(stratum.statistics), dict(pooled.statistics)
    candidates, stables = _outcomes(stage, arms[0]), _outcomes(stage, arms[1])
    for name, candidate in candidates.items():
        if not candidate[0] or not stables[name][0]:
            continue
        block = Block(*candidate, *stables[name])
        overall = aim(shared.get(name, NEW), usual_rate(name))
        own[name] = after_block(
            own.get(name, NEW), block, aim(own.get(name, NEW), overall), name, rules, promotes=False
        )
        shared[name] = after_block(shared.get(name, NEW), block, overall, name, rules, promotes=fresh)
    return stratum.model_copy(update={"statistics": own}), pooled.model_copy(update={"statistics": shared})


def _judged_by_past(
    stratum: Stratum, pooled: Stratum, stage: Stage, candidate: Tally, rules: Rules
) -> tuple[Stratum, Stratum]:
    """Return both after candidate requests without a control: the tenant's own past judges, else that of all."""
    own, shared = dict(stratum.statistics), dict(pooled.statistics)
    for name, outcome in _outcomes(stage, candidate).items():
        past = own[name] if has_past(own.get(name)) else shared.get(name, NEW)
        if outcome[0] and has_past(past):
            own[name] = after_history(own.get(name, NEW), outcome, past, name, rules)
            shared[name] = after_history(shared.get(name, NEW), outcome, past, name, rules)
    count = candidate[0] if stage == "first" else 0
    return (
        stratum.model_copy(update={"statistics": own, "historical_requests": stratum.historical_requests + count}),
        pooled.model_copy(update={"statistics": shared, "historical_requests": pooled.historical_requests + count}),
    )


def _remembering(stratum: Stratum, stage: Stage, stable: Tally) -> Stratum:
    """Return a stratum that remembers stable's requests without judging by them: no candidate was beside them."""
    statistics = dict(stratum.statistics)
    for name, (count, bad) in _outcomes(stage, stable).items():
        if count:
            statistics[name] = remembering(statistics.get(name, NEW), count, bad)
    return stratum.model_copy(update={"statistics": statistics})
