"""A small OpenAI-compatible server on loopback whose answers, errors and speed a test decides."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from bitshift_runtime.evaluate.config import SideConfig
from tests.fake_language import Language, words

Reply = Callable[[str], str]
PRINTS_AS_IT_IS = float


@dataclass
class FakeEngine:
    reply: Reply = lambda prompt: "I do not know."
    status: Callable[[str], int] = lambda prompt: 200
    model: str = "m"
    context_tokens: int | None = 2048
    template: str | None = "{{ messages }}"
    tokenizer_offset: int | None = 0
    """None has no tokenise endpoint; another number is another tokenizer."""
    language: Language | None = Language()
    """None prints no log-probabilities, whatever is asked."""
    scores_texts: bool = True
    """False refuses `echo`, as llama.cpp does, and prints the newer shape of log-probabilities."""
    scoring_status: int = 200
    """What a question for log-probabilities ends with."""
    number: Callable[[float], object] = PRINTS_AS_IT_IS
    """How a log-probability is printed."""
    completions: bool = True
    answer_seconds: float = 0
    first_token_seconds: float = 0
    token_seconds: float = 0
    refused_fields: frozenset[str] = frozenset()
    breaks_streams: bool = False
    api_key: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    order: list[str] = field(default_factory=list)
    bodies: list[dict] = field(default_factory=list)
    completed: list[dict] = field(default_factory=list)
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
        if "logprobs" in body and self.scoring_status != 200:
            return web.json_response({"error": "as asked"}, status=self.scoring_status)
        choice = {"index": 0, "message": {"role": "assistant", "content": self.reply(prompt)}, "finish_reason": "stop"}
        if body.get("logprobs"):
            choice["logprobs"] = self.next_words(prompt, body["top_logprobs"])
        return web.json_response({"choices": [choice], "usage": {"completion_tokens": 3}})

    async def complete(self, request: web.Request) -> web.Response:
        if not self.completions:
            return web.json_response({}, status=404)
        body = await request.json()
        self.completed.append(body)
        await asyncio.sleep(self.answer_seconds)
        prompt, count = body["prompt"], body.get("logprobs")
        if body.get("echo") and not self.scores_texts:
            return web.json_response({"error": "Only no echo is supported"}, status=500)
        if count is not None and self.scoring_status != 200:
            return web.json_response({"error": "as asked"}, status=self.scoring_status)
        choice = {"index": 0, "text": (prompt if body.get("echo") else "") + self.continued(prompt, body["max_tokens"])}
        if count is not None:
            choice["logprobs"] = (
                self.scored(choice["text"], count) if body.get("echo") else self.next_words(prompt, count)
            )
        return web.json_response({"choices": [choice]})

    def continued(self, prompt: str, count: int) -> str:
        text = prompt
        for _ in range(count):
            text += self.language.likeliest(words(text)[-1], 1)[0][0] if self.language else " word"
        return text[len(prompt) :]

    def scored(self, text: str, count: int) -> dict | None:
        if self.language is None:
            return None
        tokens = list(self.language.score(text, count))
        return {
            "tokens": [word for word, _, _ in tokens],
            "token_logprobs": [None if value is None else self.number(value) for _, value, _ in tokens],
            "top_logprobs": [
                None
                if listed is None
                else {word: self.number(value)} | {each: self.number(one) for each, one in listed}
                for word, value, listed in tokens
            ],
        }

    def next_words(self, prompt: str, count: int) -> dict | None:
        if self.language is None:
            return None
        listed = self.language.likeliest(words(prompt)[-1], count)
        if self.scores_texts:
            word, value = listed[0]
            top = {each: self.number(one) for each, one in listed}
            return {"tokens": [word], "token_logprobs": [self.number(value)], "top_logprobs": [top]}
        entries = [{"token": word, "logprob": self.number(value)} for word, value in listed]
        return {"content": [entries[0] | {"top_logprobs": entries}]}

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
        application.router.add_post("/v1/completions", self.complete)
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
