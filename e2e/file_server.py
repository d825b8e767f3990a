"""Files over HTTP or HTTPS, by range, from this machine to pods; what was sent is counted, so that a test may hold it down."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web


@dataclass
class FileServer:
    """One folder at one address."""

    url: str
    sent_bytes: list[int] = field(default_factory=list)
    """Of each request, in order."""


@contextmanager
def serving(folder: Path, host: str, tls: ssl.SSLContext | None = None) -> Iterator[FileServer]:
    """Serve a folder until the end of the block."""
    server = FileServer("")

    async def answer(request: web.Request) -> web.StreamResponse:
        path = folder / request.match_info["name"]
        if not path.is_file():
            raise web.HTTPNotFound
        asked = request.http_range
        stop = min(asked.stop or path.stat().st_size, path.stat().st_size)
        server.sent_bytes.append(stop - (asked.start or 0))
        return web.FileResponse(path)

    application = web.Application()
    application.router.add_get("/{name}", answer)
    with answering(application, host, tls) as server.url:
        yield server


@contextmanager
def answering(application: web.Application, host: str, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Run an application in a thread of its own until the end of the block; yield where it answers."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(application)

    async def start() -> str:
        await runner.setup()
        await web.TCPSite(runner, host, 0, ssl_context=tls).start()
        return f"http{'s' if tls else ''}://{host}:{runner.addresses[0][1]}"

    url = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield url
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
