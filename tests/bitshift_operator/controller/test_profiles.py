import asyncio

import pytest

from bitshift_operator.cluster.client import Kube
from bitshift_operator.cluster.engines import load_engines
from bitshift_operator.cluster.kinds import RUNTIME_PROFILE, Key
from bitshift_operator.controller.reconcile import reconcile
from bitshift_operator.controller.world import World
from bitshift_operator.settings import Settings
from tests.engine_profiles import shipped
from tests.fake_api import FakeApi

MINE = Key("", "mine")


@pytest.fixture
async def world(kube: Kube):
    async with World.around(kube, Settings(), load_engines(), lambda: 1_800_000_000.0) as made:
        yield made


def accepted(api):
    (condition,) = api.get(RUNTIME_PROFILE, *MINE)["status"]["conditions"]
    return condition["status"], condition["message"]


def writes(api):
    return [target for verb, target in api.requests if verb not in ("GET", "WATCH")]


async def test_a_profile_that_a_user_applies_is_told_whether_it_can_be_used(api: FakeApi, world):
    api.put(RUNTIME_PROFILE.new("", "mine", spec=shipped("llamacpp").as_json()))
    await reconcile(MINE, world)
    assert accepted(api) == ("True", "Releases may use it.")

    broken = shipped("llamacpp").as_json() | {"args": []}
    api.put(RUNTIME_PROFILE.new("", "mine", spec=broken, status=api.get(RUNTIME_PROFILE, *MINE)["status"]))
    await reconcile(MINE, world)
    assert accepted(api)[0] == "False" and "which model to load" in accepted(api)[1]


async def test_a_settled_profile_is_not_written_again(api: FakeApi, world):
    api.put(RUNTIME_PROFILE.new("", "mine", spec=shipped("vllm").as_json()))
    await reconcile(MINE, world)
    before = len(writes(api))
    await asyncio.gather(*(reconcile(MINE, world) for _ in range(3)))

    assert before == 1 == len(writes(api))


async def test_a_profile_that_is_gone_needs_no_turn(api: FakeApi, world):
    assert await reconcile(MINE, world) is None
    assert writes(api) == []
