"""Sentences about live evidence, with the numbers a person needs to agree or not.

Here: words. Not here: verdicts (`evidence.verdict`).
"""

from collections.abc import Mapping

from .rows import ANONYMOUS, ANSWER_KINDS, ERROR_KINDS, OTHER_TENANTS, edge_ms, edges_apart
from .state import QUANTILES, LivePolicy, Statistic, Stratum
from .statistic import is_rate, statistic_names

TENANTS = {ANONYMOUS: "(anonymous)", OTHER_TENANTS: "(other tenants)"}
DID = {"errors": "answered {} with errors", "answers": "gave broken answers to {}"}
LATENCY = {"ttft": "the first token took", "itl": "the time between tokens was"}
NOTHING_KNOWN = Statistic()
TOLD_KINDS = 2


def tenant(name: str) -> str:
    """Return a tenant's name for people."""
    return TENANTS.get(name, name)


def percent(share: float) -> str:
    """Return a share as a percentage, with a decimal only where it tells something."""
    value = 100 * share
    return f"{value:.0f} %" if value >= 10 or value == 0 else f"{value:.1f} %"


def number(evidence: float) -> str:
    """Return evidence without false precision."""
    if evidence >= 1e6:
        return "over a million"
    return f"{evidence:,.0f}" if evidence >= 10 else f"{evidence:.1f}"


def comparison(
    metric: str, name: str | None, stratum: Stratum, edges: Mapping[str, tuple[int, ...]], policy: LivePolicy
) -> str:
    """Return how both arms did in one metric: of one tenant when named, else of all."""
    about = "" if name is None else f"for tenant {tenant(name)} "
    said = _rates(metric, stratum) if is_rate(metric) else _latencies(metric, stratum, edges, policy)
    return about + said + _historical(stratum, policy)


def _rates(metric: str, stratum: Stratum) -> str:
    one = stratum.statistics.get(metric, NOTHING_KNOWN)
    return f"candidate {DID[metric].format(_of(one.candidate))}{_kinds(metric, stratum)}, stable {_of(one.stable, '')}"


def _of(outcome: tuple[int, int], unit: str = " requests") -> str:
    count, bad = outcome
    return f"{bad} of {count}{unit} ({percent(bad / count if count else 0)})"


def _kinds(metric: str, stratum: Stratum) -> str:
    """Return which kinds of bad outcomes there were most of."""
    kinds = ERROR_KINDS if metric == "errors" else ANSWER_KINDS
    counted = sorted(((stratum.kinds.get(kind, 0), kind) for kind in kinds), reverse=True)[:TOLD_KINDS]
    told = ", ".join(f"{kind} {count}" for count, kind in counted if count)
    return f" [{told}]" if told else ""


def _latencies(metric: str, stratum: Stratum, edges: Mapping[str, tuple[int, ...]], policy: LivePolicy) -> str:
    """Return the quantile that speaks loudest: how many were slower than stable used to be."""
    known = [stratum.statistics.get(name, NOTHING_KNOWN) for name in statistic_names(metric)]
    loudest = max(range(len(known)), key=lambda rank: sum(known[rank].soft))
    if metric not in edges:
        return f"{LATENCY[metric]} not measured yet"
    edge = edge_ms(edges[metric][loudest])
    later = edge_ms(edges[metric][loudest] + edges_apart(1 + policy.latency_margin))
    quantile = f"stable's {percent(QUANTILES[loudest])[:-2]}th percentile before the rollout"
    one = known[loudest]
    return (
        f"{LATENCY[metric]} over {later:,.0f} ms in {_of(one.candidate)} of the candidate, over {edge:,.0f} ms"
        f" ({quantile}) in {_of(one.stable, '')} of stable"
    )


def _historical(stratum: Stratum, policy: LivePolicy) -> str:
    if not stratum.historical_requests:
        return ""
    count, extra = stratum.historical_requests, percent(policy.historical_margin)[:-2]
    return f" (historical evidence for {count} requests: no control ran beside them, {extra} point more margin)"


def weight_of(evidence: float, policy: LivePolicy, *, rolled_back: bool, hurt: tuple[str, ...]) -> str:
    """Return what the evidence amounts to."""
    names = f"; hurt: {', '.join(tenant(name) for name in hurt[:3])}{' …' if len(hurt) > 3 else ''}" if hurt else ""
    against = f"a threshold of {number(policy.threshold)} (error rate {percent(policy.error_rate)})"
    said = f"evidence {number(evidence)} against {against}"
    return f": {said}{names}" if rolled_back else f": {said}, too little to go back, too much to go on{names}"


def progress(counts: str, evidence: Mapping[str, float], needed: int, policy: LivePolicy) -> str:
    """Return how far the step is from being won."""
    margins = f"no rate is worse by {percent(policy.promote_margin)[:-2]} points or more"
    if not all(is_rate(metric) for metric in evidence):
        margins += f", no latency by {percent(policy.promote_latency_margin)[:-2]}"
    won = ", ".join(f"{metric} {number(value)}" for metric, value in evidence.items())
    rest = f"; about {needed} more candidate requests needed" if needed else ""
    return f"{counts}: evidence that {margins}: {won} of {number(policy.threshold)}{rest}"
