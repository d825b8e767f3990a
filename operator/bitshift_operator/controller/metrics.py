"""What the operator tells Prometheus about itself.

Here: the numbers and their names. Not here: serving them (`controller.health`); what the relay measures of traffic.
"""

from collections import Counter as Counts
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from bitshift_core.rollout.plan import Decision
from bitshift_operator.cluster.errors import ApiError
from bitshift_operator.cluster.kinds import Key
from bitshift_operator.controller.queue import QueueMetrics, WorkQueue

TURN_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
ROLLING_BACK = "RollingBack"
ROLLBACK_BUCKETS = (0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60)


class Metrics:
    """Counters in a registry of their own: the process's other libraries do not mix theirs in."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.turn_seconds = Histogram(
            "bitshift_reconcile_seconds",
            "How long one turn of a model took",
            buckets=TURN_BUCKETS,
            registry=self.registry,
        )
        self.turn_errors = Counter(
            "bitshift_reconcile_errors", "Turns that failed, by what failed", ["error"], registry=self.registry
        )
        self.queue_wait_seconds = Histogram(
            "bitshift_queue_wait_seconds", "How long a ready model waited", buckets=TURN_BUCKETS, registry=self.registry
        )
        self.rollbacks = Counter(
            "bitshift_rollbacks", "Rollbacks that began, by reason", ["reason"], registry=self.registry
        )
        self.rollback_seconds = Histogram(
            "bitshift_rollback_seconds",
            "From the decision until the data plane was seen to lead everyone home",
            buckets=ROLLBACK_BUCKETS,
            registry=self.registry,
        )
        self._phases: dict[Key, str] = {}

    def queue_hooks(self) -> QueueMetrics:
        """Return what the queue calls."""
        return QueueMetrics(self.queue_wait_seconds.observe, self.turn_seconds.observe, self._failed)

    def decided(self, key: Key, decision: Decision) -> None:
        """Note the phase that a model is in; one that begins to roll back is counted."""
        if decision.phase == ROLLING_BACK and self._phases.get(key) not in (None, ROLLING_BACK):
            self.rollbacks.labels(decision.plan.reason).inc()
        self._phases[key] = decision.phase

    def forget(self, key: Key) -> None:
        """Drop a model that is gone."""
        self._phases.pop(key, None)

    def observe(self, queue: WorkQueue, calls: "Counts[tuple[str, str, int]]", is_leader: Callable[[], bool]) -> None:
        """Have every scrape read the queue, the calls to the API server and who leads."""
        self.registry.register(_Scraped(self._phases, queue, calls, is_leader))

    def text(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        return generate_latest(self.registry)

    def _failed(self, error: Exception) -> None:
        self.turn_errors.labels(type(error).__name__ if isinstance(error, ApiError) else "Bug").inc()


class _Scraped:
    """What is counted elsewhere already."""

    def __init__(self, phases: dict[Key, str], queue: WorkQueue, calls: Any, is_leader: Callable[[], bool]) -> None:
        self._phases, self._queue, self._calls, self._is_leader = phases, queue, calls, is_leader

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield the numbers as they are now."""
        yield GaugeMetricFamily("bitshift_queue_depth", "Models that are ready for a turn", value=self._queue.depth)
        yield GaugeMetricFamily("bitshift_queue_scheduled", "Models with a time set", value=self._queue.scheduled)
        yield GaugeMetricFamily("bitshift_leader", "1 where this replica works", value=int(self._is_leader()))
        calls = CounterMetricFamily("bitshift_api_calls", "Calls to the API server", labels=["verb", "kind", "code"])
        for (verb, kind, code), count in sorted(self._calls.items()):
            calls.add_metric([verb, kind, str(code)], count)
        yield calls
        models = GaugeMetricFamily("bitshift_models", "QuantizedModels by phase", labels=["phase"])
        for phase, count in sorted(Counts(self._phases.values()).items()):
            models.add_metric([phase], count)
        yield models
