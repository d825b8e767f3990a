import asyncio
from contextlib import asynccontextmanager

from bitshift_core.rollout import names as labels
from bitshift_operator.cluster.client import Kube
from bitshift_operator.cluster.kinds import CONFIG_MAP, HTTP_ROUTE, NODE, Key
from bitshift_operator.cluster.watch import Cache, Reflector, slim
from tests.fake_api import FakeApi
from tests.fake_store import Refused


def a_map(name, owner="chat", **data):
    manifest = CONFIG_MAP.new("ns", name, data=data)
    manifest["metadata"]["labels"] = {labels.MODEL: owner}
    return manifest


@asynccontextmanager
async def running(reflector):
    task = asyncio.create_task(reflector.run())
    try:
        async with asyncio.timeout(5):
            await reflector.synced.wait()
            yield reflector
    finally:
        task.cancel()


async def until(holds):
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.01)


def names(cache):
    return sorted(item["metadata"]["name"] for item in cache.list())


def test_a_cache_finds_what_belongs_to_an_owner():
    cache = Cache(slim)
    for manifest in (a_map("one"), a_map("two"), a_map("other", owner="code")):
        cache.put(manifest)

    assert [item["metadata"]["name"] for item in cache.by_owner(Key("ns", "chat"))] == ["one", "two"]
    assert cache.by_owner(Key("elsewhere", "chat")) == ()


def test_an_object_that_changes_hands_leaves_its_old_owner():
    told = []
    cache = Cache(slim, on_change=told.append)
    cache.put(a_map("one"))
    cache.put(a_map("one", owner="code"))

    assert cache.by_owner(Key("ns", "chat")) == ()
    assert told[-1].owners == {Key("ns", "chat"), Key("ns", "code")}


def test_only_what_the_projection_shows_counts_as_a_change():
    told = []
    cache = Cache(lambda manifest: manifest["data"].get("apples"), on_change=told.append)

    cache.put(a_map("one", apples="3", noise="1"))
    cache.put(a_map("one", apples="3", noise="2"))
    cache.put(a_map("one", apples="4", noise="2"))

    assert [(change.before, change.after) for change in told] == [(None, "3"), ("3", "4")]


def test_what_the_projection_drops_is_not_kept():
    cache = Cache(lambda manifest: manifest if "keep" in manifest["data"] else None)
    cache.put(a_map("one", keep="yes"))
    cache.put(a_map("two"))
    cache.put(a_map("one"))

    assert len(cache) == 0


async def test_a_reflector_follows_what_comes_changes_and_goes(kube: Kube, api: FakeApi):
    api.put(a_map("early"))
    cache = Cache(slim)

    async with running(Reflector(kube, CONFIG_MAP, cache)):
        assert names(cache) == ["early"]
        api.put(a_map("late"))
        await until(lambda: names(cache) == ["early", "late"])
        api.put(a_map("late", apples="3"))
        await until(lambda: (cache.get("ns", "late") or {}).get("data") == {"apples": "3"})
        api.remove(CONFIG_MAP, "ns", "early")
        await until(lambda: names(cache) == ["late"])


async def test_a_broken_watch_goes_on_where_it_was_without_a_new_list(kube: Kube, api: FakeApi):
    cache = Cache(slim)

    async with running(Reflector(kube, CONFIG_MAP, cache)):
        api.break_watches()
        api.put(a_map("meanwhile"))
        await until(lambda: names(cache) == ["meanwhile"])

    assert [verb for verb, _ in api.requests].count("GET") == 1


async def test_what_went_while_nobody_watched_is_no_ghost(kube: Kube, api: FakeApi):
    api.put(a_map("ghost"))
    told = []
    cache = Cache(slim, on_change=told.append)

    async with running(Reflector(kube, CONFIG_MAP, cache)):
        api.remove(CONFIG_MAP, "ns", "ghost")
        api.put(a_map("new"))
        api.forget_history()
        await until(lambda: names(cache) == ["new"])

    assert [change.key.name for change in told if change.after is None] == ["ghost"]


async def test_a_server_that_is_away_is_asked_again(kube: Kube, api: FakeApi):
    refusals = iter(range(2))

    def refuse_at_first(verb, target):
        if next(refusals, None) is not None:
            raise Refused(503, "ServiceUnavailable", "not yet")

    api.interrupt = refuse_at_first
    api.put(a_map("one"))
    cache = Cache(slim)

    async with running(Reflector(kube, CONFIG_MAP, cache)):
        assert names(cache) == ["one"]


async def test_an_optional_kind_may_be_absent(kube: Kube, api: FakeApi):
    def refuse(verb, target):
        raise Refused(404, "NotFound", "the server could not find the requested resource")

    api.interrupt = refuse
    async with running(Reflector(kube, HTTP_ROUTE, Cache(slim), optional=True)) as reflector:
        assert len(reflector.cache) == 0
        assert not reflector.cache.is_served


async def test_a_kind_that_is_there_is_served_however_few_there_are_of_it(kube: Kube, api: FakeApi):
    async with running(Reflector(kube, HTTP_ROUTE, Cache(slim), optional=True)) as reflector:
        assert reflector.cache.is_served


async def test_one_odd_object_does_not_blind_us_to_the_others(kube: Kube, api: FakeApi):
    api.put(a_map("good", apples="3"))
    api.put(a_map("odd"))
    cache = Cache(lambda manifest: manifest["data"]["apples"])

    async with running(Reflector(kube, CONFIG_MAP, cache)):
        assert cache.list() == ["3"]


async def test_bookmarks_are_signs_of_life(kube: Kube, api: FakeApi, monkeypatch):
    monkeypatch.setattr("tests.fake_api.BOOKMARK_SECONDS", 0.05)
    now = [100.0]
    reflector = Reflector(kube, NODE, Cache(slim), clock=lambda: now[0])

    async with running(reflector):
        now[0] = 160.0
        await until(lambda: reflector.last_heard_at == 160.0)


async def test_a_namespaced_reflector_leaves_other_namespaces_in_the_cache(kube: Kube, api: FakeApi):
    cache = Cache(slim)
    cache.put(CONFIG_MAP.new("other", "kept"))

    async with running(Reflector(kube, CONFIG_MAP, cache, namespace="ns")):
        assert names(cache) == ["kept"]
