"""A small OpenAI-compatible server on loopback whose answers, errors and speed a test decides."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from bitshift_runtime.evaluate.config import SideConfig

Reply = Callable[[str], str]


@dataclass
class FakeEngine:
    reply: Reply = lambda prompt: "I do not know."
    status: Callable[[str], int] = lambda prompt: 200
    model: str = "m"
    context_tokens: int | None = 2048
    template: str | None = "{{ messages }}"
    tokenizer_offset: int | None = 0
    """None has no tokenise endpoint; another number is another tokenizer."""
    answer_seconds: float = 0
    first_token_seconds: float = 0
    token_seconds: float = 0
    refused_fields: frozenset[str] = frozenset()
    breaks_streams: bool = False
    api_key: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    order: list[str] = field(default_factory=list)
    bodies: list[dict] = field(default_factory=list)
    url: str = ""

    @property
    def side(self) -> SideConfig:
        return SideConfig(url=self.url, model=self.model, api_key_env="TEST_API_KEY" if self.api_key else "")

    async def chat(self, request: web.Request) -> web.StreamResponse:
        if self.api_key and request.headers.get("Authorization") != f"Bearer {self.api_key}":
            return web.json_response({"error": "unauthorized"}, status=401)
        body = await request.json()
        prompt = body["messages"][-1]["content"]
        self.asked[prompt] += 1
        self.order.append(prompt)
        self.bodies.append(body)
        if self.refused_fields & set(body):
            return web.json_response({"error": "unknown field"}, status=400)
        await asyncio.sleep(self.answer_seconds)
        if (status := self.status(prompt)) != 200:
            return web.json_response({"error": "as asked"}, status=status)
        if body.get("stream"):
            return await self.stream(request, body)
        choice = {"index": 0, "message": {"role": "assistant", "content": self.reply(prompt)}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": {"completion_tokens": 3}})

    async def stream(self, request: web.Request, body: dict) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await asyncio.sleep(self.first_token_seconds)
        for number in range(body["max_tokens"]):
            if number:
                await asyncio.sleep(self.token_seconds)
            await self.event(response, {"choices": [{"delta": {"content": f"w{number} "}}]})
            if self.breaks_streams:
                return response
        await self.event(response, {"choices": [{"delta": {}, "finish_reason": "length"}]})
        await self.event(response, {"choices": [], "usage": {"completion_tokens": body["max_tokens"]}})
        await response.write(b"data: [DONE]\n\n")
        return response

    @staticmethod
    async def event(response: web.StreamResponse, content: dict) -> None:
        await response.write(f"data: {json.dumps(content)}\n\n".encode())

    async def models(self, request: web.Request) -> web.Response:
        card = {"id": self.model, "object": "model"}
        if self.context_tokens:
            card["max_model_len"] = self.context_tokens
        return web.json_response({"object": "list", "data": [card]})

    async def properties(self, request: web.Request) -> web.Response:
        if self.template is None:
            return web.json_response({}, status=404)
        return web.json_response({"chat_template": self.template})

    async def tokenize(self, request: web.Request) -> web.Response:
        if self.tokenizer_offset is None:
            return web.json_response({}, status=404)
        body = await request.json()
        text = body["prompt"] if "prompt" in body else (self.template or "") + json.dumps(body["messages"])
        return web.json_response({"tokens": [ord(letter) + self.tokenizer_offset for letter in text]})

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_post("/v1/chat/completions", self.chat)
        application.router.add_get("/v1/models", self.models)
        application.router.add_get("/props", self.properties)
        application.router.add_post("/tokenize", self.tokenize)
        return application


@asynccontextmanager
async def serving(*engines: FakeEngine) -> AsyncIterator[None]:
    runners = []
    try:
        for engine in engines:
            runner = web.AppRunner(engine.application(), shutdown_timeout=0.1)
            runners.append(runner)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            engine.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        yield
    finally:
        for runner in runners:
            await runner.cleanup()
