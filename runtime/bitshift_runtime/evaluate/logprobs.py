"""Asking one endpoint how likely tokens are, and reading what engines print for it.

Here: three questions and two shapes of answers, OpenAI's older `tokens`/`token_logprobs` and newer `content`. Not here:
which side is asked what (`numeric`), what the numbers show (`bitshift_core.evidence.numeric`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from bitshift_core.evidence.numeric import Token

from .endpoint import Endpoint

LISTED = 5
"""Likeliest tokens that are asked for beside a text's own: what OpenAI's completions allow at most."""
LISTED_ONLY = 20
"""Those asked for where nothing else tells how likely a token is; vLLM and OpenAI's chats allow no more."""
ROUNDING = 0.01
"""So far above 0 a log-probability is still 0."""


@dataclass(frozen=True)
class Said:
    """What an engine says of a text's tokens, or of the one that it would say next with all that it listed."""

    tokens: tuple[Token, ...] = ()
    listed: Mapping[str, float | None] | None = None
    failure: str = ""
    """Empty, or in a few words why there are no numbers."""
    broke: bool = False
    """True where the engine failed at the question, not where it refused it."""


async def score_text(endpoint: Endpoint, text: str) -> Said:
    """Return how likely each token of a text is after those before it."""
    body = _greedy(endpoint) | {"prompt": text, "echo": True, "logprobs": LISTED}
    document, said = await _ask(endpoint, "/v1/completions", body)
    tokens = _scored(document, text)
    return said if said.failure else Said(tokens=tokens) if tokens else Said(failure="scores no texts")


async def continue_text(endpoint: Endpoint, text: str, max_tokens: int) -> str:
    """Return what an engine would go on with; empty where it says nothing."""
    body = _greedy(endpoint) | {"prompt": text, "max_tokens": max_tokens}
    document, _ = await _ask(endpoint, "/v1/completions", body)
    said = _choice(document).get("text")
    return said if isinstance(said, str) else ""


async def next_token(endpoint: Endpoint, text: str) -> Said:
    """Return what an engine would say next after a text."""
    body = _greedy(endpoint) | {"prompt": text, "logprobs": LISTED_ONLY}
    return _next(*await _ask(endpoint, "/v1/completions", body))


async def first_of_answer(endpoint: Endpoint, text: str) -> Said:
    """Return what an engine would begin its answer to a message with."""
    messages = [{"role": "user", "content": text}]
    body = _greedy(endpoint) | {"messages": messages, "logprobs": True, "top_logprobs": LISTED_ONLY}
    return _next(*await _ask(endpoint, "/v1/chat/completions", body))


def _greedy(endpoint: Endpoint) -> dict[str, Any]:
    return {"model": endpoint.model, "max_tokens": 1, "temperature": 0, "seed": 1, "stream": False}


async def _ask(endpoint: Endpoint, path: str, body: Mapping[str, Any]) -> tuple[dict[str, Any], Said]:
    """Return the answer, or why there is none: never the engine's own text, which may repeat the prompt."""
    try:
        response = await endpoint.send("POST", path, body)
        content = response.json() if response.status_code == httpx.codes.OK else None
    except httpx.TimeoutException:
        return {}, Said(failure="no answer in time")
    except httpx.HTTPError as error:
        return {}, Said(failure=f"broken off ({type(error).__name__})", broke=True)
    except (ValueError, RecursionError):
        return {}, Said(failure="not JSON")
    if response.status_code != httpx.codes.OK:
        return {}, Said(failure=f"HTTP {response.status_code}", broke=response.status_code >= 500)
    return (content, Said()) if isinstance(content, dict) else ({}, Said(failure="not a completion"))


def _scored(document: Mapping[str, Any], text: str) -> tuple[Token, ...]:
    """Return the tokens of an echoed text, less its first one, which nothing stands before, and the one made after it.

    An engine that does not know `echo` answers with the token that it made alone.
    """
    choice = _choice(document)
    names, tokens = _tokens(choice.get("logprobs"))
    usage = document.get("usage")
    asked = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    length = asked if isinstance(asked, int) and 1 < asked <= len(tokens) else len(tokens) - 1
    echoed = str(choice.get("text") or "").startswith(text) or "".join(names).startswith(text)
    return tokens[1:length] if echoed and length > 1 else ()


def _next(document: Mapping[str, Any], said: Said) -> Said:
    """Return the first token that was made with the list it was taken from."""
    if said.failure:
        return said
    found = _choice(document).get("logprobs")
    _, tokens = _tokens(found)
    listed = _lists(found)
    if not tokens or not listed or not listed[0]:
        return Said(failure="no log-probabilities")
    return Said(tokens=tokens[:1], listed=listed[0])


def _choice(document: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = document.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


def _tokens(logprobs: Any) -> tuple[list[str], tuple[Token, ...]]:
    """Return the tokens' texts, and what was printed of each; nothing where lengths do not go together."""
    if not isinstance(logprobs, dict):
        return [], ()
    if isinstance(content := logprobs.get("content"), list):
        entries = [entry for entry in content if isinstance(entry, dict)]
        names, numbers = [entry.get("token") for entry in entries], [entry.get("logprob") for entry in entries]
    else:
        names, numbers = _list(logprobs, "tokens"), _list(logprobs, "token_logprobs")
    lists = _lists(logprobs)
    texts = [name for name in names if isinstance(name, str)]
    if not texts or not len(texts) == len(names) == len(numbers):
        return [], ()
    lists += [{}] * (len(texts) - len(lists))
    read = (
        Token(name, number(value), _likeliest(listed))
        for name, value, listed in zip(texts, numbers, lists[: len(texts)], strict=True)
    )
    return texts, tuple(read)


def _lists(logprobs: Any) -> list[dict[str, float | None]]:
    """Return at each position the tokens that were listed, with their log-probabilities."""
    if not isinstance(logprobs, dict):
        return []
    if isinstance(content := logprobs.get("content"), list):
        return [_listed(entry.get("top_logprobs")) for entry in content if isinstance(entry, dict)]
    return [_listed(each) for each in _list(logprobs, "top_logprobs")]


def _listed(entries: Any) -> dict[str, float | None]:
    if isinstance(entries, dict):
        return {name: number(value) for name, value in entries.items()}
    if not isinstance(entries, list):
        return {}
    known = (entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("token"), str))
    return {entry["token"]: number(entry.get("logprob")) for entry in known}


def _likeliest(listed: Mapping[str, float | None]) -> tuple[str, ...]:
    """Return the listed tokens, best first; vLLM puts the text's own token in front, and it may be a sixth."""
    numbered = [(value, name) for name, value in listed.items() if value is not None]
    return tuple(name for _, name in sorted(numbered, key=lambda pair: -pair[0])[:LISTED])


def _list(logprobs: Mapping[str, Any], name: str) -> list[Any]:
    found = logprobs.get(name)
    return found if isinstance(found, list) else []


def number(value: Any) -> float | None:
    """Return a log-probability; None where it is none; minus infinity is one, of a vanished token."""
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or value > ROUNDING:
        return None
    return float(value)
