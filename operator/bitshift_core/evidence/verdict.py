"""What live evidence says now: back to stable, on to the next step, or wait.

Here: how evidence of metrics, tiers and tenants is combined. Not here: how it grows (`evidence.statistic`), the
sentences (`evidence.sentences`).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..api.v1alpha1 import TenantStatus
from . import sentences
from .sequential import SMALLEST_WEALTH, hurt_by, promotion_growth
from .state import METRIC_WEIGHTS, LivePolicy, LiveState, Statistic, Stratum
from .statistic import LATENCIES, RATES, aim, is_rate, promotion_aim, promotion_margin, statistic_names, usual_rate

FALSE_NAMES = 0.10
"""Of the tenants that are named as hurt, the expected share that is not."""
WORST = 10
POOLED_SHARE = 0.5
"""Half the evidence is of all tenants pooled, half of single tenants: neither harm to all nor to one goes unseen."""
MEASURED_SHARE = 0.1
"""Of a step's candidate requests; a latency that fewer of them have need not win it, or a step would wait for a handful
of streams."""
NOTHING_KNOWN = Statistic()


@dataclass(frozen=True)
class LiveVerdict:
    """What to do about the candidate, and why."""

    roll_back: bool
    may_advance: bool
    reason: str
    message: str
    evidence: float
    """Of harm; `threshold` of it rolls back."""
    threshold: float
    candidate_requests: int
    stable_requests: int
    needed_requests: int
    """How many more candidate requests the step probably needs."""
    worst: tuple[TenantStatus, ...]
    hurt: tuple[str, ...]
    """Tenants that e-BH names, as in their header."""
    historical: bool
    """True where stable's past, not a concurrent control, judged some of the requests."""


@dataclass(frozen=True)
class Cause:
    """One metric in one stratum, and what it adds to the evidence of harm."""

    metric: str
    tenant: str | None
    """None is all tenants pooled."""
    contribution: float


def judge(state: LiveState, policy: LivePolicy) -> LiveVerdict:
    """Return what the evidence of all metrics and tenants says."""
    causes = tuple(_causes(state, policy))
    evidence = sum(cause.contribution for cause in causes)
    leading = max(causes, key=lambda cause: cause.contribution)
    by_tenant = {name: _harm(state.strata[name], state, policy) for name in _shares(state)}
    hurt = hurt_by(by_tenant, FALSE_NAMES)
    needed = needed_requests(state, policy)
    reason = _reason(state, policy, evidence, hurt, needed)
    return LiveVerdict(
        roll_back=reason == "CandidateWorse",
        may_advance=reason in ("EvidenceSuffices", "NothingAgainst"),
        reason=reason,
        message=_message(state, policy, reason, leading, evidence, hurt, needed),
        evidence=evidence,
        threshold=policy.threshold,
        candidate_requests=state.candidate_requests,
        stable_requests=state.stable_requests,
        needed_requests=needed,
        worst=_worst(state, policy, by_tenant, hurt),
        hurt=hurt,
        historical=state.pooled.historical_requests > 0,
    )


def _shares(state: LiveState) -> dict[str, float]:
    """Return each tested tenant's weight, by the root of its requests: how they ended has no part in it."""
    roots = {name: math.sqrt(one.requests) for name, one in state.strata.items() if one.candidate_requests}
    total = sum(roots.values())
    return {name: root / total for name, root in roots.items()} if total else {}


def _causes(state: LiveState, policy: LivePolicy) -> Iterator[Cause]:
    """Yield what each metric adds, pooled and by tenant; their sum is a mean of e-values, so an e-value itself."""
    shares = _shares(state)
    for metric, weight in METRIC_WEIGHTS.items():
        pooled = POOLED_SHARE if shares else 1.0
        yield Cause(metric, None, weight * pooled * _metric_harm(state.pooled, metric, state, policy))
        for name, share in shares.items():
            harm = _metric_harm(state.strata[name], metric, state, policy)
            yield Cause(metric, name, weight * (1 - pooled) * share * harm)


def _harm(stratum: Stratum, state: LiveState, policy: LivePolicy) -> float:
    """Return the evidence that a stratum alone is hurt."""
    return sum(weight * _metric_harm(stratum, name, state, policy) for name, weight in METRIC_WEIGHTS.items())


def _metric_harm(stratum: Stratum, metric: str, state: LiveState, policy: LivePolicy) -> float:
    soft = _soft(stratum, metric, state)
    if not is_rate(metric):
        return soft
    hard = stratum.statistics.get(metric, NOTHING_KNOWN).hard
    return (1 - policy.hard_share) * soft + policy.hard_share * (sum(hard) + state.reserve if hard else 1.0)


def _soft(stratum: Stratum, metric: str, state: LiveState) -> float:
    """Return the soft tier's evidence: of a latency, the mean over its quantiles. Untouched, it is 1."""
    known = [stratum.statistics.get(name, NOTHING_KNOWN).soft for name in statistic_names(metric)]
    return sum(sum(soft) + state.reserve if soft else 1.0 for soft in known) / len(known)


