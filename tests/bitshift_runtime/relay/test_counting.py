import asyncio
from collections import Counter

import aiohttp
import pytest

from bitshift_core.evidence.live import edge_ms

from .relays import CHAT, until, world

GOOD = {"first": Counter(started=1), "end": Counter(started=1)}


def bad(first: str | None = None, end: str | None = None) -> dict[str, Counter]:
    return {
        stage: Counter(started=1) + Counter({kind: 1} if kind else {})
        for stage, kind in (("first", first), ("end", end))
    }


@pytest.mark.parametrize("stream", [True, False])
async def test_a_good_answer_is_counted_once_in_each_stage(stream):
    async with world() as w:
        await w.ask(stream=stream)

        assert await w.outcomes() == GOOD


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("fault", "kind"), [("empty", "empty"), ("repeating", "repeating"), ("broken_tool", "broken_tool")]
)
async def test_a_bad_answer_is_counted_by_what_is_wrong_with_it(stream, fault, kind):
    async with world() as w:
        await w.ask(stream=stream, fault=fault)

        assert (await w.outcomes())["end"] == Counter({"started": 1, kind: 1})


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("form", ["json_object", "json_schema"])
async def test_broken_json_is_a_fault_where_json_was_asked_for_and_nowhere_else(stream, form):
    async with world() as w:
        await w.ask(stream=stream, say='{"a": ')
        await w.ask(stream=stream, say='{"a": 1}', response_format={"type": form})
        assert "broken_json" not in (await w.outcomes())["end"]

        await w.ask(stream=stream, say='{"a": ', response_format={"type": form})
        assert (await w.outcomes())["end"]["broken_json"] == 1


@pytest.mark.parametrize(
    ("fault", "kind"), [("400", "error4xx"), ("429", "error4xx"), ("500", "error5xx"), ("503", "error5xx")]
)
async def test_an_engines_errors_count_in_the_first_stage_alone(fault, kind):
    async with world() as w:
        await w.ask(fault=fault)

        assert await w.outcomes() == {"first": Counter({"started": 1, kind: 1}), "end": Counter()}


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", None])
async def test_an_engine_without_an_answer_counts_as_an_error(url):
    async with world(**({"stable_url": url} if url else {})) as w:
        await w.ask(fault="hang_up")

        assert await w.outcomes() == {"first": Counter(started=1, error5xx=1), "end": Counter()}


async def test_a_stream_cut_after_its_first_token_is_aborted():
    async with world() as w:
        with pytest.raises(aiohttp.ClientPayloadError):
            await w.ask(stream=True, fault="cut")
        await w.relay.counters.idle()

        assert await w.outcomes() == bad(end="aborted")


@pytest.mark.parametrize(("fault", "first"), [("silent_end", None), ("error_inside", "no_first_token")])
async def test_a_stream_that_ends_cleanly_but_unsaid_is_aborted(fault, first):
    async with world() as w:
        await w.ask(stream=True, fault=fault)

        assert await w.outcomes() == bad(first, "aborted")


@pytest.mark.parametrize("stream", [True, False])
async def test_garbage_is_no_answer(stream):
    async with world() as w:
        await w.ask(stream=stream, fault="garbage")

        assert (await w.outcomes())["end"] == Counter(started=1, empty=1)


async def test_a_refusal_is_reported_beside_the_outcome():
    async with world() as w:
        await w.ask(stream=True, say="I'm sorry, but I can't assist with that.")

        assert await w.outcomes() == bad(end="refusal")


async def test_a_client_that_leaves_inside_an_answer_makes_it_neither_good_nor_bad():
    async with world() as w:
        answer = await w.client.post(w.url("stable", CHAT), json={"stream": True, "fault": "hold"})
        await answer.content.readuntil(b"The")
        answer.close()
        await w.relay.counters.idle()

        assert await w.outcomes() == {"first": Counter(started=1), "end": Counter()}
        assert w.relay.counters.totals.client_closed == {"stable": 1}


@pytest.mark.parametrize(("patience_seconds", "first"), [(0, Counter(started=1, no_first_token=1)), (60, Counter())])
async def test_a_client_that_leaves_before_the_first_token_was_let_down_only_if_it_waited_long(patience_seconds, first):
    async with world(patience_seconds=patience_seconds) as w:
        answer = await w.client.post(w.url("stable", CHAT), json={"stream": True, "fault": "hold_before"})
        await w.stable.is_holding.wait()
        answer.close()
        await w.relay.counters.idle()

        assert await w.outcomes() == {"first": first, "end": Counter()}


