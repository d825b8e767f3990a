import asyncio
import gzip

import aiohttp
import pytest
from yarl import URL

from .relays import CHAT, until, world


async def test_a_request_reaches_the_engine_as_the_client_wrote_it():
    async with world() as w:
        body = b"\x00\xffbytes" * 100
        headers = {
            "Host": "llm.example.com",
            "User-Agent": "me/1",
            "Connection": "x-mine",
            "x-mine": "1",
            "Authorization": "Bearer k",
        }
        await w.client.post(URL(w.url("stable", "/echo?a=%2F&b=c+d"), encoded=True), data=body, headers=headers)

        seen = w.stable.requests[0]
        assert w.stable.bodies == [body]
        assert seen.raw_path == "/echo?a=%2F&b=c+d"
        assert (seen.headers["Host"], seen.headers["User-Agent"]) == ("llm.example.com", "me/1")
        assert seen.headers["Authorization"] == "Bearer k"
        assert "x-mine" not in seen.headers


async def test_nothing_is_added_to_a_request_that_lacks_it():
    async with world() as w:
        reader, writer = await asyncio.open_connection("127.0.0.1", w.relay.port("stable"))
        writer.write(b"GET /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        await reader.read()
        writer.close()

        assert sorted(w.stable.requests[0].headers) == ["Connection", "Host"]


async def test_an_answer_reaches_the_client_as_the_engine_wrote_it_and_names_its_arm():
    async with world() as w:
        answer = await w.client.post(w.url("candidate", "/echo"), data=b"x", headers={"Content-Encoding": "gzip"})

        assert await answer.read() == b"x"
        assert answer.headers["x-path"] == "/echo"
        assert answer.headers["x-bitshift-arm"] == "candidate"
        assert "x-private" not in answer.headers


async def test_an_encoded_body_passes_undecoded():
    async with world() as w:
        packed = gzip.compress(b"{}")
        await w.client.post(w.url("stable", "/echo"), data=packed, headers={"Content-Encoding": "gzip"})

        assert w.stable.bodies == [packed]


@pytest.mark.parametrize("how", ["sized", "chunked"])
async def test_a_long_request_is_streamed_through_whole(how):
    async def pieces():
        for _ in range(64):
            yield b"x" * 16_384

    async with world() as w:
        data = b"x" * 64 * 16_384 if how == "sized" else pieces()
        answer = await w.client.post(w.url("stable", "/echo"), data=data)

        assert len(await answer.read()) == 64 * 16_384


async def test_a_client_that_waits_for_leave_to_send_its_body_gets_it():
    async with world() as w:
        answer = await w.client.post(w.url("stable", "/echo"), data=b"body", expect100=True)

        assert await answer.read() == b"body"
        assert "Expect" not in w.stable.requests[0].headers


async def test_headers_as_long_as_gateways_allow_pass():
    async with world() as w:
        answer = await w.client.post(w.url("stable", "/echo"), headers={"x-long": "y" * 40_000})

        assert answer.status == 200


async def test_each_token_is_passed_on_while_the_engine_still_thinks_about_the_next():
    async with world() as w, w.client.post(w.url("stable", CHAT), json={"stream": True, "fault": "hold"}) as answer:
        first = await answer.content.readuntil(b"The")
        assert w.stable.is_holding.is_set() or await w.stable.is_holding.wait()
        assert b"capital" not in first
        w.stable.may_go_on.set()
        assert b"[DONE]" in await answer.content.read()


async def test_headers_are_passed_on_before_the_first_token():
    async with world() as w:
        answer = await w.client.post(w.url("stable", CHAT), json={"stream": True, "fault": "hold_before"})

        assert answer.status == 200
        assert w.stable.is_holding.is_set() or await w.stable.is_holding.wait()
        answer.close()


async def test_a_stream_that_the_engine_cuts_is_cut_for_the_client_too():
    async with world() as w:
        with pytest.raises(aiohttp.ClientPayloadError):
            await w.ask(stream=True, fault="cut")


async def test_an_answer_that_the_engine_cuts_is_cut_for_the_client_too():
    async with world() as w:
        with pytest.raises(aiohttp.ClientPayloadError):
            await w.ask(fault="cut")


async def test_an_engine_is_left_when_its_client_leaves():
    async with world() as w:
        answer = await w.client.post(w.url("stable", CHAT), json={"stream": True, "fault": "hold"})
        await w.stable.is_holding.wait()
        answer.close()

        await asyncio.wait_for(w.stable.was_left.wait(), 5)


async def test_an_engine_is_left_when_its_client_leaves_before_the_answer_began():
    async with world() as w:
        asking = asyncio.create_task(w.ask(fault="hold"))
        await w.stable.is_holding.wait()
        asking.cancel()

        await asyncio.wait_for(w.stable.was_left.wait(), 5)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_that_an_engine_drops_is_a_502_and_is_not_sent_again(method):
    async with world() as w:
        answer = await w.client.request(method, w.url("stable", CHAT), data=b'{"fault": "hang_up"}')

        assert answer.status == 502
        assert len(w.stable.requests) == 1
        assert "stable release" in (await answer.json())["error"]["message"]


async def test_an_engine_that_cannot_be_reached_is_a_502():
    async with world(stable_url="http://127.0.0.1:1") as w:
        answer, _ = await w.ask()

        assert answer.status == 502


async def test_an_engines_own_errors_pass():
    async with world() as w:
        answer, text = await w.ask(fault="429")

        assert (answer.status, text) == (429, '{"error": {"message": "no"}}')


async def test_connections_of_clients_are_kept_and_those_to_engines_are_not():
    async with world() as w:
        await w.ask()
        await w.ask()

        assert [r.headers["Connection"] for r in w.stable.requests] == ["close", "close"]
        client = w.client.connector
        assert sum(len(kept) for kept in client._conns.values()) == 1


async def test_probes_are_answered_by_the_relay_itself_and_not_counted():
    async with world() as w:
        answer, _ = await w.ask("candidate", headers={"x-bitshift-probe": "t"})

        assert answer.status == 204
        assert answer.headers["x-bitshift-arm"] == "candidate"
        assert answer.headers["x-bitshift-release"] == "chat-awq"
        assert w.candidate.requests == []
        assert (await w.closed_report()).rows == ()


async def test_without_a_candidate_its_port_refuses_requests_and_probes():
    async with world(candidate_url="") as w:
        answer, _ = await w.ask("candidate")
        probe, _ = await w.ask("candidate", headers={"x-bitshift-probe": "t"})

        assert (answer.status, probe.status) == (503, 503)


async def test_many_streams_at_once_all_arrive_whole():
    async with world() as w:
        answers = await asyncio.gather(*(w.ask("stable", tenant=f"t{n}", stream=True) for n in range(100)))

        assert all("Paris" in text and "[DONE]" in text for _, text in answers)
        await until(lambda: w.relay.counters.in_flight["stable"] == 0)
