"""Kubernetes Events: the milestones of a model, where `kubectl describe` shows them.

Here: posting each once. Not here: what is a milestone (`bitshift_core.rollout`).
"""

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime

from .client import Kube, Manifest
from .errors import AlreadyExists, ApiError
from .kinds import EVENT

REPORTER = "bitshift"
LONGEST_MESSAGE = 1024
REMEMBERED = 2048
REPEAT_SECONDS = 600

log = logging.getLogger(__name__)


class EventPoster:
    """Posts an Event once per (object, reason, message); said again after a while, it is counted.

    The name of an Event is made of what it says, so that a restarted operator finds the one it posted before.
    """

    def __init__(self, kube: Kube, now: Callable[[], float], *, instance: str = REPORTER) -> None:
        self._kube, self._now, self._instance = kube, now, instance
        self._posted: OrderedDict[str, float] = OrderedDict()

    async def post(self, subject: Manifest, reason: str, message: str, *, warning: bool = False) -> None:
        """Post a milestone of `subject`; a failure is logged, never raised: nothing depends on an Event."""
        event = self._event(subject, reason, message[:LONGEST_MESSAGE], "Warning" if warning else "Normal")
        name = event["metadata"]["name"]
        if self._now() < self._posted.get(name, 0.0) + REPEAT_SECONDS:
            return
        try:
            await self._kube.create(event)
        except AlreadyExists:
            await self._count(event)
        except ApiError as error:
            log.warning("The event %s of %s was not posted: %s", reason, event["involvedObject"]["name"], error)
            return
        self._remember(name)

    async def _count(self, event: Manifest) -> None:
        metadata = event["metadata"]
        known = await self._kube.get(EVENT, metadata["namespace"], metadata["name"])
        if known:
            more = {"count": known.get("count", 1) + 1, "lastTimestamp": event["lastTimestamp"]}
            try:
                await self._kube.patch_merge(EVENT, metadata["namespace"], metadata["name"], more)
            except ApiError as error:
                log.debug("The event %s was not counted: %s", metadata["name"], error)

    def _remember(self, name: str) -> None:
        self._posted[name] = self._now()
        self._posted.move_to_end(name)
        if len(self._posted) > REMEMBERED:
            self._posted.popitem(last=False)

    def _event(self, subject: Manifest, reason: str, message: str, severity: str) -> Manifest:
        metadata = subject["metadata"]
        namespace = metadata.get("namespace") or "default"
        said = f"{metadata.get('uid', '')}\n{reason}\n{message}"
        name = f"{metadata['name'][:200]}.{hashlib.sha256(said.encode()).hexdigest()[:16]}"
        now = datetime.fromtimestamp(self._now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        reference = {
            "apiVersion": subject["apiVersion"],
            "kind": subject["kind"],
            "name": metadata["name"],
            "namespace": metadata.get("namespace", ""),
            "uid": metadata.get("uid", ""),
        }
        return EVENT.new(
            namespace,
            name,
            involvedObject=reference,
            reason=reason,
            message=message,
            type=severity,
            count=1,
            firstTimestamp=now,
            lastTimestamp=now,
            source={"component": REPORTER},
            reportingComponent=REPORTER,
            reportingInstance=self._instance,
        )