def _in_doubt(state: LiveState, policy: LivePolicy) -> bool:
    """Return whether some metric speaks against the candidate: too little to go back, too much to go on."""
    shares = _shares(state)
    for metric in METRIC_WEIGHTS:
        tenants = sum(share * _soft(state.strata[name], metric, state) for name, share in shares.items())
        if max(_soft(state.pooled, metric, state), tenants) > policy.doubt:
            return True
    return False


def _reason(state: LiveState, policy: LivePolicy, evidence: float, hurt: tuple[str, ...], needed: int) -> str:
    if evidence >= policy.threshold:
        return "CandidateWorse"
    if not state.steps_begun:
        return "Observing"
    if hurt or _in_doubt(state, policy):
        return "InDoubt"
    if state.candidate_requests < policy.minimum_requests:
        return "TooFewRequests"
    if not state.concurrent:
        return "NothingAgainst"
    return "EvidenceGrows" if needed else "EvidenceSuffices"


def promotion_evidence(state: LiveState) -> dict[str, float]:
    """Return this step's evidence against "worse by at least the promotion margin", by metric that must win it.

    A latency has as much as that of its quantiles of which least is known.
    """
    return {
        metric: min(_promoted(state, name) for name in statistic_names(metric))
        for metric in METRIC_WEIGHTS
        if is_rate(metric) or (metric in state.edges and _measured_share(state, metric) >= MEASURED_SHARE)
    }


def _promoted(state: LiveState, name: str) -> float:
    promote = state.pooled.statistics.get(name, NOTHING_KNOWN).promote
    return max(SMALLEST_WEALTH, sum(promote)) if promote else 1.0


def _measured_share(state: LiveState, metric: str) -> float:
    """Return the share of this step's candidate requests that have a latency; 1 before any was judged."""
    rate = next(RATES[stage] for stage, name in LATENCIES.items() if name == metric)
    requests, measured = (
        state.pooled.statistics.get(name, NOTHING_KNOWN).candidate[0] for name in (rate, statistic_names(metric)[0])
    )
    return measured / requests if requests else 1.0


def needed_requests(state: LiveState, policy: LivePolicy) -> int:
    """Return how many more candidate requests will probably win the step, if the candidate is as good as stable."""
    ratio = max(1, state.candidate_requests) / max(1, state.stable_requests)
    missing = [max(0, policy.minimum_requests - state.candidate_requests)]
    for metric in promotion_evidence(state):
        share = 1.0 if is_rate(metric) else _measured_share(state, metric)
        for name in statistic_names(metric):
            rate = promotion_aim(name, aim(state.pooled.statistics.get(name, NOTHING_KNOWN), usual_rate(name)))
            growth = share * promotion_growth(rate, promotion_margin(name, policy), ratio)
            gap = math.log(policy.threshold) - math.log(_promoted(state, name))
            missing.append(math.ceil(max(0.0, gap) / growth))
    return max(missing)


def _message(
    state: LiveState,
    policy: LivePolicy,
    reason: str,
    leading: Cause,
    evidence: float,
    hurt: tuple[str, ...],
    needed: int,
) -> str:
    counts = f"{state.candidate_requests} candidate and {state.stable_requests} stable requests"
    if reason in ("CandidateWorse", "InDoubt"):
        stratum = state.pooled if leading.tenant is None else state.strata[leading.tenant]
        found = sentences.comparison(leading.metric, leading.tenant, stratum, state.edges, policy)
        return found + sentences.weight_of(evidence, policy, rolled_back=reason == "CandidateWorse", hurt=hurt)
    if reason == "Observing":
        return f"{state.pooled.requests or state.stable_requests} stable requests observed before the first step"
    if reason == "NothingAgainst":
        return f"nothing speaks against the candidate in {counts}, judged by stable's past: no control runs beside it"
    return sentences.progress(counts, promotion_evidence(state), needed, policy)


def _worst(
    state: LiveState, policy: LivePolicy, evidence: Mapping[str, float], hurt: tuple[str, ...]
) -> tuple[TenantStatus, ...]:
    """Return the tenants for whom the candidate looks worst, with their own numbers."""
    ranked = sorted(evidence, key=lambda name: (-evidence[name], name))[:WORST]
    return tuple(_tenant(state, policy, name, evidence[name], hurt) for name in ranked)


def _tenant(state: LiveState, policy: LivePolicy, name: str, evidence: float, hurt: tuple[str, ...]) -> TenantStatus:
    stratum = state.strata[name]
    metric = max(METRIC_WEIGHTS, key=lambda one: METRIC_WEIGHTS[one] * _metric_harm(stratum, one, state, policy))
    found = sentences.comparison(metric, None, stratum, state.edges, policy)
    named = "; hurt" if name in hurt else ""
    message = f"{found}: evidence {sentences.number(evidence)}{named}"
    return TenantStatus(name=sentences.tenant(name), requests=stratum.candidate_requests, message=message)
