import asyncio
import json
import signal
import sys

import aiohttp
import pytest

from .fake_engine import fake_engine
from .relays import CHAT

START = "from bitshift_runtime.relay.command import relay; relay()"


@pytest.mark.long
async def test_a_relay_that_is_asked_to_end_finishes_its_stream_and_logs_nobodys_words():
    async with asyncio.timeout(60), fake_engine() as engine, aiohttp.ClientSession() as client:
        options = ["--stable-url", engine.url, "--host", "127.0.0.1", "--ports", "0", "0", "--admin-port", "0"]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", START, *options, "--pause-seconds", "0", stdout=asyncio.subprocess.PIPE
        )
        ready = json.loads(await process.stdout.readline())
        url = f"http://127.0.0.1:{ready['ports']['stable']}{CHAT}"
        asked = {"stream": True, "fault": "hold", "prompt": "a secret prompt"}
        async with client.post(url, json=asked, headers={"x-tenant-id": "secret-tenant"}) as answer:
            await engine.is_holding.wait()
            process.send_signal(signal.SIGTERM)
            leaving = json.loads(await process.stdout.readline())
            engine.may_go_on.set()
            assert b"[DONE]" in await answer.read()
        rest = (await process.stdout.read()).decode()

        assert await process.wait() == 0
        assert (ready["message"], leaving["message"]) == ("Ready", "Leaving")
        assert leaving["in_flight"] == {"stable": 1, "candidate": 0}
        assert [json.loads(line)["message"] for line in rest.splitlines()] == ["Left"]
        assert "secret" not in rest
