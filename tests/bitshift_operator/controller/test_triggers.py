import asyncio
from contextlib import asynccontextmanager

import pytest

from bitshift_core.rollout import names
from bitshift_operator.cluster.client import Kube
from bitshift_operator.cluster.engines import load_engines
from bitshift_operator.cluster.kinds import EVAL_SUITE, QUANTIZED_MODEL, RUNTIME_PROFILE, Key
from bitshift_operator.controller.triggers import watch_resources
from bitshift_operator.controller.world import World
from bitshift_operator.settings import Settings
from tests.fake_api import FakeApi


@asynccontextmanager
async def watched(kube, settings):
    async with World.around(kube, settings, load_engines()) as world:
        ready = asyncio.Event()
        watching = asyncio.create_task(watch_resources(world, ready_flag=ready))
        try:
            async with asyncio.timeout(10):
                await ready.wait()
                yield world
        finally:
            watching.cancel()
            await asyncio.wait([watching])


async def until(holds):
    while not holds():
        await asyncio.sleep(0.01)


async def test_models_wake_when_they_are_found_changed_and_deleted(kube: Kube, api: FakeApi):
    api.put(QUANTIZED_MODEL.new("ns", "chat", spec={}))
    before = api.get(QUANTIZED_MODEL, "ns", "chat")
    woken = []

    async with watched(kube, Settings()) as world:

        async def turn(key):
            woken.append(key)

        working = asyncio.create_task(world.queue.work(turn))
        await until(lambda: len(woken) == 1)
        await until(lambda: any(verb == "WATCH" and t.kind == QUANTIZED_MODEL for verb, t in api.requests))
        assert api.get(QUANTIZED_MODEL, "ns", "chat") == before  # kopf writes nothing into it

        api.put(QUANTIZED_MODEL.new("ns", "chat", spec={"suspend": True}))
        await until(lambda: len(woken) == 2)
        api.remove(QUANTIZED_MODEL, "ns", "chat")
        await until(lambda: len(woken) == 3)
        world.queue.stop()
        await working

    assert set(woken) == {Key("ns", "chat")}


async def test_a_person_who_says_rollback_comes_first(kube: Kube, api: FakeApi):
    model = QUANTIZED_MODEL.new("ns", "chat", spec={})
    model["metadata"]["annotations"] = {names.ROLLBACK: "now"}
    api.put(model)

    async with watched(kube, Settings()) as world:
        await until(lambda: world.queue._urgent)


@pytest.mark.parametrize(
    ("changed", "woken"),
    [
        (EVAL_SUITE.new("ns", "maths", spec={}), {Key("ns", "chat")}),
        (EVAL_SUITE.new("bitshift-system", "starter", spec={}), {Key("ns", "chat"), Key("other", "code")}),
        (RUNTIME_PROFILE.new("", "vllm", spec={}), {Key("", "vllm"), Key("ns", "chat"), Key("other", "code")}),
    ],
)
async def test_suites_and_profiles_wake_who_may_use_them(kube: Kube, api: FakeApi, monkeypatch, changed, woken):
    monkeypatch.setattr("bitshift_operator.controller.world.CROWD_SECONDS", 0.01)

    async with watched(kube, Settings()) as world:
        world.models |= {Key("ns", "chat"), Key("other", "code")}
        api.put(changed)
        await until(lambda: set(world.queue._ready) == woken)


async def test_only_the_named_namespaces_are_watched(kube: Kube, api: FakeApi):
    for namespace in ("team-a", "team-b"):
        api.put(QUANTIZED_MODEL.new(namespace, "chat", spec={}))

    async with watched(kube, Settings(watch_namespaces=("team-a",))) as world:
        await until(lambda: world.models)
        await until(lambda: any(target.kind == RUNTIME_PROFILE for _, target in api.requests))
        await asyncio.sleep(0.1)

        assert world.models == {Key("team-a", "chat")}
    asked = {(target.kind, target.namespace) for _, target in api.requests}
    assert asked == {(QUANTIZED_MODEL, "team-a"), (EVAL_SUITE, "team-a"), (RUNTIME_PROFILE, "")}
