"""One active replica: who holds the Lease works, the others wait.

Here: the Lease as the official client's election wants it. Not here: what a leader does and how it ends (`__main__`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes.aio.leaderelection.resourcelock.baselock import BaseLock

from bitshift_operator.cluster.client import Kube, Manifest
from bitshift_operator.cluster.errors import ApiError
from bitshift_operator.cluster.kinds import LEASE
from bitshift_operator.settings import Settings

NOT_FOUND = ApiException(status=404, reason="NotFound", body='{"code": 404}')
LOCAL_TIME = "%Y-%m-%d %H:%M:%S.%f"
MICRO_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


class LeaseLock(BaseLock):  # type: ignore[misc]  # the client's types are not followed
    """A Lease through our own client.

    The official one lets connection errors escape, which ends the election at the first hiccup, and writes local
    times as UTC.
    """

    def __init__(self, kube: Kube, settings: Settings) -> None:
        super().__init__(settings.lease_name, settings.namespace, settings.pod_name)
        self._kube, self._timeout_seconds = kube, settings.lease_retry_seconds
        self._lease: Manifest = {}

    async def get(self, name: str, namespace: str) -> tuple[bool, Any]:
        """Return (True, record), or (False, why not) in the words that the election understands."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                lease = await self._kube.get(LEASE, namespace, name)
        except (ApiError, TimeoutError) as error:
            return False, ApiException(status=0, reason=str(error) or "no answer in time")
        if lease is None:
            return False, NOT_FOUND
        self._lease = lease
        return True, _record(lease.get("spec") or {})

    async def create(self, name: str, namespace: str, election_record: LeaderElectionRecord) -> bool:
        """Take a lease that nobody held before."""
        return await self._wrote(self._kube.create(LEASE.new(namespace, name, spec=_spec({}, election_record))))

    async def update(self, name: str, namespace: str, updated_record: LeaderElectionRecord) -> bool:
        """Take or renew the lease that was read last; False when somebody else was faster."""
        spec = _spec(self._lease.get("spec") or {}, updated_record)
        return await self._wrote(self._kube.replace(self._lease | {"spec": spec}))

    async def release(self) -> None:
        """Give the lease back, so that another replica needs not wait until it runs out."""
        held, record = await self.get(self.name, self.namespace)
        if held and record.holder_identity == self.identity:
            await self._wrote(
                self._kube.replace(self._lease | {"spec": self._lease["spec"] | {"holderIdentity": None}})
            )

    async def _wrote(self, call: Awaitable[Manifest]) -> bool:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                self._lease = await call
        except (ApiError, TimeoutError):
            return False
        return True


class Leadership:
    """The election, from candidacy to loss."""

    def __init__(self, kube: Kube, settings: Settings, on_elected: Callable[[], None]) -> None:
        self.lock = LeaseLock(kube, settings)
        self.is_leader = False
        self._on_elected = on_elected
        self.config = Config(
            lock=self.lock,
            lease_duration=settings.lease_seconds,
            renew_deadline=settings.lease_renew_seconds,
            retry_period=settings.lease_retry_seconds,
            onstarted_leading=self._started,
            onstopped_leading=self._stopped,
        )

    async def run(self) -> None:
        """Wait until the lease is ours, then renew it; return only when it is lost."""
        await LeaderElection(self.config).run()

    async def release(self) -> None:
        """Hand over at once on an orderly end; the election must be cancelled by then, or it takes the lease again."""
        if self.is_leader:
            self.is_leader = False
            await self.lock.release()

    async def _started(self) -> None:
        self.is_leader = True
        self._on_elected()

    async def _stopped(self) -> None:
        self.is_leader = False


def _record(spec: Manifest) -> LeaderElectionRecord:
    duration = spec.get("leaseDurationSeconds")
    times = (spec.get("acquireTime"), spec.get("renewTime"))
    return LeaderElectionRecord(spec.get("holderIdentity") or None, str(duration) if duration else None, *times)


def _spec(old: Manifest, record: LeaderElectionRecord) -> Manifest:
    taken_over = old.get("holderIdentity") != record.holder_identity
    return {
        "holderIdentity": record.holder_identity,
        "leaseDurationSeconds": round(float(record.lease_duration)),
        "acquireTime": old.get("acquireTime") if not taken_over else _utc(record.renew_time),
        "renewTime": _utc(record.renew_time),
        "leaseTransitions": old.get("leaseTransitions", 0) + (1 if taken_over and old else 0),
    }


def _utc(local_time: str) -> str:
    """Return the election's local time in the form of the API."""
    pattern = LOCAL_TIME if "." in local_time else LOCAL_TIME.removesuffix(".%f")
    return datetime.strptime(local_time, pattern).astimezone(UTC).strftime(MICRO_TIME)
