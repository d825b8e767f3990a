import pytest

from bitshift_runtime.evaluate import endpoint as endpoint_module
from bitshift_runtime.evaluate.config import SideConfig
from bitshift_runtime.evaluate.endpoint import Endpoint, UnreachableError
from tests.fake_openai import FakeEngine, serving

HELLO = [{"role": "user", "content": "Hello"}]


async def test_a_chat_is_greedy_and_seeded():
    engine = FakeEngine(reply=lambda prompt: "Hi.")
    async with serving(engine), Endpoint("candidate", engine.side, request_seconds=5) as endpoint:
        answer = await endpoint.chat(HELLO, max_tokens=4)

    assert (answer.text, answer.finish_reason, answer.failure) == ("Hi.", "stop", "")
    assert engine.bodies[0] | {"temperature": 0, "seed": 1, "max_tokens": 4, "model": "m"} == engine.bodies[0]


async def test_a_refused_request_is_not_tried_again():
    engine = FakeEngine(status=lambda prompt: 503)
    async with serving(engine), Endpoint("candidate", engine.side, request_seconds=5) as endpoint:
        answer = await endpoint.chat(HELLO)

    assert answer.failure == "HTTP 503"
    assert engine.asked["Hello"] == 1


async def test_the_key_from_the_environment_is_sent(monkeypatch):
    monkeypatch.setenv("TEST_API_KEY", "secret")
    engine = FakeEngine(api_key="secret")
    async with serving(engine), Endpoint("candidate", engine.side, request_seconds=5) as endpoint:
        assert (await endpoint.chat(HELLO)).failure == ""


async def test_only_the_set_up_of_a_connection_is_retried_and_counted(monkeypatch):
    monkeypatch.setattr(endpoint_module, "SET_UP_PAUSES_SECONDS", (0.01, 0.01))
    nobody = SideConfig(url="http://127.0.0.1:9", model="m")
    async with Endpoint("candidate", nobody, request_seconds=5) as endpoint:
        with pytest.raises(UnreachableError, match="The candidate could not be connected to in 3 attempts"):
            await endpoint.chat(HELLO)

        assert endpoint.connect_retries == 2
