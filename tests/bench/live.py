"""How many requests a bad candidate is served before it goes, and how often a good one goes: python tests/bench/live.py

The ramp is 5 → 10 → 25 → 50 %, 15 minutes each, at 20 requests a second and a base rate of 1 % errors. Beside the live
tests runs, on the same requests, the rule of threshold tools: each minute the candidate's success rate must be at least
98 %, the fifth failed check rolls back. The bound is what no test at the same error rate can beat while both arms are
learnt at 5 % (ln(1/α) over the information of one candidate request and its share of the control).
"""

import argparse
import math
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bitshift_core.evidence.live import LivePolicy, LiveState, RelayReport, Row, begin_step, fold, judge

BASE = 0.01
RATE_PER_SECOND = 20
TICK_SECONDS = 5
RAMP = (0.05, 0.10, 0.25, 0.50)
STEP_SECONDS = 900
OBSERVE_SECONDS = 300
THRESHOLD_SUCCESS = 0.98
THRESHOLD_CHECKS = 5
BEGIN = 1_000_020


@dataclass(frozen=True)
class Tick:
    """What both arms did in a few seconds."""

    second: int
    step: int
    candidate: int
    candidate_bad: int
    stable: int
    stable_bad: int


@dataclass
class Served:
    """How many candidate requests a rule let through, and whether it rolled back."""

    requests: int = 0
    rolled_back: bool = False


def ramp(rate: float, chance: random.Random, minute_noise: float) -> Iterator[Tick]:
    """Yield a rollout's ticks; noise multiplies each arm's rate anew every minute (log-normal)."""
    second = BEGIN
    for step, weight in enumerate(RAMP):
        for begin in range(0, STEP_SECONDS, TICK_SECONDS):
            if begin % 60 == 0:
                factors = [math.exp(chance.gauss(-(minute_noise**2) / 2, minute_noise)) for _ in range(2)]
            total = RATE_PER_SECOND * TICK_SECONDS
            candidate = _count(chance, total, weight)
            bad = _count(chance, candidate, min(1.0, rate * factors[0]))
            stable_bad = _count(chance, total - candidate, min(1.0, BASE * factors[1]))
            yield Tick(second + begin, step, candidate, bad, total - candidate, stable_bad)
        second += STEP_SECONDS


def _count(chance: random.Random, number: int, probability: float) -> int:
    return sum(chance.random() < probability for _ in range(number))


def sequential(ticks: list[Tick], policy: LivePolicy) -> Served:
    """Return what the live tests did, fed by relay reports as in a cluster."""
    served, step = Served(), -1
    state = fold(LiveState(), [_report(BEGIN - 1, _rows(BEGIN - 1, "stable", *_observed()))], policy)
    for tick in ticks:
        if tick.step != step:
            step = tick.step
            state = begin_step(state, f"step-{step}", tick.second, policy)
        rows = _rows(tick.second, "stable", tick.stable, tick.stable_bad)
        rows += _rows(tick.second, "candidate", tick.candidate, tick.candidate_bad)
        state = fold(state, [_report(tick.second, rows)], policy)
        served.requests += tick.candidate
        if judge(state, policy).roll_back:
            served.rolled_back = True
            break
    return served


def _observed() -> tuple[int, int]:
    total = RATE_PER_SECOND * OBSERVE_SECONDS
    return total, round(BASE * total)


def _rows(second: int, arm: str, started: int, bad: int) -> list[Row]:
    if not started:
        return []
    return [Row(bucket=second, arm=arm, stage="first", started=started, bad={"error5xx": bad} if bad else {})]


def _report(second: int, rows: list[Row]) -> RelayReport:
    return RelayReport(pod="relay-0", boot="a", now=second + 1, closed_until={"first": second}, rows=tuple(rows))


def threshold(ticks: list[Tick], _: LivePolicy) -> Served:
    """Return what a rule does that checks a success rate each minute and counts failed checks."""
    served, failed_checks, requests, bad = Served(), 0, 0, 0
    for tick in ticks:
        served.requests += tick.candidate
        requests, bad = requests + tick.candidate, bad + tick.candidate_bad
        if (tick.second - BEGIN) % 60 == 60 - TICK_SECONDS:
            failed_checks += not requests or bad / requests > 1 - THRESHOLD_SUCCESS
            requests = bad = 0
        if failed_checks >= THRESHOLD_CHECKS:
            served.rolled_back = True
            break
    return served


def bound(rate: float, weight: float, error_rate: float) -> float:
    """Return the fewest candidate requests by which a test of this error rate can tell the rates apart."""
    mix = weight * rate + (1 - weight) * BASE
    return math.log(1 / error_rate) / (_divergence(rate, mix) + (1 - weight) / weight * _divergence(BASE, mix))


def _divergence(p: float, q: float) -> float:
    return p * math.log(p / q) + ((1 - p) * math.log((1 - p) / (1 - q)) if p < 1 else 0.0)


def compare(rate: float, rollouts: int, seed: int, noise: float = 0.0) -> dict[str, list[Served]]:
    """Return what both rules did on the same rollouts."""
    rules: dict[str, Callable[[list[Tick], LivePolicy], Served]] = {"live tests": sequential, "threshold": threshold}
    policy, found = LivePolicy(), {name: [] for name in rules}
    for number in range(rollouts):
        ticks = list(ramp(rate, random.Random(f"{seed}/{rate}/{number}"), noise))
        for name, rule in rules.items():
            found[name].append(rule(ticks, policy))
    return found


def line(label: str, found: list[Served], limit: float | None) -> str:
    """Return one row of the table."""
    requests = [served.requests for served in found]
    share = sum(served.rolled_back for served in found) / len(found)
    beside = f"{limit:7.0f} {statistics.mean(requests) / limit:7.1f}" if limit else f"{'-':>7} {'-':>7}"
    return f"{label:28} {share:11.1%} {statistics.mean(requests):9.0f} {statistics.median(requests):9.0f} {beside}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rollouts", type=int, default=60, help="healthy rollouts; effects get a share of it")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    print(f"{'candidate (stable 1 %)':28} {'rolled back':>11} {'mean':>9} {'median':>9} {'bound':>7} {'ratio':>7}")
    cases = ((BASE, 1.0, 0.0), (BASE, 0.5, 0.3), (0.03, 0.6, 0.0), (0.05, 1.0, 0.0), (0.10, 1.0, 0.0), (1.0, 1.0, 0.0))
    for rate, share, noise in cases:
        found = compare(rate, max(1, round(options.rollouts * share)), options.seed, noise)
        limit = bound(rate, RAMP[0], LivePolicy().error_rate) if rate != BASE else None
        name = f"{rate:.0%}" + (f", noise {noise:g}" if noise else "")
        for rule, served in found.items():
            print(line(f"{name:16} {rule}", served, limit), flush=True)
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
