import asyncio
import calendar
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from bitshift_operator.cluster.client import Kube
from bitshift_operator.cluster.kinds import LEASE
from bitshift_operator.controller.leader import Leadership
from bitshift_operator.settings import Settings
from tests.fake_api import FakeApi
from tests.fake_store import Refused

NS = "bitshift-system"


def a_candidate(kube, name, lease_seconds=1):
    candidate = Leadership(kube, Settings(pod_name=name), on_elected=lambda: None)
    # Faster than the official Config allows, so that a test takes no seconds.
    candidate.config.lease_duration, candidate.config.renew_deadline, candidate.config.retry_period = (
        lease_seconds,
        0.2,
        0.05,
    )
    return candidate


@asynccontextmanager
async def running(*candidates):
    tasks = [asyncio.create_task(candidate.run()) for candidate in candidates]
    try:
        async with asyncio.timeout(5):
            yield tasks
    finally:
        for task in tasks:
            task.cancel()


async def until(holds):
    while not holds():
        await asyncio.sleep(0.01)


async def test_the_first_candidate_leads_and_the_other_waits(kube: Kube):
    first, second = a_candidate(kube, "a"), a_candidate(kube, "b")

    async with running(first):
        await until(lambda: first.is_leader)
        async with running(second):
            await asyncio.sleep(0.3)

    assert not second.is_leader


async def test_a_lease_that_is_given_back_is_taken_at_once(kube: Kube, api: FakeApi):
    first, second = a_candidate(kube, "a", lease_seconds=600), a_candidate(kube, "b", lease_seconds=600)
    async with running(first) as tasks:
        await until(lambda: first.is_leader)
        tasks[0].cancel()
        await first.release()

    async with running(second):  # which gives up long before such a lease runs out
        await until(lambda: second.is_leader)

    lease = api.get(LEASE, NS, "bitshift-operator")
    assert lease and lease["spec"]["leaseTransitions"] == 1


@pytest.mark.long
async def test_a_silent_leader_is_replaced_when_its_lease_runs_out(kube: Kube):
    first, second = a_candidate(kube, "a"), a_candidate(kube, "b")
    async with running(first):
        await until(lambda: first.is_leader)

    async with running(second):
        await until(lambda: second.is_leader)


async def test_a_leader_that_cannot_renew_gives_up(kube: Kube, api: FakeApi):
    def refuse(verb, target):
        raise Refused(503, "ServiceUnavailable", "etcd is away")

    leader = a_candidate(kube, "a")
    async with running(leader) as tasks:
        await until(lambda: leader.is_leader)
        api.interrupt = refuse
        await tasks[0]

    assert not leader.is_leader


async def test_a_leader_survives_a_short_silence(kube: Kube, api: FakeApi):
    leader = a_candidate(kube, "a")
    leader.config.renew_deadline = 2
    host = kube.api.configuration.host
    async with running(leader) as tasks:
        await until(lambda: leader.is_leader)
        kube.api.configuration.host = "http://127.0.0.1:9"
        await asyncio.sleep(0.2)
        kube.api.configuration.host = host
        renewed = len(api.requests)
        await until(lambda: len(api.requests) > renewed + 2)
        assert not tasks[0].done()


async def test_the_lease_is_written_in_utc(kube: Kube, api: FakeApi, monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        leader = a_candidate(kube, "a")
        async with running(leader):
            await until(lambda: leader.is_leader)
    finally:
        monkeypatch.undo()
        time.tzset()

    spec = (api.get(LEASE, NS, "bitshift-operator") or {})["spec"]
    renewed = datetime.strptime(spec["renewTime"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    assert renewed.timestamp() == pytest.approx(calendar.timegm(time.gmtime()), abs=5)
