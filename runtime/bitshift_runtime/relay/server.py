"""A relay's life: ports open, requests pass, and after SIGTERM a slow and orderly end.

Here: what runs and when it stops. Not here: what happens to a request (`relay.forward`).
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import web

from bitshift_core.evidence.live import Arm

from .admin import Admin
from .clock import Clock
from .counters import Counters
from .forward import Forwarder
from .ledger import ARMS
from .logs import log
from .settings import RelaySettings
from .upstream import HEADER_BYTES, MOST_HEADERS, Upstream

BACKLOG = 2_048
ADVANCE_SECONDS = 0.5


@dataclass
class Relay:
    """A relay whose ports are open."""

    settings: RelaySettings
    counters: Counters
    admin: Admin
    forwarders: dict[Arm, Forwarder]
    sites: dict[str, web.TCPSite]

    def port(self, name: str) -> int:
        """Return the port of an arm or of `admin`."""
        return self.sites[name].port

    async def leave(self) -> None:
        """Stop taking requests, then wait for those that are on the way; the admin port stays to the last."""
        self.admin.ready = False
        for forwarder in self.forwarders.values():
            forwarder.leaving = True
        log.info("Leaving", extra={"seconds": self.settings.pause_seconds, "in_flight": self.counters.in_flight})
        await asyncio.sleep(self.settings.pause_seconds)
        for arm in ARMS:
            await self.sites[arm].stop()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.counters.idle(), self.settings.drain_seconds)
        log.info("Left", extra={"in_flight": self.counters.in_flight})


@contextlib.asynccontextmanager
async def running(settings: RelaySettings) -> AsyncIterator[Relay]:
    """Open the ports of a relay for as long as the context lasts."""
    counters = Counters(settings, Clock().now)
    admin = Admin(counters)
    async with contextlib.AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(Upstream(connect_seconds=settings.connect_seconds))
        forwarders = {arm: _forwarder(arm, settings, counters, upstream) for arm in ARMS}
        ports = {"stable": settings.stable_port, "candidate": settings.candidate_port}
        sites: dict[str, web.TCPSite] = {}
        for arm in ARMS:
            sites[arm] = await _open(stack, _arm_runner(forwarders[arm]), settings.host, ports[arm])
        admin_runner = web.AppRunner(admin.application(), access_log=None, shutdown_timeout=0.1)
        sites["admin"] = await _open(stack, admin_runner, settings.host, settings.admin_port)
        stack.push_async_callback(_end, asyncio.create_task(_advance(counters)))
        admin.ready = True
        yield Relay(settings, counters, admin, forwarders, sites)


async def serve(settings: RelaySettings) -> None:
    """Run a relay until the process is asked to end."""
    asked_to_end = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, asked_to_end.set)
    async with running(settings) as relay:
        ports = {name: relay.port(name) for name in relay.sites}
        log.info("Ready", extra={"ports": ports, "release": settings.release})
        await asked_to_end.wait()
        await relay.leave()


def _forwarder(arm: Arm, settings: RelaySettings, counters: Counters, upstream: Upstream) -> Forwarder:
    return Forwarder(arm, settings.url_of(arm), settings.release, settings.tenant_header, counters, upstream)


def _arm_runner(forwarder: Forwarder) -> web.ServerRunner:
    """Return a server that passes bytes through: no access log, no decoding, no limits narrower than the engines'."""
    server = web.Server(
        forwarder,
        handler_cancellation=True,
        access_log=None,
        auto_decompress=False,
        max_line_size=HEADER_BYTES,
        max_field_size=HEADER_BYTES,
        max_headers=MOST_HEADERS,
    )
    return web.ServerRunner(server, shutdown_timeout=0.1)


async def _open(stack: contextlib.AsyncExitStack, runner: web.BaseRunner, host: str | None, port: int) -> web.TCPSite:
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, host, port, backlog=BACKLOG)
    await site.start()
    return site


async def _advance(counters: Counters) -> None:
    while True:
        await asyncio.sleep(ADVANCE_SECONDS)
        counters.advance()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
