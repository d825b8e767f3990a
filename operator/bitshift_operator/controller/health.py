"""What the kubelet and Prometheus ask the operator: is it alive, is it ready, what are its numbers.

Here: three paths on two ports. Not here: the numbers themselves (`controller.metrics`).
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic

from aiohttp import web

from bitshift_operator.cluster.watch import Reflector
from bitshift_operator.controller.queue import WorkQueue


@dataclass
class Health:
    """What is looked at; `__main__` fills it in as the parts come up."""

    queue: WorkQueue
    stale_after_seconds: float
    reflectors: Sequence[Reflector] = ()
    is_leader: Callable[[], bool] = lambda: False
    metrics: Callable[[], bytes] = lambda: b""
    clock: Callable[[], float] = field(default=monotonic)

    def ailments(self) -> list[str]:
        """Return why a restart would help; nothing for a standby, which does nothing that could hang."""
        if not self.is_leader():
            return []
        limit, now = self.stale_after_seconds, self.clock()
        waited = self.queue.oldest_wait_seconds()
        found = [f"A model waits for a worker since {waited:.0f} s (limit {limit:.0f} s)."] if waited > limit else []
        for reflector in self.reflectors:
            silent = now - reflector.last_heard_at
            if silent > limit:
                found.append(f"The watch of {reflector.kind.plural} heard nothing for {silent:.0f} s.")
        return found

    def missing(self) -> list[str]:
        """Return what a leader still waits for before it works; a standby is ready as it is."""
        if not self.is_leader():
            return []
        return [f"Still listing {each.kind.plural}." for each in self.reflectors if not each.synced.is_set()]

    async def healthz(self, request: web.Request) -> web.Response:
        """Answer the liveness probe."""
        return _answer(self.ailments())

    async def readyz(self, request: web.Request) -> web.Response:
        """Answer the readiness probe."""
        return _answer(self.missing())

    async def scrape(self, request: web.Request) -> web.Response:
        """Answer Prometheus."""
        return web.Response(body=self.metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    @asynccontextmanager
    async def served(self, health_port: int, metrics_port: int, host: str = "0.0.0.0") -> AsyncIterator[list[str]]:
        """Serve both ports until the end of the block; yields their addresses (port 0 takes any free one)."""
        probes, numbers = web.Application(), web.Application()
        probes.router.add_get("/healthz", self.healthz)
        probes.router.add_get("/readyz", self.readyz)
        numbers.router.add_get("/metrics", self.scrape)
        runners = [web.AppRunner(app, access_log=None, shutdown_timeout=0.5) for app in (probes, numbers)]
        try:
            for runner, port in zip(runners, (health_port, metrics_port), strict=True):
                await runner.setup()
                await web.TCPSite(runner, host, port).start()
            yield [f"http://127.0.0.1:{runner.addresses[0][1]}" for runner in runners]
        finally:
            for runner in runners:
                await runner.cleanup()


def _answer(reasons: Sequence[str]) -> web.Response:
    return web.Response(status=503 if reasons else 200, text="\n".join(reasons) or "ok")
