"""Relay reports as they would come from a cluster: `Relay` counts seconds of made-up traffic and reports them."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bitshift_core.evidence.live import (
    LivePolicy,
    LiveState,
    LiveVerdict,
    RelayReport,
    Row,
    begin_step,
    edge_index,
    fold,
    judge,
)

BEGIN = 1_000_020


@dataclass(frozen=True)
class Arm:
    """How one arm behaves: shares of requests with errors and with broken answers, and its usual latency."""

    errors: float = 0.01
    broken: float = 0.0
    ttft_ms: float = 0
    """0 leaves latencies out, which makes long simulations quick."""
    gap_ms: float = 0
    """Between tokens."""
    streams: float = 1.0
    """The share of requests that stream, so that gaps between their tokens are known."""


HEALTHY = Arm()


@dataclass
class Rollout:
    """A rollout under simulated traffic, judged after every tick."""

    seed: int = 1
    per_second: float = 20
    tenants: Sequence[str] = ("acme",)
    stable: Arm = HEALTHY
    candidate: Arm = HEALTHY
    of_tenant: Mapping[str, Arm] = field(default_factory=dict)
    """The candidate as single tenants have it."""
    base_of_tenant: Mapping[str, Arm] = field(default_factory=dict)
    """Stable as single tenants have it."""
    policy: LivePolicy = field(default_factory=LivePolicy)
    tick: int = 5
    state: LiveState = field(default_factory=LiveState)
    now: int = BEGIN
    served: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def observe(self, seconds: int = 60) -> None:
        """Let stable alone be seen."""
        self.run(seconds, weight=0.0)

    def step(self, name: str, *, concurrent: bool = True) -> None:
        """Begin a step."""
        self.state = begin_step(self.state, name, self.now, self.policy, concurrent=concurrent)

    def run(self, seconds: int, weight: float | Mapping[str, float]) -> LiveVerdict:
        """Let traffic flow until the candidate is rolled back or the time is over; return the last verdict."""
        verdict = judge(self.state, self.policy)
        for _ in range(0, seconds, self.tick):
            report = self.report(weight)
            self.state = fold(self.state, [report], self.policy)
            verdict = judge(self.state, self.policy)
            if verdict.roll_back:
                break
        return verdict

    def report(self, weight: float | Mapping[str, float]) -> RelayReport:
        """Return one tick of traffic as a relay reports it."""
        rows = [row for tenant in self.tenants for row in self._rows(tenant, weight)]
        self.now += self.tick
        until = {"first": self.now - 1, "end": self.now - 1}
        return RelayReport(pod="relay-0", boot="a", now=self.now, closed_until=until, rows=tuple(rows))

    def _rows(self, tenant: str, weight: float | Mapping[str, float]) -> list[Row]:
        total = self._count(self.per_second * self.tick / len(self.tenants))
        share = weight if isinstance(weight, float | int) else weight[tenant]
        candidate = sum(self.chance.random() < share for _ in range(total))
        self.served += candidate
        stable = self.base_of_tenant.get(tenant, self.stable)
        theirs = self._of_arm(tenant, "stable", stable, total - candidate)
        return theirs + self._of_arm(tenant, "candidate", self.of_tenant.get(tenant, self.candidate), candidate)

    def _count(self, mean: float) -> int:
        return int(mean) + (self.chance.random() < mean % 1)

    def _of_arm(self, tenant: str, name: str, arm: Arm, started: int) -> list[Row]:
        if not started:
            return []
        errors = sum(self.chance.random() < arm.errors for _ in range(started))
        broken = sum(self.chance.random() < arm.broken for _ in range(started - errors))
        same = {"bucket": self.now, "arm": name, "tenant": tenant}
        first = self._latencies(arm.ttft_ms, started - errors)
        streams = sum(self.chance.random() < arm.streams for _ in range(started - errors)) if arm.gap_ms else 0
        gaps = self._latencies(arm.gap_ms, streams)
        return [
            Row(**same, stage="first", started=started, bad=_named("error5xx", errors), histogram=first),
            Row(**same, stage="end", started=started - errors, bad=_named("empty", broken), histogram=gaps),
        ]

    def _latencies(self, usual_ms: float, count: int) -> dict[str, int]:
        counted: dict[str, int] = {}
        for _ in range(count * bool(usual_ms)):
            index = str(edge_index(usual_ms * self.chance.lognormvariate(0, 0.8)))
            counted[index] = counted.get(index, 0) + 1
        return counted


def _named(kind: str, count: int) -> dict[str, int]:
    return {kind: count} if count else {}
