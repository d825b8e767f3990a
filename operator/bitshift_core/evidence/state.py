"""What the live tests remember between two looks, and by which numbers they judge.

Here: the policy and the state, small enough for one ConfigMap. Not here: how it changes (`evidence.live`).
"""

import math
from typing import Annotated

from pydantic import Field, PlainSerializer

from ..api.base import ApiObject
from ..api.v1alpha1 import LiveEvidence

Wealth = Annotated[float, PlainSerializer(lambda value: float(f"{value:.6g}"))]
"""Six digits are kept: the state of 64 tenants must fit a ConfigMap many times over."""
Numbers = tuple[Wealth, ...]

MAX_TENANTS = 64
"""Tenants judged singly; the others share one stratum."""
MAX_SEEN = 256
"""Tenants whose requests are counted, to know the largest ones."""

AT_ONCE = 0.9
"""The part of a step's wealth that bets from its first request; the rest restarts the test at every later interval."""
QUANTILES = (0.50, 0.90, 0.95, 0.99)
NO_CONTROL_SECONDS = 30
"""So long without a stable request in a stratum, and its candidate is judged by stable's past."""
PENDING_SECONDS = 300
"""So long may stable requests wait for a candidate's; later they are no longer concurrent."""
METRIC_WEIGHTS = {"errors": 0.4, "answers": 0.3, "ttft": 0.2, "itl": 0.1}
"""How the error rate is shared out: by weights that sum to 1, since a mean of e-values is an e-value."""


class LivePolicy(ApiObject):
    """Error rate, margins and paces of the live tests."""

    error_rate: Annotated[float, Field(gt=0, lt=1)] = 0.01
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.003
    """How much worse a rate may be before it counts as worse, as a share of requests."""
    promote_margin: Annotated[float, Field(gt=0, lt=1)] = 0.02
    promote_latency_margin: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """How many more requests, as a share of them, may be slower than one of stable's latency quantiles."""
    latency_margin: Annotated[float, Field(ge=0)] = 0.05
    """How much slower a latency may be, as a ratio."""
    hard_margin: Annotated[float, Field(ge=0, lt=1)] = 0.20
    hard_share: Annotated[float, Field(ge=0, le=1)] = 0.2
    """The share of the error rate that the hard tier spends."""
    historical_margin: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Extra margin where stable's past stands in for a concurrent control."""
    interval_seconds: Annotated[int, Field(ge=1)] = 30
    """The soft tier's gain is capped per interval, so that one blip cannot decide."""
    cap_intervals: Annotated[int, Field(ge=1)] = 4
    steps: Annotated[int, Field(ge=1)] = 4
    """Planned steps, holding included: the tests restart at each."""
    minimum_requests: Annotated[int, Field(ge=0)] = 30
    doubt: Annotated[float, Field(ge=1)] = 10
    """Evidence of harm above which no step is taken."""

    @classmethod
    def from_evidence(cls, evidence: LiveEvidence, *, steps: int) -> "LivePolicy":
        """Return the policy that a user's `traffic.evidence` asks for over so many steps, holding included."""
        return cls(
            error_rate=evidence.error_rate_ppm / 1e6,
            margin=evidence.margin_ppm / 1e6,
            promote_margin=evidence.promote_margin_ppm / 1e6,
            promote_latency_margin=evidence.promote_latency_points / 100,
            latency_margin=evidence.latency_margin_percent / 100,
            steps=steps,
        )

    @property
    def threshold(self) -> float:
        """The evidence at which a verdict falls."""
        return 1 / self.error_rate

    @property
    def cap(self) -> float:
        """The largest factor by which one interval may multiply soft evidence: errors alone need `cap_intervals`."""
        bet = max(METRIC_WEIGHTS.values()) * (1 - self.hard_share) * AT_ONCE * self.step_wealth(1)
        return math.exp(math.log(self.threshold / bet) / self.cap_intervals)

    def step_wealth(self, number: int) -> float:
        """Return the share of wealth that a step's tests start with; the first has most, since most harm shows at once.

        Shares are 1/n of a harmonic sum over the planned steps; one beyond the plan adds its share to the error rate.
        """
        return 1 / (number * sum(1 / n for n in range(1, self.steps + 1)))


class Statistic(ApiObject):
    """One yes-or-no outcome in one stratum: its evidence so far and what the bets are aimed by."""

    soft: Numbers = ()
    """Wealth of each bet against "not worse by more than the margin"."""
    soft_start: Wealth = 0
    """Their sum when the interval began: the cap counts from there."""
    hard: Numbers = ()
    promote: Numbers = ()
    """Wealth of each bet against "worse by at least the promotion margin"; only pooled."""
    past: Numbers = (0.0, 0.0)
    """Stable's requests and bad ones, old ones fading: where the bets aim, never what they are judged by."""
    candidate: tuple[int, int] = (0, 0)
    """Requests and bad ones that were judged in this step."""
    stable: tuple[int, int] = (0, 0)


class Stratum(ApiObject):
    """One tenant, or all of them pooled."""

    statistics: dict[str, Statistic] = Field(default_factory=dict)
    pending: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    """Requests of an open block by `stage/arm`: started, bad, measured, above each latency edge."""
    opened: dict[str, int] = Field(default_factory=dict)
    """The second in which the stage's open block began."""
    control_seen: int = 0
    """The last second with a stable request, or the stratum's first one."""
    requests: int = 0
    candidate_requests: int = 0
    """Of the whole rollout, as `requests` is; what follows is of this step."""
    historical_requests: int = 0
    """Candidate requests that were judged by stable's past."""
    kinds: dict[str, int] = Field(default_factory=dict)
    """The candidate's bad outcomes."""


class LiveState(ApiObject):
    """Everything the live tests know of one rollout. A new one is the observation before the first step."""

    step: str = ""
    began: float = 0
    steps_begun: int = 0
    concurrent: bool = True
    """False while no request of any tenant goes to stable on purpose (holding)."""
    interval: int = 0
    intervals_of_step: int = 0
    reserve: float = 1
    """The share of wealth that later restarts will bet with."""
    edges: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    """Stable's latency quantiles (`ttft`, `itl`) as bin indices, frozen before the first step."""
    histograms: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Stable's latencies until the edges are frozen."""
    seen: dict[str, int] = Field(default_factory=dict)
    """Requests by tenant."""
    watermarks: dict[str, int] = Field(default_factory=dict)
    """The last counted second by `pod/boot/stage`: what is not above it was counted or is lost, never counted again."""
    candidate_requests: int = 0
    """Of this step, as are the next two."""
    stable_requests: int = 0
    strata: dict[str, Stratum] = Field(default_factory=dict)
    pooled: Stratum = Stratum()
