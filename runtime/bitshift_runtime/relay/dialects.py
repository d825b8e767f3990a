"""How engines say what they say: one event, or one whole answer, in each of the APIs that vLLM and llama.cpp serve.

Here: JSON → pieces of an answer. Not here: what is wrong with the answer (`relay.answer`).
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

Kind = Literal["text", "thought", "tool", "refusal", "end", "error"]


class Piece(NamedTuple):
    """A piece of one choice of an answer; `end` says that the choice is complete."""

    kind: Kind
    text: str = ""
    choice: int = 0
    tool: int = 0
    name: str = ""


Read = Callable[[dict[str, Any]], Iterator[Piece]]

THOUGHTS = ("reasoning_content", "reasoning")


def dialect_of(path: str) -> Read | None:
    """Return how answers of an endpoint are read; None where there is nothing to judge (embeddings, tokenizers …)."""
    path = path.partition("?")[0].rstrip("/")
    return next((read for ending, read in DIALECTS if path.endswith(ending)), None)


def read_completion(event: dict[str, Any]) -> Iterator[Piece]:
    """Read chat completions, completions and llama.cpp's own `/completion`, streamed or whole."""
    if event.get("error"):
        yield Piece("error")
    if isinstance(event.get("content"), str):
        yield Piece("text", event["content"])
        if event.get("stop", True):
            yield Piece("end")
    for choice in _dicts(event.get("choices")):
        index = _number(choice.get("index"))
        yield from _said(choice, _dict(choice.get("delta")) or _dict(choice.get("message")), index)
        if choice.get("finish_reason") == "error":
            yield Piece("error")
        elif choice.get("finish_reason"):
            yield Piece("end", choice=index)


def _said(choice: dict[str, Any], message: dict[str, Any], index: int) -> Iterator[Piece]:
    if text := choice.get("text") or message.get("content"):
        yield Piece("text", text if isinstance(text, str) else _joined(text), index)
    for key in THOUGHTS:
        if thought := message.get(key):
            yield Piece("thought", str(thought), index)
            break
    if refusal := message.get("refusal"):
        yield Piece("refusal", str(refusal), index)
    for position, call in enumerate(_dicts(message.get("tool_calls"))):
        yield _call(_dict(call.get("function")), index, _number(call.get("index"), position))


def _call(function: dict[str, Any], choice: int, tool: int) -> Piece:
    return Piece("tool", str(function.get("arguments") or ""), choice, tool, str(function.get("name") or ""))


def read_responses(event: dict[str, Any]) -> Iterator[Piece]:
    """Read `/v1/responses`: its streamed events, or the whole object."""
    kind, index = str(event.get("type") or ""), _number(event.get("output_index"))
    if kind == "response.output_text.delta":
        yield Piece("text", str(event.get("delta") or ""))
    elif kind.startswith("response.reasoning") and kind.endswith(".delta"):
        yield Piece("thought", str(event.get("delta") or ""))
    elif kind == "response.refusal.delta":
        yield Piece("refusal", str(event.get("delta") or ""))
    elif kind == "response.output_item.added" and _dict(event.get("item")).get("type") == "function_call":
        yield Piece("tool", "", 0, index, str(event["item"].get("name") or ""))
    elif kind == "response.function_call_arguments.delta":
        yield Piece("tool", str(event.get("delta") or ""), 0, index)
    elif kind in ("response.completed", "response.incomplete"):
        yield Piece("end")
    elif kind in ("response.failed", "error"):
        yield Piece("error")
    elif not kind:
        yield from _whole_response(event)


def _whole_response(event: dict[str, Any]) -> Iterator[Piece]:
    if event.get("error"):
        yield Piece("error")
    for position, item in enumerate(_dicts(event.get("output"))):
        if item.get("type") == "function_call":
            yield _call(item, 0, position)
        elif text := _joined(item.get("content")):
            yield Piece("thought" if item.get("type") == "reasoning" else "text", text)
    yield Piece("end")


def read_messages(event: dict[str, Any]) -> Iterator[Piece]:
    """Read `/v1/messages`: its streamed events, or the whole object."""
    kind, index = event.get("type"), _number(event.get("index"))
    if kind == "content_block_start":
        yield from _block(_dict(event.get("content_block")), index, streamed=True)
    elif kind == "content_block_delta":
        delta = _dict(event.get("delta"))
        if "partial_json" in delta:
            yield Piece("tool", str(delta["partial_json"] or ""), 0, index)
        elif text := delta.get("text") or delta.get("thinking"):
            yield Piece("text" if "text" in delta else "thought", str(text))
    elif kind == "message_stop":
        yield Piece("end")
    elif kind == "error":
        yield Piece("error")
    elif kind == "message":
        for position, block in enumerate(_dicts(event.get("content"))):
            yield from _block(block, position, streamed=False)
        yield Piece("end")


def _block(block: dict[str, Any], index: int, *, streamed: bool) -> Iterator[Piece]:
    if block.get("type") == "tool_use":
        whole = "{}" if isinstance(block.get("input"), dict) else "?"
        yield Piece("tool", "" if streamed else whole, 0, index, str(block.get("name") or ""))
    elif text := block.get("text") or block.get("thinking"):
        yield Piece("text" if block.get("text") else "thought", str(text))


DIALECTS: tuple[tuple[str, Read], ...] = (
    ("/completions", read_completion),
    ("/completion", read_completion),
    ("/responses", read_responses),
    ("/messages", read_messages),
)


def _dicts(values: Any) -> Iterator[dict[str, Any]]:
    return (value for value in values if isinstance(value, dict)) if isinstance(values, list) else iter(())


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any, otherwise: int = 0) -> int:
    return value if isinstance(value, int) else otherwise


def _joined(parts: Any) -> str:
    return "".join(str(part.get("text") or "") for part in _dicts(parts))
