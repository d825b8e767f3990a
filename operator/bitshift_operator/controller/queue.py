"""Which model is looked at next: each key once, each key by one worker, rollbacks first.

Here: order, delay and back-off. Not here: what puts keys in (`controller.triggers`), what a turn does (`reconcile`).
"""

import asyncio
import heapq
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count

from bitshift_operator.cluster.errors import ApiError, Conflict
from bitshift_operator.cluster.kinds import Key

FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 0.05, 30.0
LONGEST_EXPONENT = 16

log = logging.getLogger(__name__)

Turn = Callable[[Key], Awaitable[float | None]]
"""One turn for a key; returns after how many seconds to look again, None when only a change is worth a look."""


@dataclass
class QueueMetrics:
    """What the queue tells of itself; the metrics endpoint fills in the hooks."""

    waited: Callable[[float], None] = lambda seconds: None
    """How long a key lay ready before a worker was free."""
    took: Callable[[float], None] = lambda seconds: None
    failed: Callable[[Exception], None] = lambda error: None


@dataclass(order=True)
class _Due:
    at: float
    order: int
    key: Key = field(compare=False)
    urgent: bool = field(compare=False)


class WorkQueue:
    """A set of keys with times. Adding is idempotent; what comes in during a turn is looked at once more after it."""

    def __init__(self, metrics: QueueMetrics | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.metrics = metrics or QueueMetrics()
        self.last_turn_at = clock()
        """When a worker last took a key up or laid it down."""
        self._clock = clock
        self._ready: dict[Key, float] = {}
        self._urgent: dict[Key, float] = {}
        self._due: dict[Key, _Due] = {}
        self._heap: list[_Due] = []
        self._running: dict[Key, bool] = {}  # value: came by the urgent lane
        self._failures: dict[Key, int] = {}
        self._order = count()
        self._changed = asyncio.Event()
        self._stopping = False

    @property
    def depth(self) -> int:
        """Keys that are ready and wait for a worker."""
        return len(self._ready) + len(self._urgent)

    @property
    def scheduled(self) -> int:
        """Keys that become ready at a time to come."""
        return len(self._due)

    @property
    def running(self) -> int:
        """Turns that go on right now."""
        return len(self._running)

    def oldest_wait_seconds(self) -> float:
        """Return for how long the key that waits longest has been ready: what grows when workers hang."""
        free = [
            since for lane in (self._urgent, self._ready) for key, since in lane.items() if key not in self._running
        ]
        return self._clock() - min(free) if free else 0.0

    def add(self, key: Key, *, urgent: bool = False) -> None:
        """Have a key looked at as soon as a worker is free; urgent ones before all others."""
        since = self._ready.pop(key, None) if urgent else None
        lane = self._urgent if urgent or key in self._urgent else self._ready
        lane.setdefault(key, since if since is not None else self._clock())
        self._due.pop(key, None)
        self._changed.set()

    def add_after(self, key: Key, seconds: float, *, urgent: bool = False) -> None:
        """Have a key looked at after a while at the latest; an earlier time that is set already stands."""
        if seconds <= 0:
            return self.add(key, urgent=urgent)
        at, known = self._clock() + seconds, self._due.get(key)
        if key in self._ready or key in self._urgent or (known and known.at <= at):
            return None
        self._due[key] = due = _Due(at, next(self._order), key, urgent)
        heapq.heappush(self._heap, due)
        if len(self._heap) > 2 * len(self._due) + 64:  # most are times that an earlier look made pointless
            self._heap = sorted(self._due.values())
        self._changed.set()
        return None

    def forget(self, key: Key) -> None:
        """Drop what is planned for a key whose object is gone."""
        for planned in (self._ready, self._urgent, self._due, self._failures):
            planned.pop(key, None)

    async def work(self, turn: Turn, *, workers: int = 4) -> None:
        """Give keys their turns until `stop`; then return as soon as the running turns have ended.

        One worker more takes urgent keys only: a rollback never waits behind slow turns of others.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._worker(turn, (self._urgent,)))
            for _ in range(workers):
                group.create_task(self._worker(turn, (self._urgent, self._ready)))

    def stop(self) -> None:
        """Start no turn any more."""
        self._stopping = True
        self._changed.set()

    async def _worker(self, turn: Turn, lanes: tuple[dict[Key, float], ...]) -> None:
        while (key := await self._next(lanes)) is not None:
            try:
                await self._take_turn(key, turn)
            finally:
                self._running.pop(key)
                self.last_turn_at = self._clock()
                self._changed.set()

    async def _take_turn(self, key: Key, turn: Turn) -> None:
        started = self._clock()
        try:
            wake_after = await turn(key)
        except Exception as error:
            self._retry(key, error)
        else:
            self._failures.pop(key, None)
            if wake_after is not None:
                self.add_after(key, wake_after)
        finally:
            self.metrics.took(self._clock() - started)

    def _retry(self, key: Key, error: Exception) -> None:
        failures = self._failures[key] = min(self._failures.get(key, 0) + 1, LONGEST_EXPONENT)
        seconds = min(FIRST_RETRY_SECONDS * 2.0 ** (failures - 1), LONGEST_RETRY_SECONDS)
        level = logging.DEBUG if isinstance(error, Conflict) else logging.WARNING
        is_bug = not isinstance(error, ApiError)  # only then is the traceback of use
        log.log(level, "The turn of %s failed, again in %.2f s: %s", key, seconds, error, exc_info=is_bug)
        self.metrics.failed(error)
        # What came in during the turn is often its own doing; the retry sees it too: it must not cut the pause short.
        self._ready.pop(key, None)
        self.add_after(key, seconds, urgent=self._running[key])

    async def _next(self, lanes: tuple[dict[Key, float], ...]) -> Key | None:
        while not self._stopping:
            self._changed.clear()
            self._move_due()
            for lane in lanes:
                for key in lane:
                    if key not in self._running:
                        return self._take(key, lane)
            await self._until_changed_or_due()
        return None

    def _take(self, key: Key, lane: dict[Key, float]) -> Key:
        self.last_turn_at = self._clock()
        self.metrics.waited(self.last_turn_at - lane.pop(key))
        self._running[key] = lane is self._urgent
        return key

    def _move_due(self) -> None:
        while self._heap and self._heap[0].at <= self._clock():
            due = heapq.heappop(self._heap)
            if self._due.get(due.key) is due:
                self.add(due.key, urgent=due.urgent)

    async def _until_changed_or_due(self) -> None:
        seconds = self._heap[0].at - self._clock() if self._heap else None
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass
