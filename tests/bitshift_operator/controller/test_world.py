import asyncio

import pytest

from bitshift_core.rollout import names
from bitshift_operator.cluster.client import Kube
from bitshift_operator.cluster.engines import load_engines
from bitshift_operator.cluster.kinds import EVAL_SUITE, HTTP_ROUTE, NODE, POD, Key
from bitshift_operator.controller.interests import ANY
from bitshift_operator.controller.world import World
from bitshift_operator.settings import Settings

CHAT, CODE = Key("ns", "chat"), Key("other", "code")


@pytest.fixture
async def world(kube: Kube):
    async with World.around(kube, Settings(), load_engines(), now=lambda: 100.0) as world:
        yield world


def waiting(world):
    return set(world.queue._ready) | set(world.queue._urgent)


def ours(kind, name):
    manifest = kind.new("ns", name)
    manifest["metadata"]["labels"] = names.labels("chat")
    return manifest


async def test_a_change_of_what_belongs_to_a_model_wakes_it(world: World):
    world.caches.pods.put(ours(POD, "chat-0"))

    assert waiting(world) == {CHAT}


async def test_a_change_of_a_users_route_wakes_who_overlays_it(world: World):
    world.interests.note(CHAT, [(HTTP_ROUTE, Key("ns", "users-route"))])
    world.caches.routes.put(HTTP_ROUTE.new("ns", "another"))
    assert waiting(world) == set()

    world.caches.routes.put(HTTP_ROUTE.new("ns", "users-route"))
    assert waiting(world) == {CHAT}


async def test_news_of_room_is_gathered_before_it_wakes(world: World):
    world.interests.note(CHAT, [(NODE, ANY)])
    for number in range(5):
        world.caches.nodes.put(NODE.new("", f"n{number}"))

    assert waiting(world) == set()
    assert world.queue.scheduled == 1


async def test_a_suite_wakes_the_models_of_its_namespace_once(world: World, monkeypatch):
    monkeypatch.setattr("bitshift_operator.controller.world.CROWD_SECONDS", 0.01)
    world.models |= {CHAT, CODE}
    for _ in range(3):
        world.wake_all_soon("ns")
    await asyncio.sleep(0.05)
    assert waiting(world) == {CHAT}

    world.wake_all_soon()
    await asyncio.sleep(0.05)
    assert waiting(world) == {CHAT, CODE}


async def test_a_model_that_is_gone_leaves_nothing_behind(world: World):
    world.models.add(CHAT)
    world.interests.note(CHAT, [(NODE, ANY)])
    world.queue.add(CHAT)
    world.told(CHAT)
    world.forget(CHAT)

    assert (world.models, waiting(world), world.interests.in_any(NODE)) == (set(), set(), frozenset())
    assert not world.told_lately(CHAT, 60)


async def test_what_was_told_lately_is_remembered_for_a_while(world: World):
    assert not world.told_lately(CHAT, 60)
    world.told(CHAT)
    assert world.told_lately(CHAT, 60)
    assert not world.told_lately(CHAT, 0)


async def test_suites_of_the_operators_namespace_are_watched_apart_where_namespaces_are_named(kube: Kube):
    async def suites_watched(**settings):
        async with World.around(kube, Settings(**settings), load_engines()) as world:
            return [each.namespace for each in world.reflectors() if each.kind == EVAL_SUITE]

    assert await suites_watched() == []
    assert await suites_watched(watch_namespaces=("team-a",)) == ["bitshift-system"]
    assert await suites_watched(watch_namespaces=("team-a", "bitshift-system")) == []
