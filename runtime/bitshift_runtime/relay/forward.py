"""Passing one request on to an arm, and its answer back.

Here: bytes, both ways, at once. Not here: what they mean (`relay.exchange`), whom they are for: nothing is routed or
retried. A request that would have succeeded without the relay must succeed with it.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from bitshift_core.evidence.live import Arm

from .answer import may_ask_for_json
from .counters import Counters
from .exchange import Exchange
from .headers import ARM, PROBE, RELEASE, end_to_end
from .upstream import Upstream

LOOK_BYTES = 256 * 1024
"""A request up to this length is kept until its answer began, to know whether JSON was asked for."""

Body = bytes | AsyncIterator[bytes] | None


@dataclass
class Forwarder:
    """One arm's port."""

    arm: Arm
    url: str
    release: str
    tenant_header: str
    counters: Counters
    upstream: Upstream
    leaving: bool = False
    """Set while the process ends: clients are told to connect elsewhere next time."""

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request as the arm does."""
        if not self.url:
            return self._refuse(503, "There is no candidate yet.")
        if PROBE in request.headers:
            return web.Response(status=204, headers={ARM: self.arm, RELEASE: self.release})
        tenant = request.headers.get(self.tenant_header)
        path = request.raw_path if request.method == "POST" else ""
        exchange = Exchange(self.counters, self.arm, tenant=tenant, path=path)
        try:
            return await self._pass_on(request, exchange)
        except (asyncio.CancelledError, ConnectionResetError):  # how aiohttp says that the client has gone
            exchange.client_left()
            raise
        finally:
            exchange.close()

    async def _pass_on(self, request: web.BaseRequest, exchange: Exchange) -> web.StreamResponse:
        body = await _body_of(request, exchange)
        url = URL(self.url + _target_of(request), encoded=True)
        headers = end_to_end(request.headers, ("expect",))
        exchange.starts()
        try:
            answer = await self.upstream.ask(request.method, url, headers, body)
        except self.upstream.failures as error:
            exchange.got_no_answer()
            self.upstream.note_failure(self.arm, error)
            return self._refuse(502, f"The {self.arm} release did not answer.")
        body = body if isinstance(body, bytes) and may_ask_for_json(body) else b""
        try:
            return await self._give_back(request, answer, exchange, body)
        finally:
            answer.close()

    async def _give_back(
        self, request: web.BaseRequest, answer: aiohttp.ClientResponse, exchange: Exchange, request_body: bytes
    ) -> web.StreamResponse:
        headers = end_to_end(answer.headers)
        headers[ARM] = self.arm
        if answer.status == 200 and answer.content.is_eof() and answer.content_length and request.method != "HEAD":
            return await self._give_back_at_once(request, answer, exchange, request_body, headers)
        response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
        await self._begin(response, request)
        exchange.began(answer.status, answer.headers, request_body)
        while not answer.content.at_eof():
            try:
                chunk = await answer.content.readany()
            except self.upstream.failures:
                exchange.broke_off()
                _hang_up(request)
                return response
            exchange.arrived(chunk, is_last=answer.content.at_eof())
            await response.write(chunk)
            exchange.look()
        await response.write_eof()
        exchange.ended()
        return response

    async def _give_back_at_once(
        self,
        request: web.BaseRequest,
        answer: aiohttp.ClientResponse,
        exchange: Exchange,
        request_body: bytes,
        headers: CIMultiDict[str],
    ) -> web.StreamResponse:
        """Send an answer that is here already in one piece: headers apart from it would cost another packet."""
        body = await answer.content.read()
        exchange.began(answer.status, answer.headers, request_body)
        exchange.arrived(body, is_last=True)
        response = web.Response(status=answer.status, reason=answer.reason, headers=headers, body=body)
        await self._begin(response, request)
        await response.write_eof()
        exchange.look()
        exchange.ended()
        return response

    async def _begin(self, response: web.StreamResponse, request: web.BaseRequest) -> None:
        if self.leaving:
            response.force_close()
        await response.prepare(request)

    def _refuse(self, status: int, message: str) -> web.Response:
        return web.json_response(
            {"error": {"message": message, "type": "bitshift_relay", "code": status}},
            status=status,
            headers={ARM: self.arm},
        )


def _target_of(request: web.BaseRequest) -> str:
    """Return the path and query as the client wrote them: a path that was normalised might be another one."""
    target = request.raw_path
    return target if target.startswith("/") else request.rel_url.raw_path_qs


async def _body_of(request: web.BaseRequest, exchange: Exchange) -> Body:
    """Return a short body as it is, a long one as a stream."""
    if not request.body_exists:
        return None
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    if (request.content_length or 0) > LOOK_BYTES:
        return _streamed(b"", request.content, exchange)
    kept = bytearray()
    while len(kept) <= LOOK_BYTES and not request.content.at_eof():
        kept += await request.content.readany()
    if not request.content.at_eof():
        return _streamed(bytes(kept), request.content, exchange)
    return bytes(kept)


async def _streamed(kept: bytes, rest: aiohttp.StreamReader, exchange: Exchange) -> AsyncIterator[bytes]:
    if kept:
        yield kept
    async for chunk in rest.iter_any():
        yield chunk
    exchange.request_sent()


def _hang_up(request: web.BaseRequest) -> None:
    """Close the client's connection without ending the answer: it must not take the torso for the whole."""
    if request.transport is not None:
        request.transport.close()
