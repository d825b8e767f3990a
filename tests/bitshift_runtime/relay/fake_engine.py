"""A small engine on the loopback that goes wrong on demand: the request's `fault` says how.

It waits for nothing but the test: `hold` stops an answer after its first token until the test lets it go on.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

from aiohttp import web

WORDS = ("The", " capital", " of", " France", " is", " Paris", ".")


def event(delta: dict, finish: str | None = None) -> bytes:
    return (
        b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}).encode() + b"\n\n"
    )


def tool_call(arguments: str) -> dict:
    return {"tool_calls": [{"index": 0, "function": {"name": "weather", "arguments": arguments}}]}


class FakeEngine:
    """Remembers what it was asked; answers as an engine would, or as the request's fault wants it."""

    def __init__(self) -> None:
        self.requests: list[web.BaseRequest] = []
        self.bodies: list[bytes] = []
        self.may_go_on = asyncio.Event()
        self.is_holding = asyncio.Event()
        self.was_left = asyncio.Event()
        self.connections = 0
        self.url = ""

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        body = await request.content.read()
        self.bodies.append(body)
        asked = json.loads(body) if body.startswith(b"{") else {}
        try:
            return await self._answer(request, asked, asked.get("fault", ""))
        except asyncio.CancelledError:
            self.was_left.set()
            raise

    async def _answer(self, request, asked, fault) -> web.StreamResponse:
        if fault == "hang_up":
            request.transport.abort()
            return web.Response()
        if fault.isdigit():
            return web.json_response({"error": {"message": "no"}}, status=int(fault))
        if request.path == "/echo":
            return web.Response(
                body=self.bodies[-1], headers={"x-path": request.raw_path, "Connection": "x-private", "x-private": "1"}
            )
        if asked.get("stream"):
            return await self._stream(request, asked, fault)
        return await self._whole(request, asked, fault)

    async def _whole(self, request, asked, fault) -> web.StreamResponse:
        text = {"empty": "", "repeating": "ha " * 300}.get(fault, asked.get("say", "".join(WORDS)))
        message = {"role": "assistant", "content": text}
        if fault == "broken_tool":
            message = {"role": "assistant", "content": None} | tool_call('{"city": "Par')
        body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
        if fault == "garbage":
            body = b"\xff\xfe not json at all"
        if fault == "hold":
            await self._hold()
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
        await response.prepare(request)
        await response.write(body[: len(body) // 2] if fault == "cut" else body)
        if fault == "cut":
            request.transport.close()
        return response

    async def _stream(self, request, asked, fault) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        async for chunk in self._chunks(asked, fault):
            await response.write(chunk)
        if fault == "cut":
            request.transport.close()
        return response

    async def _chunks(self, asked, fault) -> AsyncIterator[bytes]:
        if fault == "garbage":
            yield b"data: \xff\xfe{{{\n\n: not an event\n\ndata: [DONE]\n\n"
            return
        yield event({"role": "assistant", "content": ""})
        if fault == "hold_before":
            await self._hold()
        if fault == "error_inside":
            yield b'data: {"error": {"message": "EngineCore died", "code": 500}}\n\n'
            return
        for number, word in enumerate(self._words(asked, fault)):
            yield word
            if fault == "cut" and number == 2:
                return
            if fault == "hold" and number == 0:
                await self._hold()
        if fault != "silent_end":
            yield event({}, "stop")
            yield b"data: [DONE]\n\n"
        if fault == "hold_after":
            await self._hold()

    def _words(self, asked, fault) -> list[bytes]:
        if fault == "empty":
            return []
        if fault == "broken_tool":
            return [event(tool_call(part)) for part in ('{"city":', ' "Par')]
        said = ["ha "] * 300 if fault == "repeating" else [asked["say"]] if "say" in asked else WORDS
        return [event({"content": word}) for word in said]

    async def _hold(self) -> None:
        self.is_holding.set()
        await self.may_go_on.wait()


@contextlib.asynccontextmanager
async def fake_engine() -> AsyncIterator[FakeEngine]:
    engine = FakeEngine()
    limits = {"max_line_size": 65_536, "max_field_size": 65_536}
    server = web.Server(engine, handler_cancellation=True, access_log=None, auto_decompress=False, **limits)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    engine.url = f"http://127.0.0.1:{site.port}"
    try:
        yield engine
    finally:
        await runner.cleanup()
