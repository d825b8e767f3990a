import asyncio

import pytest

from bitshift_core.api.v1alpha1 import LoadGate
from bitshift_core.evidence.report import Verdict
from bitshift_runtime.evaluate.config import GateConfig
from bitshift_runtime.load.command import run_load
from bitshift_runtime.load.schedule import Block
from bitshift_runtime.load.sender import Target, send_block, send_one, session
from tests.fake_openai import FakeEngine, serving

pytestmark = pytest.mark.alone


async def times_of(engine, *offsets, reply_tokens=5, request_seconds=5.0):
    async with serving(engine), session(engine.side) as opened:
        target = Target("candidate", engine.side, reply_tokens, request_seconds, opened)
        return await send_block(target, Block(1, 1.0, offsets, 0), seed=1)


async def test_times_are_those_of_the_server():
    engine = FakeEngine(first_token_seconds=0.05, token_seconds=0.02)

    (first, _) = await times_of(engine, 0.0, 0.01)

    assert first.failure == ""
    assert first.tokens == 5
    assert first.first_token_at - first.intended_at == pytest.approx(0.05, abs=0.1)
    assert (first.last_token_at - first.first_token_at) / 4 == pytest.approx(0.02, abs=0.02)


async def test_a_slow_server_does_not_hold_back_the_next_request():
    engine = FakeEngine(first_token_seconds=0.3)

    timings = await times_of(engine, 0.0, 0.05, 0.1)

    assert max(timing.sent_at - timing.intended_at for timing in timings) < 0.15
    assert timings[2].sent_at < timings[0].first_token_at


@pytest.mark.parametrize(
    ("engine", "failure"),
    [
        (FakeEngine(status=lambda prompt: 503), "HTTP 503"),
        (FakeEngine(breaks_streams=True), "stream ended early"),
        (FakeEngine(first_token_seconds=0.5), "no answer in time"),
    ],
)
async def test_a_failure_is_recorded_never_retried(engine, failure):
    (timing,) = await times_of(engine, 0.0, request_seconds=0.3)

    assert timing.failure == failure
    assert sum(engine.asked.values()) == 1


async def test_nobody_listening_is_a_failure():
    side = FakeEngine(url="http://127.0.0.1:9").side
    async with session(side) as opened:
        timing = await send_one(Target("candidate", side, 5, 1.0, opened), 0, 1, asyncio.get_running_loop().time())

    assert timing.failure.startswith("broken off")


async def run(monkeypatch, candidate, baseline, **gate):
    """Run four short blocks; client, both servers and other tests share the machine, so its lateness is tolerated."""
    monkeypatch.setattr("bitshift_core.evidence.load.CLIENT_DELAY_MILLIS", 1_000)
    monkeypatch.setattr("bitshift_runtime.load.command.blocks", lambda rate, seconds, seed: SHORT)
    async with serving(candidate, baseline):
        config = GateConfig(
            gate="load",
            revision="r1",
            candidate=candidate.side,
            parent=baseline.side,
            request_seconds=5,
            load=LoadGate.model_validate({"replyTokens": 3, "slowerPercent": 1_000} | gate),
        )
        return await run_load(config)


SHORT = (
    Block(0, 0.05, (0.0,), 0, warm_up=True),
    *(Block(number, 0.1, tuple(k * 0.005 for k in range(20)), 20 * number) for number in range(1, 5)),
)


async def test_equal_servers_pass_and_the_warm_up_does_not_count(monkeypatch):
    engines = [FakeEngine(first_token_seconds=0.1, token_seconds=0.03) for _ in range(2)]

    report = await run(monkeypatch, *engines)

    assert report.verdict is Verdict.PASSED, report.message
    assert report.load.candidate.offered == report.load.baseline.offered == 80
    assert sum(engines[0].asked.values()) == 80 + 1 + 1


@pytest.mark.long
async def test_a_slower_candidate_fails(monkeypatch):
    slow, quick = FakeEngine(first_token_seconds=1.0), FakeEngine(first_token_seconds=0.05, token_seconds=0.001)

    report = await run(monkeypatch, slow, quick, slowerPercent=30)

    assert report.verdict is Verdict.FAILED, report.message
    assert "TTFT" in report.message


async def test_a_candidate_that_drops_streams_fails(monkeypatch):
    broken, sound = FakeEngine(breaks_streams=True), FakeEngine()

    report = await run(monkeypatch, broken, sound)

    assert report.verdict is Verdict.FAILED


async def test_given_targets_the_baseline_is_left_alone(monkeypatch):
    engines = [FakeEngine(first_token_seconds=0.05) for _ in range(2)]

    report = await run(monkeypatch, *engines, ttftMillis=2_000, itlMillis=500)

    assert report.verdict is Verdict.PASSED, report.message
    assert not engines[1].asked


@pytest.mark.long
async def test_what_one_engine_refuses_to_be_asked_is_asked_of_none(monkeypatch):
    strict = FakeEngine(refused_fields=frozenset({"ignore_eos"}), first_token_seconds=0.05)
    lenient = FakeEngine(first_token_seconds=0.05)

    report = await run(monkeypatch, strict, lenient)

    assert report.load.candidate.failed == 0
    assert "ignore_eos" not in lenient.bodies[-1]
