"""What a live endpoint says about itself: names, context, vocabulary, template, and how it cuts texts into tokens.

Here: reading two dialects, llama.cpp's and vLLM's; whatever an engine does not say stays unknown. Not here: comparing
(`compatibility`).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .endpoint import Endpoint

TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "  two leading spaces\n\nand\ttabs\r\n",
    "Größe, œuvre, señor, naïve: 12,345.67 €",
    "数字は42です。 你好，世界！ Привет, мир! مرحبا",
    "def f(x):\n    return {'a': [x ** 2, -1.5e-3]}  # 🙂",
    "<|im_start|>user\nhi<|im_end|> [INST] x [/INST] </s> <bos> <|eot_id|>",
)
CHATS: tuple[tuple[dict[str, str], ...], ...] = (
    ({"role": "user", "content": "Hello"},),
    ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 2 + 2?"}),
    (
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi! How can I help?"},
        {"role": "user", "content": "Tell me a joke."},
    ),
)


@dataclass(frozen=True)
class Introspection:
    """One endpoint in its own words; None is unknown, which is neither good nor bad."""

    served_models: tuple[str, ...] | None = None
    context_tokens: int | None = None
    vocabulary_size: int | None = None
    template_digest: str | None = None
    text_tokens: tuple[tuple[int, ...], ...] | None = None
    chat_tokens: tuple[tuple[int, ...], ...] | None = None
    answer_failure: str = ""
    """Empty when a one-token completion was answered."""


async def introspect(endpoint: Endpoint) -> Introspection:
    """Return what an endpoint says about itself."""
    answer = await endpoint.chat([{"role": "user", "content": "Hello"}], max_tokens=1)
    models = await endpoint.document("GET", "/v1/models") or {}
    properties = await endpoint.document("GET", "/props") or {}
    cards = [card for card in models.get("data") or [] if isinstance(card, dict)]
    served = next((card for card in cards if card.get("id") == endpoint.model), cards[0] if len(cards) == 1 else {})
    return Introspection(
        served_models=_names(cards) if models else None,
        context_tokens=context_tokens(served, properties),
        vocabulary_size=_positive((served.get("meta") or {}).get("n_vocab")),
        template_digest=_digest(properties.get("chat_template")),
        text_tokens=await _all(endpoint, [_text(text) for text in TEXTS]),
        chat_tokens=await chat_tokens(endpoint),
        answer_failure=answer.failure,
    )


def context_tokens(card: Mapping[str, Any], properties: Mapping[str, Any]) -> int | None:
    """Return the tokens that one sequence may have: vLLM names it in its model's card, llama.cpp per slot."""
    settings = properties.get("default_generation_settings") or {}
    said = (card.get("max_model_len"), settings.get("n_ctx"), (card.get("meta") or {}).get("n_ctx"))
    return next((tokens for tokens in map(_positive, said) if tokens), None)


async def chat_tokens(endpoint: Endpoint) -> tuple[tuple[int, ...], ...] | None:
    """Return the tokens of rendered chats: llama.cpp renders and tokenises apart, vLLM in one request."""
    bodies = [{"model": endpoint.model, "messages": list(chat)} for chat in CHATS]
    rendered = [await endpoint.document("POST", "/apply-template", body) for body in bodies]
    if all(page is not None and isinstance(page.get("prompt"), str) for page in rendered):
        return await _all(endpoint, [_text(page["prompt"], special=True) for page in rendered if page])
    return await _all(endpoint, [body | {"add_generation_prompt": True} for body in bodies])


def _text(text: str, *, special: bool = False) -> dict[str, Any]:
    """Return a text in both dialects; each engine passes over the other's fields."""
    return {"prompt": text, "content": text, "add_special_tokens": special, "add_special": special}


async def _all(endpoint: Endpoint, bodies: list[dict[str, Any]]) -> tuple[tuple[int, ...], ...] | None:
    """Return every body's tokens, or None as soon as one is not answered with some."""
    tokens: list[tuple[int, ...]] = []
    for body in bodies:
        page = await endpoint.document("POST", "/tokenize", {"model": endpoint.model} | body)
        ids = (page or {}).get("tokens")
        if not isinstance(ids, list) or not ids or not all(isinstance(token, int) for token in ids):
            return None
        tokens.append(tuple(ids))
    return tuple(tokens)


def _names(cards: list[dict[str, Any]]) -> tuple[str, ...]:
    aliases = [alias for card in cards for alias in card.get("aliases") or []]
    return tuple(dict.fromkeys([str(card.get("id", "")) for card in cards] + [str(alias) for alias in aliases]))


def _digest(template: Any) -> str | None:
    if not isinstance(template, str) or not template:
        return None
    return f"sha256:{hashlib.sha256(template.encode()).hexdigest()}"


def _positive(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
