"""Sending requests at their times, whatever the server does, and timing what streams back.

Here: an open loop against one side. Not here: when to send (`schedule`), what the times mean
(`bitshift_core.evidence.load`).
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from bitshift_core.evidence.load import Side
from bitshift_runtime.evaluate.config import SideConfig
from bitshift_runtime.evaluate.endpoint import CONNECT_SECONDS, authorization

from .prompts import most_sentences, prompt
from .schedule import Block

LEAD_SECONDS = 0.05
"""Between making a block's tasks and its first arrival, so that making them delays none."""
MAX_LINE_BYTES = 1 << 20
REFUSED_PARAMETERS = (400, 422)


@dataclass
class Timing:
    """One request; seconds of the loop's clock, `intended_at` being when a user would have sent it."""

    intended_at: float
    sent_at: float
    first_token_at: float | None = None
    last_token_at: float | None = None
    chunks: int = 0
    tokens: int = 0
    failure: str = ""


@dataclass
class Target:
    """One side under load: its session, and what its requests ask for."""

    name: Side
    side: SideConfig
    reply_tokens: int
    request_seconds: float
    session: aiohttp.ClientSession
    extra: dict[str, Any] = field(default_factory=lambda: {"ignore_eos": True})
    """Replies of the same length on both sides; dropped where an engine refuses it."""
    context_tokens: int | None = None
    """What the candidate promised to hold: neither side is sent more."""
    prompt_tokens: int | None = None

    def body(self, number: int, seed: int) -> dict[str, Any]:
        """Return a request: greedy, streamed, with the server's own token count at its end."""
        longest = most_sentences(self.context_tokens, self.reply_tokens, self.prompt_tokens)
        return {
            "model": self.side.model,
            "messages": [{"role": "user", "content": prompt(number, seed, longest)}],
            "max_tokens": self.reply_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        } | self.extra


def session(side: SideConfig) -> aiohttp.ClientSession:
    """Return a session without a cap on connections, which would turn the open loop into a closed one, and without
    reuse: an engine that closes an idle connection just as it is used again would seem to fail.
    """
    return aiohttp.ClientSession(
        base_url=side.url.rstrip("/") + "/",
        headers=authorization(side.api_key_env),
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        read_bufsize=MAX_LINE_BYTES,
    )


async def settle_parameters(target: Target, seed: int) -> Timing:
    """Send one request that does not count, and drop what this engine refuses to be asked."""
    now = asyncio.get_running_loop().time()
    timing = await send_one(target, -1, seed, now)
    if timing.failure in {f"HTTP {status}" for status in REFUSED_PARAMETERS} and target.extra:
        target.extra = {}
        timing = await send_one(target, -1, seed, asyncio.get_running_loop().time())
    return timing


async def send_block(target: Target, block: Block, seed: int) -> tuple[Timing, ...]:
    """Send a block's requests at their times, and return them once the last has ended."""
    begin = asyncio.get_running_loop().time() + LEAD_SECONDS
    numbered = enumerate(block.offsets_seconds, start=block.first_request)
    tasks = [asyncio.create_task(_send_at(target, number, seed, begin + offset)) for number, offset in numbered]
    return tuple(await asyncio.gather(*tasks))


async def _send_at(target: Target, number: int, seed: int, intended_at: float) -> Timing:
    await asyncio.sleep(intended_at - asyncio.get_running_loop().time())
    return await send_one(target, number, seed, intended_at)


async def send_one(target: Target, number: int, seed: int, intended_at: float) -> Timing:
    """Send one request and return its times; never retried, a failure is what the user would have had."""
    clock = asyncio.get_running_loop()
    timing = Timing(intended_at=intended_at, sent_at=clock.time())
    limits = aiohttp.ClientTimeout(total=target.request_seconds, sock_connect=CONNECT_SECONDS)
    try:
        request = target.session.post("v1/chat/completions", json=target.body(number, seed), timeout=limits)
        async with request as response:
            timing.failure = "" if response.status == 200 else f"HTTP {response.status}"
            if not timing.failure:
                await _read(response, timing)
    except TimeoutError:
        timing.failure = "no answer in time"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        timing.failure = f"broken off ({type(error).__name__})"
    return timing


async def _read(response: aiohttp.ClientResponse, timing: Timing) -> None:
    """Take the stream's times; one that ends without its end mark, or without a token, has failed."""
    clock = asyncio.get_running_loop()
    finished = False
    async for line in response.content:
        if not line.startswith(b"data:"):
            continue
        payload = line[5:].strip()
        if payload == b"[DONE]":
            finished = True
            break
        finished |= _take(json.loads(payload), timing, clock.time())
    if not finished:
        timing.failure = "stream ended early"
    elif timing.first_token_at is None:
        timing.failure = "empty answer"


def _take(event: Mapping[str, Any], timing: Timing, now: float) -> bool:
    """Add one event's tokens; return whether it says that the answer is complete."""
    if "error" in event:
        timing.failure = "error in the stream"
        return True
    timing.tokens = int((event.get("usage") or {}).get("completion_tokens") or timing.tokens)
    choice = (event.get("choices") or [{}])[0]
    delta = choice.get("delta") or {}
    if delta.get("content") or delta.get("reasoning_content") or delta.get("reasoning") or delta.get("tool_calls"):
        timing.chunks += 1
        timing.last_token_at = now
        timing.first_token_at = timing.first_token_at or now
    return bool(choice.get("finish_reason"))
