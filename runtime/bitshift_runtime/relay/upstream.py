"""The connections to the engines.

Here: how one is made, and what counts as its failure. Not here: what is sent over it (`relay.forward`).
"""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDict
from yarl import URL

from bitshift_core.evidence.live import Arm

from .logs import log

HEADER_BYTES = 64 * 1024
MOST_HEADERS = 512
REFRESH_SECONDS = 5.0
STALE_SECONDS = 30.0
"""An address this old may be another Service's by now: it is used only where the name cannot be looked up."""
QUIET_SECONDS = 10.0
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
ADDED_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""What the client library would add to requests that lack them."""


class SteadyResolver(AbstractResolver):
    """Looks names up in the background and keeps the last good answer: a DNS that stumbles fails no request."""

    def __init__(self, resolver: AbstractResolver | None = None) -> None:
        self._resolver = resolver or aiohttp.ThreadedResolver()
        self._known: dict[tuple[str, int], list[ResolveResult]] = {}
        self._looked_at: dict[tuple[str, int], float] = {}
        self._refreshing: dict[tuple[str, int], asyncio.Task[None]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the known addresses, the next one first each time; a name in use makes no request wait."""
        key = (host, port)
        if key not in self._known:
            await self._look_up(key, family)
        age_seconds = asyncio.get_running_loop().time() - self._looked_at[key]
        if age_seconds > REFRESH_SECONDS and key not in self._refreshing:
            self._refreshing[key] = asyncio.create_task(self._refresh(key, family))
        if age_seconds > STALE_SECONDS:
            await asyncio.shield(self._refreshing[key])
        known = self._known[key]
        known.append(known.pop(0))
        return list(known)

    async def close(self) -> None:
        """Stop looking names up."""
        for task in self._refreshing.values():
            task.cancel()
        await self._resolver.close()

    async def _look_up(self, key: tuple[str, int], family: socket.AddressFamily) -> None:
        found = await self._resolver.resolve(*key, family)
        self._known[key] = found
        self._looked_at[key] = asyncio.get_running_loop().time()

    async def _refresh(self, key: tuple[str, int], family: socket.AddressFamily) -> None:
        try:
            await self._look_up(key, family)
        except OSError as error:
            self._looked_at[key] = asyncio.get_running_loop().time()
            log.warning("A name could not be looked up again", extra={"target": key[0], "error": type(error).__name__})
        finally:
            self._refreshing.pop(key, None)


class Upstream:
    """Asks engines, each request over a connection of its own.

    A kept connection may be closed by its engine just as it is used again, and would fail a request that direct
    traffic would not; it would also tie the relay to the pods it met first, and hold a thread of llama.cpp while idle.
    """

    failures = (aiohttp.ClientError, OSError, asyncio.TimeoutError)

    def __init__(self, *, connect_seconds: float) -> None:
        connector = aiohttp.TCPConnector(
            limit=0,
            force_close=True,
            use_dns_cache=False,
            resolver=SteadyResolver(),
            socket_factory=_socket_that_resets,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=ADDED_HEADERS,
            max_line_size=HEADER_BYTES,
            max_field_size=HEADER_BYTES,
            max_headers=MOST_HEADERS,
            middlewares=(_never_again,),
        )
        self._failed: Counter[Arm] = Counter()
        self._quiet_until: dict[Arm, float] = {}

    async def ask(
        self, method: str, url: URL, headers: CIMultiDict[str], body: bytes | AsyncIterator[bytes] | None
    ) -> aiohttp.ClientResponse:
        """Return the engine's answer once its headers are there."""
        return await self._session.request(method, url, headers=headers, data=body, allow_redirects=False)

    def note_failure(self, arm: Arm, error: BaseException) -> None:
        """Log that an engine gave no answer; at most every few seconds, with how many there were."""
        self._failed[arm] += 1
        now = asyncio.get_running_loop().time()
        if now >= self._quiet_until.get(arm, 0.0):
            fields = {"arm": arm, "error": type(error).__name__, "failures": self._failed.pop(arm)}
            log.warning("An engine gave no answer", extra=fields)
            self._quiet_until[arm] = now + QUIET_SECONDS

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()


async def _never_again(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep the client library from sending a GET twice when a connection breaks."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
        raise aiohttp.ClientConnectionError(type(error).__name__) from error


def _socket_that_resets(address: Any) -> socket.socket:
    """Return a socket that leaves nothing behind when it closes.

    Each closed connection would otherwise hold a local port for a minute: 28,000 ports are 470 requests per second.
    """
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    return made
