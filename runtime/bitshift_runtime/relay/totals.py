"""What Prometheus reads: totals since the relay's start.

Here: the totals and their text. Not here: what decisions rest on (`relay.ledger`).
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator

from bitshift_core.evidence.live import Arm, Stage
from bitshift_core.evidence.rows import OTHER_TENANTS

from .ledger import ARMS, Ticket

MOST_TENANT_LABELS = 32
"""The first so many tenants keep labels of their own: the largest would change, and a total must never fall."""
EDGES_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
PREFIX = "bitshift_relay"


class Histogram:
    """A Prometheus histogram of seconds."""

    def __init__(self) -> None:
        self._counts = [0] * (len(EDGES_SECONDS) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(EDGES_SECONDS, seconds)] += 1
        self._sum += seconds

    def lines(self, name: str, labels: str) -> Iterator[str]:
        """Return the lines of one label set."""
        total = 0
        for edge, count in zip((*map(str, EDGES_SECONDS), "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{{labels},le="{edge}"}} {total}'
        yield f"{name}_sum{{{labels}}} {self._sum}"
        yield f"{name}_count{{{labels}}} {total}"


class Totals:
    """Requests, faults and durations by arm; requests and faults by tenant too."""

    def __init__(self) -> None:
        self.client_closed: Counter[Arm] = Counter()
        """Requests whose client left before the answer was complete: neither good nor bad."""
        self.unfinished: Counter[Arm] = Counter()
        self.not_understood: Counter[Arm] = Counter()
        """Requests that were passed on while looking at them failed: our mistake, so they are left out."""
        self._requests: Counter[tuple[Arm, str]] = Counter()
        self._faults: Counter[tuple[Arm, str, Stage, str]] = Counter()
        self._durations: dict[tuple[str, Arm], Histogram] = {}
        self._labels: dict[str, str] = {}

    def began(self, ticket: Ticket) -> None:
        """Count a new request."""
        self._requests[ticket.arm, self._label(ticket.tenant)] += 1

    def count(self, ticket: Ticket, stage: Stage, faults: Iterable[str], milliseconds: float | None) -> None:
        """Count an outcome."""
        for fault in faults:
            self._faults[ticket.arm, self._label(ticket.tenant), stage, fault] += 1
        if milliseconds is not None:
            name = "time_to_first_token" if stage == "first" else "inter_token_latency"
            self.duration(name, ticket.arm, milliseconds / 1000)

    def duration(self, name: str, arm: Arm, seconds: float) -> None:
        """Count a duration under a name."""
        self._durations.setdefault((name, arm), Histogram()).add(seconds)

    def _label(self, tenant: str) -> str:
        known = self._labels.get(tenant)
        if known is not None:
            return known
        if len(self._labels) >= MOST_TENANT_LABELS:
            return OTHER_TENANTS
        self._labels[tenant] = label = tenant.replace("\\", "\\\\").replace('"', '\\"')
        return label

    def lines(self, in_flight: dict[Arm, int]) -> Iterator[str]:
        """Return the Prometheus text, line by line."""
        yield from _family("in_flight", "gauge", in_flight)
        yield from _family("client_closed_total", "counter", self.client_closed)
        yield from _family("unfinished_total", "counter", self.unfinished)
        yield from _family("not_understood_total", "counter", self.not_understood)
        yield f"# TYPE {PREFIX}_requests_total counter"
        for (arm, tenant), count in self._requests.items():
            yield f'{PREFIX}_requests_total{{arm="{arm}",tenant="{tenant}"}} {count}'
        yield f"# TYPE {PREFIX}_faults_total counter"
        for (arm, tenant, stage, kind), count in self._faults.items():
            labels = f'arm="{arm}",tenant="{tenant}",stage="{stage}",kind="{kind}"'
            yield f"{PREFIX}_faults_total{{{labels}}} {count}"
        for name in sorted({name for name, _ in self._durations}):
            yield f"# TYPE {PREFIX}_{name}_seconds histogram"
            for arm in ARMS:
                if histogram := self._durations.get((name, arm)):
                    yield from histogram.lines(f"{PREFIX}_{name}_seconds", f'arm="{arm}"')


def _family(name: str, kind: str, by_arm: dict[Arm, int]) -> Iterator[str]:
    yield f"# TYPE {PREFIX}_{name} {kind}"
    for arm in ARMS:
        yield f'{PREFIX}_{name}{{arm="{arm}"}} {by_arm.get(arm, 0)}'
