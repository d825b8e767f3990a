"""Asking one OpenAI-compatible endpoint: chat completions, and what it says about itself.

Here: requests, and retries of the connection's set-up. Not here: what an answer is worth (`scoring`).
"""

import asyncio
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx

from .config import SideConfig

SET_UP_PAUSES_SECONDS = (0.2, 1.0, 3.0)
SET_UP_FAILURES = (httpx.ConnectError, httpx.ConnectTimeout)
CONNECT_SECONDS = 5.0
MAX_ANSWER_CHARACTERS = 100_000
NEW_CONNECTIONS = httpx.Limits(max_keepalive_connections=0)
"""One connection a request: an engine that closes an idle one just as it is used again would seem to lose answers."""


class UnreachableError(Exception):
    """No connection could be made, repeatedly: nothing is known of the answers, so nothing may be judged."""


@dataclass(frozen=True)
class Answer:
    """What came back for one prompt; a failure is an answer too, for a user would have seen it."""

    text: str = ""
    finish_reason: str = ""
    failure: str = ""
    """Empty, or in a few words how the request failed: never the engine's own text, which may repeat the prompt."""


class Endpoint:
    """One side of a comparison."""

    def __init__(self, name: str, side: SideConfig, *, request_seconds: float) -> None:
        self.name = name
        self.model = side.model
        self.connect_retries = 0
        timeout = httpx.Timeout(request_seconds, connect=CONNECT_SECONDS)
        self._client = httpx.AsyncClient(
            base_url=side.url.rstrip("/"),
            headers=authorization(side.api_key_env),
            timeout=timeout,
            limits=NEW_CONNECTIONS,
            trust_env=False,
            verify=_public_trust(),
        )

    async def __aenter__(self) -> "Endpoint":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def chat(self, messages: list[dict[str, str]], **parameters: Any) -> Answer:
        """Return the answer to a chat, greedy and seeded."""
        body = {"model": self.model, "messages": messages, "temperature": 0, "seed": 1, "stream": False} | parameters
        try:
            response = await self.send("POST", "/v1/chat/completions", body)
        except httpx.TimeoutException:
            return Answer(failure="no answer in time")
        except httpx.HTTPError as error:
            return Answer(failure=f"broken off ({type(error).__name__})")
        return _answer(response)

    async def document(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Return the JSON object behind a path; None where the engine has no such thing."""
        try:
            response = await self.send(method, path, body)
            content = response.json() if response.status_code == httpx.codes.OK else None
        except (httpx.HTTPError, ValueError):
            return None
        return content if isinstance(content, dict) else None

    async def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        """Return the response; only a connection that was never made is tried again, and each time is counted."""
        for pause in SET_UP_PAUSES_SECONDS:
            try:
                return await self._client.request(method, path, json=body)
            except SET_UP_FAILURES:
                self.connect_retries += 1
                await asyncio.sleep(pause)
        try:
            return await self._client.request(method, path, json=body)
        except SET_UP_FAILURES as error:
            attempts = len(SET_UP_PAUSES_SECONDS) + 1
            raise UnreachableError(f"The {self.name} could not be connected to in {attempts} attempts.") from error


def authorization(api_key_env: str) -> dict[str, str]:
    """Return the header that carries the key from the environment, if there is one."""
    key = os.environ.get(api_key_env, "") if api_key_env else ""
    return {"Authorization": f"Bearer {key}"} if key else {}


@cache
def _public_trust() -> ssl.SSLContext:
    """Return the public authorities, which take tens of milliseconds to read; both sides share them."""
    return httpx.create_ssl_context(trust_env=False)


def _answer(response: httpx.Response) -> Answer:
    if response.status_code != httpx.codes.OK:
        return Answer(failure=f"HTTP {response.status_code}")
    try:
        choice = response.json()["choices"][0]
        text = choice["message"].get("content") or ""
        return Answer(text=str(text)[:MAX_ANSWER_CHARACTERS], finish_reason=str(choice.get("finish_reason") or ""))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return Answer(failure="not a chat completion")
