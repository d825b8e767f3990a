import socket

from aiohttp.abc import AbstractResolver

from bitshift_runtime.relay import upstream
from bitshift_runtime.relay.upstream import SteadyResolver

from .relays import until, world


class Names(AbstractResolver):
    """A name service that can be told to fail."""

    def __init__(self, *addresses: str) -> None:
        self.addresses, self.fails, self.asked = addresses, False, 0

    async def resolve(self, host, port=0, family=socket.AF_INET):
        self.asked += 1
        if self.fails:
            raise OSError("no such name")
        return [
            {"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": 0}
            for address in self.addresses
        ]

    async def close(self) -> None: ...


async def hosts(resolver: SteadyResolver) -> list[str]:
    return [found["host"] for found in await resolver.resolve("chat.ns.svc", 80)]


async def test_a_known_name_is_looked_up_again_in_the_background(monkeypatch):
    monkeypatch.setattr(upstream, "REFRESH_SECONDS", -1.0)
    names = Names("10.0.0.1")
    resolver = SteadyResolver(names)
    assert await hosts(resolver) == ["10.0.0.1"]

    names.addresses = ("10.0.0.2",)
    assert await hosts(resolver) == ["10.0.0.1"]
    await until(lambda: names.asked == 2)
    assert await hosts(resolver) == ["10.0.0.2"]
    await resolver.close()


async def test_a_name_service_that_fails_changes_nothing(monkeypatch):
    monkeypatch.setattr(upstream, "REFRESH_SECONDS", -1.0)
    names = Names("10.0.0.1")
    resolver = SteadyResolver(names)
    await hosts(resolver)

    names.fails = True
    for asked in range(2, 5):
        assert await hosts(resolver) == ["10.0.0.1"]
        await until(lambda asked=asked: names.asked == asked)
    await resolver.close()


async def test_an_old_address_is_looked_up_before_it_is_used_again(monkeypatch):
    monkeypatch.setattr(upstream, "REFRESH_SECONDS", -1.0)
    monkeypatch.setattr(upstream, "STALE_SECONDS", -1.0)
    names = Names("10.0.0.1")
    resolver = SteadyResolver(names)
    await hosts(resolver)

    names.addresses = ("10.0.0.2",)
    assert await hosts(resolver) == ["10.0.0.2"]


async def test_addresses_take_turns():
    resolver = SteadyResolver(Names("a", "b"))

    assert [(await hosts(resolver))[0] for _ in range(4)] == ["b", "a", "b", "a"]


async def test_engines_that_stay_away_are_logged_once_in_a_while(caplog):
    async with world(stable_url="http://127.0.0.1:1") as w:
        for _ in range(5):
            await w.ask(tenant="acme")

    said = [record for record in caplog.records if record.message == "An engine gave no answer"]
    assert len(said) == 1
    assert "acme" not in caplog.text
