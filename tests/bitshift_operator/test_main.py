"""The whole process against a fake API server, with a stand-in for what a turn does."""

import asyncio
import time
from contextlib import asynccontextmanager

import aiohttp
import pytest
import yaml
from kubernetes.aio.leaderelection.electionconfig import Config

from bitshift_operator.__main__ import LEASE_LOST, STOPPED, Operator
from bitshift_operator.cluster.kinds import (
    DEPLOYMENT,
    EVAL_SUITE,
    LEASE,
    NODE,
    POD,
    QUANTIZED_MODEL,
    RESOURCE_CLAIM,
    Key,
)
from bitshift_operator.controller import leader
from bitshift_operator.settings import Settings
from tests.fake_api import FakeApi
from tests.fake_store import Refused


@pytest.fixture
def settings(api: FakeApi, tmp_path, unused_tcp_port_factory):
    kubeconfig = {
        "current-context": "fake",
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        "clusters": [{"name": "fake", "cluster": {"server": api.url}}],
        "users": [{"name": "fake", "user": {}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    return Settings(
        kubeconfig=str(tmp_path / "kubeconfig"),
        pod_name="a",
        health_port=unused_tcp_port_factory(),
        metrics_port=unused_tcp_port_factory(),
        stop_seconds=0.2,
        lease_seconds=5,
        lease_renew_seconds=1.5,
        lease_retry_seconds=1,
    )


@pytest.fixture(autouse=True)
def hasty_election(monkeypatch):
    """Elect faster than the official Config allows, so that a test takes no seconds."""

    def hasty(**arguments):
        config = Config(**arguments)
        config.renew_deadline, config.retry_period = config.renew_deadline / 10, config.retry_period / 10
        return config

    monkeypatch.setattr(leader, "Config", hasty)


@asynccontextmanager
async def running(settings, reconcile):
    operator = Operator(settings, reconcile)
    process = asyncio.create_task(operator.run())
    try:
        async with asyncio.timeout(20):
            yield operator, process
    finally:
        process.cancel()
        await asyncio.wait([process])


async def until(holds):
    while not holds():
        await asyncio.sleep(0.01)


async def test_a_model_gets_its_turns_and_the_end_is_quick_and_orderly(settings, api: FakeApi):
    turns = []

    async def reconcile(key, world):
        turns.append((key, len(world.caches.deployments)))

    api.put(QUANTIZED_MODEL.new("ns", "chat", spec={}))
    api.put(DEPLOYMENT.new("ns", "chat", spec={"replicas": 1}))
    async with running(settings, reconcile) as (operator, process):
        await until(lambda: turns)
        async with aiohttp.ClientSession() as session:
            answer = await session.get(f"http://127.0.0.1:{settings.metrics_port}/metrics")
            assert "bitshift_leader 1.0" in await answer.text()

        started = time.monotonic()
        operator.stop.set()
        assert await process == STOPPED

    assert time.monotonic() - started < 4
    assert turns == [(Key("ns", "chat"), 1)]  # the caches were filled before the first turn
    lease = api.get(LEASE, "bitshift-system", "bitshift-operator")
    assert lease and lease["spec"]["holderIdentity"] is None


async def test_a_turn_that_hangs_does_not_hold_the_end_up(settings, api: FakeApi):
    hanging = asyncio.Event()

    async def reconcile(key, world):
        hanging.set()
        await asyncio.sleep(60)

    api.put(QUANTIZED_MODEL.new("ns", "chat", spec={}))
    async with running(settings, reconcile) as (operator, process):
        await hanging.wait()
        started = time.monotonic()
        operator.stop.set()
        assert await process == STOPPED

    assert time.monotonic() - started < 5
    lease = api.get(LEASE, "bitshift-system", "bitshift-operator")
    assert lease and lease["spec"]["holderIdentity"] is None


async def test_a_replica_that_loses_the_lease_ends_with_an_error(settings, api: FakeApi):
    working = asyncio.Event()

    async def reconcile(key, world):
        working.set()

    def refuse_leases(verb, target):
        if target.kind == LEASE:
            raise Refused(503, "ServiceUnavailable", "etcd is away")

    api.put(QUANTIZED_MODEL.new("ns", "chat", spec={}))
    async with running(settings, reconcile) as (_, process):
        await working.wait()
        api.interrupt = refuse_leases
        assert await process == LEASE_LOST


async def test_a_standby_does_nothing_but_wait(settings, api: FakeApi):
    async def reconcile(key, world):
        raise AssertionError("a standby must not work")

    held = {"holderIdentity": "b", "leaseDurationSeconds": 15, "acquireTime": "x", "renewTime": "x"}
    api.put(LEASE.new("bitshift-system", "bitshift-operator", spec=held))
    api.put(QUANTIZED_MODEL.new("ns", "chat", spec={}))
    async with running(settings, reconcile) as (operator, process):
        await until(lambda: len(api.requests) >= 2)
        operator.stop.set()
        assert await process == STOPPED

    assert {target.kind for _, target in api.requests} == {LEASE}


async def test_work_begins_when_the_crds_are_there(settings, api: FakeApi, monkeypatch):
    monkeypatch.setattr("bitshift_operator.__main__.CRD_PAUSE_SECONDS", 0.05)
    turns, absent = [], [True]

    async def reconcile(key, world):
        turns.append(key)

    def not_served(verb, target):
        if absent[0] and target.kind == QUANTIZED_MODEL:
            raise Refused(404, "NotFound", "the server could not find the requested resource")

    api.interrupt = not_served
    api.put(QUANTIZED_MODEL.new("ns", "chat", spec={}))
    async with running(settings, reconcile):
        await until(lambda: len([1 for _, target in api.requests if target.kind == QUANTIZED_MODEL]) > 2)
        assert not turns
        absent[0] = False
        await until(lambda: turns)


async def test_named_namespaces_are_served_without_rights_beyond_them(settings, api: FakeApi):
    turns = []

    async def reconcile(key, world):
        turns.append(key)

    def only_team_a(verb, target):
        of_the_cluster = target.kind in (NODE, POD, RESOURCE_CLAIM) or not target.kind.namespaced
        own = target.namespace == "bitshift-system" and target.kind in (LEASE, EVAL_SUITE)
        if not (of_the_cluster or own or target.namespace == "team-a"):
            raise Refused(403, "Forbidden", f"cannot {verb} {target.kind.plural} in '{target.namespace}'")

    api.interrupt = only_team_a
    api.put(QUANTIZED_MODEL.new("team-a", "chat", spec={}))
    async with running(settings.model_copy(update={"watch_namespaces": ("team-a",)}), reconcile):
        await until(lambda: turns)

    assert turns == [Key("team-a", "chat")]
