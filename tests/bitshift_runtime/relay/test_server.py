import asyncio
import logging

import aiohttp
import pytest

from bitshift_runtime.relay.logs import JsonLines

from .relays import CHAT, until, world


async def test_a_leaving_relay_says_so_at_once_and_still_answers():
    async with world(pause_seconds=30) as w:
        leaving = asyncio.create_task(w.relay.leave())
        await until(lambda: not w.relay.admin.ready)

        assert (await w.client.get(w.url("admin", "/readyz"))).status == 503
        assert (await w.client.get(w.url("admin", "/healthz"))).status == 200
        answer, text = await w.ask(stream=True)
        assert "[DONE]" in text
        assert answer.headers["Connection"] == "close"
        leaving.cancel()


async def test_a_leaving_relay_finishes_its_streams_and_takes_no_new_ones():
    async with world() as w:
        async with w.client.post(w.url("stable", CHAT), json={"stream": True, "fault": "hold"}) as answer:
            await w.stable.is_holding.wait()
            leaving = asyncio.create_task(w.relay.leave())
            await until(lambda: not w.relay.sites["candidate"]._server.is_serving())

            with pytest.raises(aiohttp.ClientConnectorError):
                await w.client.post(w.url("candidate", CHAT))
            assert not leaving.done()
            w.stable.may_go_on.set()
            assert b"[DONE]" in await answer.read()
        await leaving


async def test_a_stream_without_end_is_waited_for_only_so_long():
    async with world(drain_seconds=0.01) as w:
        answer = await w.client.post(w.url("stable", CHAT), json={"stream": True, "fault": "hold"})
        await w.stable.is_holding.wait()

        await w.relay.leave()
        answer.close()


def test_a_log_line_names_the_type_and_place_of_an_exception_and_not_its_text():
    try:
        raise ValueError("tell nobody")
    except ValueError as error:
        record = logging.LogRecord(
            "aiohttp.server", logging.ERROR, "", 1, "Error", (), (ValueError, error, error.__traceback__)
        )

    line = JsonLines().format(record)
    assert "ValueError" in line
    assert "tell nobody" not in line
