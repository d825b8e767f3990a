"""Everything a turn may use, in one place: what is passed to `reconcile`, and nothing global.

Here: the parts, and how a change of the cluster becomes a key in the queue. Not here: starting them (`__main__`).
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from bitshift_core.fit.engines import EngineConstants
from bitshift_operator.cluster.caches import Caches
from bitshift_operator.cluster.client import Kube, Manifest
from bitshift_operator.cluster.events import EventPoster
from bitshift_operator.cluster.kinds import EVAL_SUITE, Key, Kind
from bitshift_operator.cluster.observe import Reader
from bitshift_operator.cluster.watch import Cache, Change, Reflector
from bitshift_operator.controller.interests import Interests
from bitshift_operator.controller.metrics import Metrics
from bitshift_operator.controller.queue import WorkQueue
from bitshift_operator.settings import Settings

HTTP_TIMEOUT = httpx.Timeout(5.0, connect=2.0)
CROWD_SECONDS = 1.0
"""News about room comes in crowds (a node drains, a job ends): one look after it is enough."""


@dataclass
class World:
    """The operator's parts; tests put other ones in."""

    kube: Kube
    settings: Settings
    queue: WorkQueue
    caches: Caches
    interests: Interests
    events: EventPoster
    metrics: Metrics
    http: httpx.AsyncClient
    """For what is not the API server: relays, pods that are asked, the data plane."""
    reader: Reader
    now: Callable[[], float] = time.time
    models: set[Key] = field(default_factory=set)
    """All QuantizedModels that were heard of; one that is gone leaves when its turn finds nothing."""
    _restless: set[str] = field(default_factory=set)
    _told_at: dict[Key, float] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def around(
        cls, kube: Kube, settings: Settings, engines: EngineConstants, now: Callable[[], float] = time.time
    ) -> AsyncIterator["World"]:
        """Yield a world with nothing in it yet, its parts connected."""
        metrics = Metrics()
        queue, interests = WorkQueue(metrics.queue_hooks()), Interests()
        namespaces = settings.watch_namespaces
        caches = Caches(on_change=lambda kind, change: spread(kind, change, queue, interests, namespaces))
        events = EventPoster(kube, now, instance=settings.pod_name)
        async with httpx.AsyncClient(timeout=HTTP_TIMEOUT, follow_redirects=False, trust_env=False) as http:
            reader = Reader(kube, caches, settings, engines, http)
            yield cls(kube, settings, queue, caches, interests, events, metrics, http, reader, now)

    def reflectors(self) -> list[Reflector]:
        """Return what keeps the caches up to date."""
        settings = self.settings
        found = list(self.caches.reflectors(self.kube, settings.watch_namespaces))
        if settings.watch_namespaces and settings.namespace not in settings.watch_namespaces:
            # kopf watches all kinds in each of its namespaces; in the operator's own, only suites are our business.
            suites = Cache(lambda suite: suite["metadata"].get("generation"), on_change=lambda _: self.wake_all_soon())
            found.append(Reflector(self.kube, EVAL_SUITE, suites, namespace=settings.namespace))
        return found

    def forget(self, key: Key) -> None:
        """Drop all that is known of a model that is gone."""
        self.models.discard(key)
        self.interests.forget(key)
        self.queue.forget(key)
        self.metrics.forget(key)
        self._told_at.pop(key, None)

    def told(self, key: Key) -> None:
        """Note that a model's status was written just now."""
        self._told_at[key] = self.now()

    def told_lately(self, key: Key, seconds: float) -> bool:
        """Return whether a model's status was written within the last seconds."""
        return self.now() < self._told_at.get(key, -math.inf) + seconds

    def wake_all_soon(self, namespace: str = "") -> None:
        """Look at all models again, or at those of one namespace: once, however many suites a relist brings."""
        if not self._restless:
            asyncio.get_running_loop().call_later(CROWD_SECONDS, self._wake_restless)
        self._restless.add(namespace)

    def _wake_restless(self) -> None:
        for key in self.models:
            if key.namespace in self._restless or "" in self._restless:
                self.queue.add(key)
        self._restless.clear()


def spread(
    kind: Kind,
    change: Change[Manifest],
    queue: WorkQueue,
    interests: Interests,
    namespaces: tuple[str, ...] = (),
) -> None:
    """Wake the models that a change concerns: its owners and who depends on it, at once; who waits for room, soon.

    Pods are heard of in the whole cluster, models of namespaces that are not watched are not ours to wake.
    """
    for model in change.owners | interests.in_one(kind, change.key):
        if not namespaces or model.namespace in namespaces:
            queue.add(model)
    for model in interests.in_any(kind):
        queue.add_after(model, CROWD_SECONDS)
