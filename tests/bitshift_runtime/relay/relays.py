"""A relay in front of fake engines, for tests: what they ask of it and what they read from it."""

import asyncio
import contextlib
import json
from collections import Counter
from dataclasses import dataclass, replace

import aiohttp

from bitshift_core.evidence.live import RelayReport
from bitshift_runtime.relay.counters import Counters
from bitshift_runtime.relay.server import Relay, running
from bitshift_runtime.relay.settings import RelaySettings

from .fake_engine import FakeEngine, fake_engine

CHAT = "/v1/chat/completions"
SETTINGS = RelaySettings(
    stable_url="", host="127.0.0.1", stable_port=0, candidate_port=0, admin_port=0, pod="relay-1", release="chat-awq",
    pause_seconds=0.0, drain_seconds=5.0,
)  # fmt: skip


@dataclass
class World:
    """Two engines, a relay before them, a client before that, and the relay's clock in the test's hand."""

    stable: FakeEngine
    candidate: FakeEngine
    relay: Relay
    client: aiohttp.ClientSession
    skipped_seconds: float = 0.0
    is_holding: bool = False
    """While a request is held, others cannot be waited for by waiting for none."""

    def url(self, name: str, path: str = "") -> str:
        return f"http://127.0.0.1:{self.relay.port(name)}{path}"

    async def ask(self, arm: str = "stable", *, tenant: str | None = None, path: str = CHAT, headers=None, **body):
        """Send a request and read its answer; what the relay counted is there once this returns."""
        headers = (headers or {}) | ({"x-tenant-id": tenant} if tenant is not None else {})
        async with self.client.post(self.url(arm, path), json=body, headers=headers) as answer:
            text = await answer.text(errors="replace")
        if not self.is_holding:
            await self.relay.counters.idle()
        return answer, text

    async def report(self, since_first: int = 0, since_end: int = 0) -> RelayReport:
        """Return the relay's report as the operator reads it."""
        query = {"since_first": since_first, "since_end": since_end}
        async with self.client.get(self.url("admin", "/evidence"), params=query) as answer:
            return RelayReport.model_validate(json.loads(await answer.read()))

    async def closed_report(self) -> RelayReport:
        """Return the report of a moment later, when the second of the last request is over."""
        self.skip(1)
        return await self.report()

    def skip(self, seconds: float) -> None:
        """Let the relay's clock jump forward."""
        self.skipped_seconds += seconds

    async def outcomes(self) -> dict[str, Counter]:
        """Return what was counted by stage: `started`, and each kind of fault."""
        found = {"first": Counter(), "end": Counter()}
        for row in (await self.closed_report()).rows:
            found[row.stage] += Counter(row.bad) + Counter(started=row.started)
        return found


@contextlib.asynccontextmanager
async def world(**changes):
    """Start everything on the loopback; a test that waits for what never comes fails."""
    async with (
        asyncio.timeout(20),
        fake_engine() as stable,
        fake_engine() as candidate,
        aiohttp.ClientSession() as client,
    ):
        urls = {"stable_url": stable.url, "candidate_url": candidate.url}
        async with running(replace(SETTINGS, **(urls | changes))) as relay:
            made = World(stable, candidate, relay, client)
            _take_clock(relay.counters, made)
            yield made
            stable.may_go_on.set()
            candidate.may_go_on.set()


def _take_clock(counters: Counters, made: World) -> None:
    real = counters.now
    counters.now = lambda: real() + made.skipped_seconds


async def until(condition) -> None:
    """Return once the condition holds; it becomes true by itself or the test fails by its own time limit."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)
