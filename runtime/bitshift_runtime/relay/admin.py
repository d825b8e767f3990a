"""What the relay says of itself, on a port of its own.

Here: health, readiness, evidence, metrics. Not here: users' requests (`relay.forward`).
"""

from dataclasses import dataclass

from aiohttp import web

from .counters import Counters
from .report import report_json


@dataclass
class Admin:
    """The admin port's answers."""

    counters: Counters
    ready: bool = False
    """False until the ports are open, and from the moment the process is asked to end."""

    def application(self) -> web.Application:
        """Return the routes."""
        app = web.Application()
        app.router.add_get("/healthz", self.healthz)
        app.router.add_get("/readyz", self.readyz)
        app.router.add_get("/evidence", self.evidence)
        app.router.add_get("/metrics", self.metrics)
        return app

    async def healthz(self, _: web.Request) -> web.Response:
        """Say that the event loop turns."""
        return web.Response(text="ok\n")

    async def readyz(self, _: web.Request) -> web.Response:
        """Say whether new requests should come here; an engine's own health is no matter of the relay's."""
        return web.Response(text="ready\n") if self.ready else web.Response(status=503, text="leaving\n")

    async def evidence(self, request: web.Request) -> web.Response:
        """Return the closed seconds after `since_first` and `since_end`."""
        try:
            since_first, since_end = (int(request.query.get(name, "0")) for name in ("since_first", "since_end"))
        except ValueError:
            return web.Response(status=400, text="`since_first` and `since_end` must be whole epoch seconds\n")
        report = report_json(self.counters, since_first=since_first, since_end=since_end)
        return web.Response(body=report, content_type="application/json")

    async def metrics(self, _: web.Request) -> web.Response:
        """Return the totals for Prometheus."""
        lines = self.counters.totals.lines(self.counters.in_flight)
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body="".join(f"{line}\n" for line in lines).encode(), headers=headers)
