"""Caches of what the cluster holds, kept up to date by list-and-watch.

Here: one cache for each kind, the loop that feeds it, and who is told of a change. Not here: what is cached
(`cluster.caches`), what is done about a change (`controller.queue`).

The official client's `kubernetes.informer` was looked at first and not taken: it runs a thread for each kind over typed
models, keeps whole objects, and cannot say whose object one is. kopf's index keeps objects that were deleted during a
relist. Here a relist replaces what was known, and only projections are kept.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from bitshift_core.rollout import names

from .client import Kube, Manifest
from .errors import ApiError, Gone, NotFound
from .kinds import Key, Kind, key_of

WATCH_SECONDS = 300
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 30.0
ABSENT_KIND_PAUSE_SECONDS = 30.0

T = TypeVar("T")
log = logging.getLogger(__name__)


def labelled_owners(manifest: Manifest) -> tuple[Key, ...]:
    """Return the QuantizedModel that an object of ours belongs to, as its label says."""
    metadata = manifest["metadata"]
    model = (metadata.get("labels") or {}).get(names.MODEL)
    return (Key(metadata.get("namespace", ""), model),) if model else ()


def slim(manifest: Manifest) -> Manifest:
    """Return an object without who wrote which field, often the larger half of it."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "managedFields"}
    return manifest | {"metadata": metadata}


@dataclass(frozen=True)
class Change(Generic[T]):
    """What happened to one cached object; `before` or `after` is None when it came or went."""

    key: Key
    owners: frozenset[Key]
    """Whose it is, and whose it was."""
    before: T | None
    after: T | None


@dataclass(frozen=True)
class _Entry(Generic[T]):
    item: T
    owners: tuple[Key, ...]


class Cache(Generic[T]):
    """Projections of all objects of one kind; the readers' half knows nothing of watches."""

    def __init__(
        self,
        project: Callable[[Manifest], T | None],
        owners: Callable[[Manifest], Iterable[Key]] = labelled_owners,
        on_change: Callable[[Change[T]], None] | None = None,
    ) -> None:
        """`project` may return None for what is not worth keeping."""
        self.is_served = True
        """Whether the API server knew the kind when it was listed last."""
        self._project, self._owners, self._on_change = project, owners, on_change
        self._entries: dict[Key, _Entry[T]] = {}
        self._owned: dict[Key, dict[Key, T]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, namespace: str, name: str) -> T | None:
        """Return one object as it was last seen."""
        entry = self._entries.get(Key(namespace, name))
        return entry.item if entry else None

    def list(self, namespace: str = "") -> Sequence[T]:
        """Return all objects, or those of one namespace."""
        return [entry.item for key, entry in self._entries.items() if namespace in ("", key.namespace)]

    def by_owner(self, owner: Key) -> Sequence[T]:
        """Return what belongs to one model, without looking at all the rest."""
        return tuple(self._owned.get(owner, {}).values())

    def put(self, manifest: Manifest) -> None:
        """Take in an object as it is now; told on only when its projection or owner changed."""
        item = self._project(manifest)
        entry = None if item is None else _Entry(item, tuple(self._owners(manifest)))
        self._set(key_of(manifest), entry)

    def drop(self, key: Key) -> None:
        """Forget an object that is gone."""
        self._set(key, None)

    def keep_only(self, keys: set[Key], namespace: str) -> None:
        """Forget what a new list of a namespace (or of all) no longer names: it went while nobody watched."""
        ghosts = [key for key in self._entries if namespace in ("", key.namespace) and key not in keys]
        for key in ghosts:
            self.drop(key)

    def _set(self, key: Key, new: _Entry[T] | None) -> None:
        old = self._entries.pop(key, None)
        for owner in old.owners if old else ():
            self._owned[owner].pop(key)
            if not self._owned[owner]:
                del self._owned[owner]
        if new:
            self._entries[key] = new
            for owner in new.owners:
                self._owned.setdefault(owner, {})[key] = new.item
        if self._on_change and old != new:
            owners = frozenset((old.owners if old else ()) + (new.owners if new else ()))
            self._on_change(Change(key, owners, old.item if old else None, new.item if new else None))


class Reflector:
    """Keeps a cache equal to what the API server holds of one kind, in one namespace or in all."""

    def __init__(
        self,
        kube: Kube,
        kind: Kind,
        cache: Cache[Any],
        *,
        namespace: str = "",
        label_selector: str = "",
        optional: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """An `optional` kind may be absent from the cluster (Gateway API, say): its cache is empty then."""
        self.kind, self.cache, self.namespace = kind, cache, namespace
        self.synced = asyncio.Event()
        self.last_heard_at = math.inf
        """When the API server last answered or spoke to this watch; never stale before it runs."""
        self._kube, self._selector, self._optional, self._clock = kube, label_selector, optional, clock
        self._version = ""
        self._pause_seconds = FIRST_PAUSE_SECONDS

    async def run(self) -> None:
        """List, watch, and begin again for ever; ends only by cancellation."""
        self._heard()
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except Gone:
                self._version = ""
            except ApiError as error:
                await self._pause(error)

    async def _list(self) -> None:
        keys, version = set(), ""
        async for page, page_version in self._kube.pages(self.kind, self.namespace, label_selector=self._selector):
            version = page_version
            for manifest in page:
                keys.add(key_of(manifest))
                self._take_in(manifest)
        self.cache.keep_only(keys, self.namespace)
        self.cache.is_served = True
        self._version = version
        self._heard()
        self.synced.set()

    async def _watch(self) -> None:
        seconds = int(WATCH_SECONDS * random.uniform(0.8, 1.2))  # else all watches of a cluster end at once
        events = self._kube.watch(
            self.kind,
            self.namespace,
            resource_version=self._version,
            label_selector=self._selector,
            timeout_seconds=seconds,
        )
        async for event, manifest in events:
            if event == "DELETED":
                self.cache.drop(key_of(manifest))
            elif event != "BOOKMARK":
                self._take_in(manifest)
            self._version = manifest["metadata"]["resourceVersion"]
            self._heard()
        self._heard()
        await asyncio.sleep(FIRST_PAUSE_SECONDS)  # something between may end every watch at once

    def _take_in(self, manifest: Manifest) -> None:
        try:
            self.cache.put(manifest)
        except Exception:  # one odd object must not blind us to all the others
            log.exception("Reading %s %s failed", self.kind.kind, key_of(manifest))
            self.cache.drop(key_of(manifest))

    def _heard(self) -> None:
        self.last_heard_at = self._clock()
        self._pause_seconds = FIRST_PAUSE_SECONDS

    async def _pause(self, error: ApiError) -> None:
        seconds = self._pause_seconds * random.uniform(0.5, 1.0)
        self._pause_seconds = min(self._pause_seconds * 2, LONGEST_PAUSE_SECONDS)
        if self._optional and isinstance(error, NotFound):
            self._absent()
            seconds = ABSENT_KIND_PAUSE_SECONDS
        else:
            log.warning("Watching %s failed: %s", self.kind.plural, error.message)
        await asyncio.sleep(seconds)

    def _absent(self) -> None:
        self.cache.keep_only(set(), self.namespace)
        self.cache.is_served = False
        self._version = ""
        self._heard()
        self.synced.set()
