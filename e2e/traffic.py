"""Users: chat completions of many tenants through the gateway, streamed and not, at a steady pace, each one recorded.

Run as a process of its own: `python -m e2e.traffic --url … --host … --out FILE`; it ends by SIGTERM or at its bound.
Long prompts come only from the tenants named for it, as in life: most people write little.
"""

import asyncio
import json
import os
import random
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp
import click

TENANTS = (
    "acme", "globex", "initech", "umbrella", "hooli", "stark",
    "wayne", "wonka", "cyberdyne", "tyrell", "soylent", "oscorp",
)  # fmt: skip
LONG_WRITERS = ("hooli", "tyrell", "oscorp")
QUESTIONS = (
    "What is the capital of France?",
    "Name a colour of the rainbow.",
    "What is two plus three?",
    "Say hello in one short sentence.",
    "Which animal says meow?",
    "What is the opposite of hot?",
)
AS_JSON = {
    "max_tokens": 40,
    "response_format": {
        "type": "json_schema",
        "json_schema": {
            "name": "answer",
            "schema": {
                "type": "object",
                "properties": {"answer": {"type": "string", "maxLength": 12}},
                "required": ["answer"],
                "additionalProperties": False,
            },
        },
    },
}
"""Short enough for the reply to end: JSON that a limit cuts off would count as broken."""
FILLER = "The quick brown fox jumps over the lazy dog near the old river bank. "


@dataclass(frozen=True)
class Request:
    """One request as its user saw it; never what was said."""

    started: float
    seconds: float
    tenant: str
    arm: str
    status: int
    ok: bool
    streamed: bool
    ttft_seconds: float = 0
    problem: str = ""


@dataclass
class Users:
    """Everybody who talks to the model."""

    url: str
    host: str
    per_second: float
    reply_tokens: int
    long_tokens: int
    out: Path
    seed: int
    json_percent: int = 0

    async def run(self, seconds: float, stop: asyncio.Event) -> None:
        """Send requests at a steady pace until told to stop or orphaned; those on their way are waited for."""
        dice = random.Random(self.seed)
        ends = time.monotonic() + seconds
        timeout = aiohttp.ClientTimeout(total=120)
        connector = aiohttp.TCPConnector(force_close=True)
        due = time.monotonic()
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session, asyncio.TaskGroup() as group:
            with self.out.open("a", encoding="utf-8") as sink:
                open_requests: set[asyncio.Task[None]] = set()
                starter = os.getppid()
                while not stop.is_set() and time.monotonic() < ends and os.getppid() == starter:
                    tenant = dice.choice((*TENANTS, ""))
                    task = group.create_task(
                        self._one(session, tenant, dice.random() < 0.5, dice.randrange(10**6), sink)
                    )
                    open_requests.add(task)
                    task.add_done_callback(open_requests.discard)
                    due += dice.expovariate(self.per_second)
                    await _sleep_until(due, stop)
                await asyncio.gather(*open_requests, return_exceptions=True)

    async def _one(
        self, session: aiohttp.ClientSession, tenant: str, streamed: bool, number: int, sink: object
    ) -> None:
        started = time.time()
        clock = time.monotonic()
        record: dict[str, object] = {"arm": "direct", "status": 0, "ok": False, "problem": ""}
        try:
            record |= await self._ask(session, tenant, streamed, number, clock)
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            record["problem"] = type(error).__name__
        request = Request(started, time.monotonic() - clock, tenant, streamed=streamed, **record)  # type: ignore[arg-type]
        sink.write(json.dumps(asdict(request)) + "\n")  # type: ignore[attr-defined]
        sink.flush()  # type: ignore[attr-defined]

    async def _ask(
        self, session: aiohttp.ClientSession, tenant: str, streamed: bool, number: int, clock: float
    ) -> dict[str, object]:
        headers = {"host": self.host, "content-type": "application/json"} | ({"x-tenant-id": tenant} if tenant else {})
        body = self._body(tenant, streamed, number)
        async with session.post(f"{self.url}/v1/chat/completions", json=body, headers=headers) as response:
            seen: dict[str, object] = {
                "arm": response.headers.get("x-bitshift-arm", "direct"),
                "status": response.status,
            }
            if response.status != 200:
                return seen | {"problem": f"status {response.status}"}
            if not streamed:
                content = (await response.json())["choices"][0]["message"]["content"]
                return seen | {"ok": bool(content.strip()), "problem": "" if content.strip() else "empty"}
            done, first = False, 0.0
            async for line in response.content:
                first = first or time.monotonic() - clock
                done = done or line.strip() == b"data: [DONE]"
            return seen | {"ok": done, "ttft_seconds": first, "problem": "" if done else "cut stream"}

    def _body(self, tenant: str, streamed: bool, number: int) -> dict[str, object]:
        question = QUESTIONS[number % len(QUESTIONS)]
        if tenant in LONG_WRITERS:
            question = FILLER * max(1, self.long_tokens // 15) + question
        return {
            "model": "smollm2",
            "messages": [{"role": "user", "content": question}],
            "max_tokens": self.reply_tokens,
            "temperature": 0,
            "seed": number,
            "stream": streamed,
        } | (AS_JSON if number % 100 < self.json_percent else {})


async def _sleep_until(due: float, stop: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stop.wait(), max(0.0, due - time.monotonic()))
    except TimeoutError:
        return


@click.command()
@click.option("--url", required=True, help="Where the gateway listens, e.g. http://127.0.0.1:8000")
@click.option("--host", required=True, help="The Host header, as the HTTPRoute has it.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="One JSON line per request is appended here."
)
@click.option("--per-second", default=1.5, show_default=True, type=click.FloatRange(0.1, 50))
@click.option("--reply-tokens", default=8, show_default=True, type=click.IntRange(1, 512))
@click.option("--long-tokens", default=285, show_default=True, help="Length of the long writers' prompts.")
@click.option("--seconds", default=3600.0, show_default=True, type=click.FloatRange(1, 7200), help="The bound.")
@click.option("--seed", default=7, show_default=True)
@click.option("--json-percent", default=0, show_default=True, type=click.IntRange(0, 100), help="Who asks for JSON.")
def main(
    url: str,
    host: str,
    out: Path,
    per_second: float,
    reply_tokens: int,
    long_tokens: int,
    seconds: float,
    seed: int,
    json_percent: int,
) -> None:
    """Send requests of twelve tenants and some anonymous ones until SIGTERM."""

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await Users(url, host, per_second, reply_tokens, long_tokens, out, seed, json_percent).run(seconds, stop)

    asyncio.run(run())


if __name__ == "__main__":
    main()