async def test_a_client_that_leaves_after_the_last_word_was_answered():
    async with world() as w:
        answer = await w.client.post(w.url("stable", CHAT), json={"stream": True, "fault": "hold_after"})
        await answer.content.readuntil(b"[DONE]\n\n")
        answer.close()
        await w.relay.counters.idle()

        assert await w.outcomes() == GOOD


async def test_what_a_client_takes_to_send_its_request_is_not_the_engines():
    may_send = asyncio.Event()

    async def slowly():
        yield b'{"stream": '
        await may_send.wait()
        yield b"true}"

    async with world(first_maturity_seconds=30) as w:
        asking = asyncio.create_task(w.client.post(w.url("stable", CHAT), data=slowly()))
        await until(lambda: w.relay.counters.in_flight["stable"] == 1)
        w.skip(60)
        assert (await w.report()).rows == ()
        may_send.set()
        await (await asking).read()
        await w.relay.counters.idle()

        assert await w.outcomes() == GOOD


async def test_other_endpoints_count_but_are_not_judged():
    async with world() as w:
        await w.client.post(w.url("stable", "/echo"), data=b"")
        await w.relay.counters.idle()

        assert await w.outcomes() == GOOD


async def test_who_waits_too_long_for_a_token_is_counted_and_may_still_end_well():
    async with world(first_maturity_seconds=30) as w:
        asking = asyncio.create_task(w.ask(stream=True, fault="hold_before"))
        await w.stable.is_holding.wait()
        w.skip(29)
        assert (await w.report()).rows == ()
        w.skip(2)
        rows = (await w.report()).rows
        assert [(row.stage, row.bad) for row in rows] == [("first", {"no_first_token": 1})]

        w.stable.may_go_on.set()
        await asking
        assert await w.outcomes() == bad(first="no_first_token")


async def test_a_stream_longer_than_the_maturity_is_left_out_and_holds_nothing_up():
    async with world(end_maturity_seconds=120) as w:
        asking = asyncio.create_task(w.ask(stream=True, fault="hold"))
        await w.stable.is_holding.wait()
        w.is_holding = True
        await w.ask()
        await until(lambda: w.relay.counters.in_flight["stable"] == 1)
        w.skip(119)
        assert {row.stage for row in (await w.report()).rows} == {"first"}
        w.skip(3)
        assert sum(row.started for row in (await w.report()).rows if row.stage == "end") == 1

        w.stable.may_go_on.set()
        await asking
        await w.relay.counters.idle()
        assert (await w.outcomes())["end"] == Counter(started=1)


async def test_times_are_counted_by_the_edges_of_the_evidence():
    async with world() as w:
        await w.ask(stream=True)
        report = await w.closed_report()

        first = next(row for row in report.rows if row.stage == "first")
        (index,) = first.histogram
        assert 0 < edge_ms(int(index)) < 5_000
        assert sum(next(row for row in report.rows if row.stage == "end").histogram.values()) == 1


async def test_rows_are_apart_by_arm_and_tenant():
    async with world() as w:
        await w.ask("stable", tenant="acme")
        await w.ask("candidate", tenant="acme")
        await w.ask("candidate")
        report = await w.closed_report()

        firsts = {(row.arm, row.tenant): row.started for row in report.rows if row.stage == "first"}
        assert firsts == {("stable", "acme"): 1, ("candidate", "acme"): 1, ("candidate", ""): 1}
        assert report.tenants == ("acme",)
        assert set(report.last_new_request) == {"stable", "candidate"}


async def test_a_failure_to_understand_costs_the_count_and_not_the_answer(monkeypatch):
    def explode(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("bitshift_runtime.relay.reading.StreamReading.feed", explode)
    async with world() as w:
        _, text = await w.ask(stream=True)

        assert "[DONE]" in text
        assert await w.outcomes() == {"first": Counter(), "end": Counter()}
        assert w.relay.counters.totals.not_understood == {"stable": 1}


async def test_nothing_of_an_answer_stays_in_memory_after_its_request():
    async with world() as w:
        await w.ask(stream=True, say="a very particular word")
        await until(lambda: not w.relay.counters.in_flight["stable"])

        assert "particular" not in str(vars(w.relay.counters.totals))
