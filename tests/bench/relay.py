"""What the relay costs: `python tests/bench/relay.py` prints each number through it beside the same number without it.

About 40 s. Engine, relay and client are processes of their own on the loopback; both ways are measured in turns in the
same run, so that what else the machine does meets both. On few cores the three compete: the relay's own CPU time per
request and token says what one core of it could do.
"""

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from statistics import quantiles

HERE = Path(__file__).parent
RELAY = "from bitshift_runtime.relay.command import relay; relay()"
SENT = re.compile(rb'"sent":(\d+)')
TICKS = os.sysconf("SC_CLK_TCK")

TURNS = 4
PAIRS = 250
LOAD_SECONDS = 1.5
CLIENTS = 16
STREAMS = 24
PACED_STREAMS = 100
PACED_TOKENS, PACED_GAP_MS = 40, 50


class Connection:
    """A client's kept connection, as a gateway has them."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def __aenter__(self) -> "Connection":
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def ask(self, tokens: int = 0, gap_ms: int = 0, seen: Callable[[bytes], None] = len) -> None:
        body = json.dumps({"model": "m", "tokens": tokens, "gap_ms": gap_ms, "stream": tokens > 0}).encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: llm\r\nx-tenant-id: acme\r\nContent-Length: %d\r\n\r\n"
        self.writer.write(head % len(body) + body)
        head = await self.reader.readuntil(b"\r\n\r\n")
        if sized := re.search(rb"content-length: (\d+)", head, re.IGNORECASE):
            await self.reader.readexactly(int(sized[1]))
        else:
            await self._chunks(seen)

    async def _chunks(self, seen: Callable[[bytes], None]) -> None:
        tail = b""
        while not tail.endswith(b"0\r\n\r\n"):
            chunk = await self.reader.read(65_536)
            assert chunk, "cut"
            seen(chunk)
            tail = (tail + chunk)[-16:]


class Samples(list):
    def at(self, percent: int) -> float:
        return quantiles(self, n=100, method="inclusive")[percent - 1]


async def answer_milliseconds(port: int) -> Samples:
    found = Samples()
    async with Connection(port) as connection:
        for _ in range(PAIRS):
            began = time.perf_counter()
            await connection.ask()
            found.append((time.perf_counter() - began) * 1000)
    return found


async def requests_per_second(port: int) -> Samples:
    done = 0
    until = time.perf_counter() + LOAD_SECONDS

    async def client() -> None:
        nonlocal done
        async with Connection(port) as connection:
            while time.perf_counter() < until:
                await connection.ask()
                done += 1

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return Samples([done / LOAD_SECONDS])


async def tokens_per_second(port: int) -> Samples:
    began, tokens = time.perf_counter(), 400

    async def client() -> None:
        async with Connection(port) as connection:
            await connection.ask(tokens=tokens)

    await asyncio.gather(*(client() for _ in range(STREAMS)))
    return Samples([STREAMS * tokens / (time.perf_counter() - began)])


async def token_milliseconds(port: int) -> Samples:
    """Return how old each token is when the client reads it, at a pace at which nothing is saturated."""
    found = Samples()

    def seen(chunk: bytes) -> None:
        now = time.monotonic_ns()
        found.extend((now - int(sent)) / 1e6 for sent in SENT.findall(chunk))

    async def client(number: int) -> None:
        await asyncio.sleep(number * PACED_GAP_MS / PACED_STREAMS / 1000)
        async with Connection(port) as connection:
            await connection.ask(PACED_TOKENS, PACED_GAP_MS, seen)

    await asyncio.gather(*(client(number) for number in range(PACED_STREAMS)))
    return found


async def in_turns(measure: Callable[[int], Awaitable[Samples]], direct: int, relayed: int) -> tuple[Samples, Samples]:
    found = Samples(), Samples()
    for _ in range(TURNS):
        for samples, port in zip(found, (direct, relayed), strict=True):
            samples.extend(await measure(port))
    return found


def print_row(name: str, direct: float, relayed: float, unit: str, compare: str) -> None:
    print(f"{name:34} {direct:12.2f} {relayed:12.2f} {unit:10} {compare}")


def print_latency(name: str, direct: Samples, relayed: Samples) -> None:
    for percent in (50, 99):
        was, now = direct.at(percent), relayed.at(percent)
        print_row(f"{name} p{percent}", was, now, "ms", f"+{now - was:.2f} ms")


def print_rate(name: str, direct: Samples, relayed: Samples, unit: str) -> None:
    was, now = sorted(direct)[len(direct) // 2], sorted(relayed)[len(relayed) // 2]
    print_row(name, was, now, unit, f"ratio {now / was:.2f}")


class Process:
    """The relay's process as the kernel counts it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def mebibytes(self, field: str) -> float:
        return int(re.search(rf"{field}:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())[1]) / 1024

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


async def measure(direct: int, relayed: int, relay: Process) -> None:
    idle = relay.mebibytes("VmRSS")
    await answer_milliseconds(relayed)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start: above the cores, latencies say little")
    print(f"{'':34} {'direct':>12} {'relayed':>12}")
    print_latency("whole answer", *await in_turns(answer_milliseconds, direct, relayed))
    spent = relay.cpu_seconds()
    print_latency("age of a token, 2000 tokens/s", *await in_turns(token_milliseconds, direct, relayed))
    each = (relay.cpu_seconds() - spent) / (TURNS * PACED_STREAMS * PACED_TOKENS)
    print(f"{'':34} {each * 1e6:.0f} µs of CPU per token that comes alone")
    spent = relay.cpu_seconds()
    was, now = await in_turns(requests_per_second, direct, relayed)
    each = (relay.cpu_seconds() - spent) / sum(now) / LOAD_SECONDS
    print_rate(f"requests/s, {CLIENTS} at once", was, now, "1/s")
    print(f"{'':34} {each * 1e6:.0f} µs of CPU per request: one core, {1 / each:.0f} requests/s")
    spent = relay.cpu_seconds()
    was, now = await in_turns(tokens_per_second, direct, relayed)
    each = (relay.cpu_seconds() - spent) / (TURNS * STREAMS * 400)
    print_rate(f"tokens/s, {STREAMS} streams", was, now, "1/s")
    print(f"{'':34} {each * 1e6:.0f} µs of CPU per token: one core, {1 / each:.0f} tokens/s")
    peak, after = relay.mebibytes("VmHWM"), relay.mebibytes("VmRSS")
    print(f"relay memory: {idle:.0f} MiB idle, {peak:.0f} MiB at its peak, {after:.0f} MiB now")


@contextlib.contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def main() -> None:
    with started(str(HERE / "bare_engine.py")) as engine:
        direct = int(engine.stdout.readline())
        options = ["--stable-url", f"http://127.0.0.1:{direct}", "--host", "127.0.0.1", "--ports", "0", "0"]
        with started("-c", RELAY, *options, "--admin-port", "0") as relay:
            relayed = json.loads(relay.stdout.readline())["ports"]["stable"]
            asyncio.run(measure(direct, relayed, Process(relay.pid)))


if __name__ == "__main__":
    main()
