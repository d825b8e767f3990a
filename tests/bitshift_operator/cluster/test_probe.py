"""A gateway on loopback that answers as it is told; requests to it are real."""

import asyncio
from contextlib import asynccontextmanager
from itertools import cycle

import pytest
from aiohttp import web

from bitshift_core.traffic.expectations import Expectation
from bitshift_core.traffic.gateways import GatewayEndpoint
from bitshift_operator.cluster.probe import probe

pytestmark = pytest.mark.alone

CHAT = "/v1/chat/completions"


def relayed(arm):
    return lambda: web.Response(status=204, headers={"x-bitshift-arm": arm})


def said(status, content_type="text/plain"):
    return lambda: web.Response(status=status, text="{}", content_type=content_type)


class Gateway:
    """Takes its answers from `script`, one a request, and remembers what was asked."""

    def __init__(self, *script):
        self.script = cycle(script)
        self.asked = []
        self.peers = []

    async def answer(self, request):
        self.asked.append(request)
        self.peers.append(request.transport.get_extra_info("peername"))
        return next(self.script)()


@asynccontextmanager
async def serving(gateway, *, hostname=""):
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", gateway.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield GatewayEndpoint("infra/public/web", (f"http://127.0.0.1:{runner.addresses[0][1]}",), hostname)
    finally:
        await runner.cleanup()


def expecting(*arms, **more):
    defaults = {"host": "llm.example.com", "path": CHAT, "arms": frozenset(arms), "about": "tenant 'acme'"}
    return Expectation(**(defaults | more))


async def asked(gateway, *expected, seconds=5.0, **options):
    async with serving(gateway, **options) as endpoint:
        return await probe(expected, [endpoint], token="secret", deadline_seconds=seconds)


async def test_both_arms_are_waited_for():
    result = await asked(
        Gateway(*[relayed("stable")] * 9, relayed("candidate")), expecting("stable", "candidate", rarest_percent=10)
    )

    assert result.confirmed and result.requests >= 10 and result.message == ""


async def test_a_request_carries_host_token_tenant_method_and_query():
    gateway = Gateway(relayed("stable"))
    await asked(gateway, expecting("stable", method="POST", headers=(("x-tenant-id", "acme"),), query=(("beta", "1"),)))
    request = gateway.asked[0]

    assert (request.method, request.path, dict(request.query)) == ("POST", CHAT, {"beta": "1"})
    assert {name: request.headers[name] for name in ("Host", "x-bitshift-probe", "x-tenant-id")} == {
        "Host": "llm.example.com",
        "x-bitshift-probe": "secret",
        "x-tenant-id": "acme",
    }


async def test_an_answer_of_the_wrong_arm_is_named_in_a_sentence():
    result = await asked(Gateway(relayed("stable")), expecting("candidate"), seconds=0.3)

    assert not result.confirmed and result.reason == "RouteNotInForce"
    assert "infra/public/web did not answer tenant 'acme' for 'llm.example.com/v1/chat/completions'" in result.message
    assert "by candidate within" in result.message and "heard: stable (204) " in result.message


async def test_one_wrong_answer_among_right_ones_is_not_confirmed():
    result = await asked(Gateway(*[relayed("candidate")] * 3, relayed("stable")), expecting("candidate"), seconds=0.5)

    assert not result.confirmed


async def test_a_change_that_takes_a_while_is_waited_for():
    gateway = Gateway(relayed("stable"))

    async def change():
        await asyncio.sleep(0.2)
        gateway.script = cycle([said(404, "application/json")])

    changing = asyncio.create_task(change())
    result = await asked(gateway, expecting("direct"))
    await changing

    assert result.confirmed and result.seconds >= 0.2


async def test_an_engines_own_error_is_direct_and_the_gateways_is_not():
    assert (await asked(Gateway(said(500, "application/json")), expecting("direct"))).confirmed
    assert (await asked(Gateway(said(405)), expecting("direct"))).confirmed
    assert (await asked(Gateway(said(404, "application/json")), expecting("direct"))).confirmed
    for status in (404, 503):
        result = await asked(Gateway(said(status)), expecting("direct"), seconds=0.2)
        assert not result.confirmed and f"heard: error ({status})" in result.message


async def test_a_guarded_request_may_fail_but_not_reach_the_relay():
    guarded = expecting(tolerated=frozenset({"direct", "error"}))

    assert (await asked(Gateway(said(503)), guarded)).confirmed
    result = await asked(Gateway(relayed("stable")), guarded, seconds=0.3)
    assert not result.confirmed and "by anything but the relay" in result.message


async def test_the_first_unmet_expectation_is_named_and_the_others_do_not_hide_it():
    result = await asked(
        Gateway(relayed("stable")), expecting("stable"), expecting("direct", about="tenant 'bank'"), seconds=0.3
    )

    assert not result.confirmed and "tenant 'bank'" in result.message


async def test_every_listener_must_agree():
    async with serving(Gateway(relayed("stable"))) as new, serving(Gateway(relayed("candidate"))) as old:
        result = await probe([expecting("stable")], [new, old], token="t", deadline_seconds=0.4)

    assert not result.confirmed


async def test_a_listener_is_asked_only_for_hosts_that_it_serves():
    gateway = Gateway(relayed("stable"))
    result = await asked(
        gateway,
        expecting("stable", host="*.example.com"),
        expecting("candidate", host="elsewhere.io"),
        hostname="*.example.com",
    )

    assert result.confirmed
    assert {request.headers["Host"] for request in gateway.asked} == {"bitshift-probe.example.com"}


async def test_a_host_that_no_listener_serves_is_told():
    result = await asked(Gateway(relayed("stable")), expecting("stable"), hostname="other.io")

    assert (result.confirmed, result.reason) == (False, "NoListener") and "llm.example.com" in result.message


async def test_the_next_address_is_tried_when_one_cannot_be_reached():
    async with serving(Gateway(relayed("stable"))) as endpoint:
        both = GatewayEndpoint("infra/public/web", ("http://127.0.0.1:9", *endpoint.urls))
        assert (await probe([expecting("stable")], [both], token="t")).confirmed


async def test_a_gateway_that_nobody_hears_is_an_error():
    nowhere = GatewayEndpoint("infra/public/web", ("http://127.0.0.1:9",))
    result = await probe([expecting("direct")], [nowhere], token="t", deadline_seconds=0.3)

    assert not result.confirmed and "heard: error (no connection)" in result.message


async def test_an_endless_answer_is_not_read():
    async def endless(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.sleep(30)
        return response

    gateway = Gateway()
    gateway.answer = endless

    assert (await asked(gateway, expecting("direct"), seconds=3.0)).confirmed


async def test_each_request_has_a_connection_of_its_own():
    gateway = Gateway(relayed("stable"))
    await asked(gateway, expecting("stable"))

    assert len(set(gateway.peers)) == len(gateway.peers) >= 4


async def test_nothing_to_expect_is_confirmed():
    assert (await probe([], [], token="t")).confirmed
