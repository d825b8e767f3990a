"""What is wrong with one answer.

Here: an answer's pieces, as far as they must be remembered, and the faults they show. Not here: how pieces are read
from bytes (`relay.dialects`), what is counted (`relay.exchange`). Nothing here outlives its request or is ever logged.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from .dialects import Piece
from .repetition import is_repeating

WINDOW_CHARACTERS = 4_096
HEAD_CHARACTERS = 160
MOST_JSON_CHARACTERS = 256 * 1024
MOST_CHOICES = 8
MOST_TOOLS = 32

REFUSAL = re.compile(
    r"\s*(i['’]?m (very |really |so )?sorry,? but|i apologi[sz]e,? but|sorry,? (but )?i (can|am|['’]m)|"
    r"i (can(no|['’])t|am unable to|['’]m unable to|won['’]t be able to) (assist|help|provide|fulfil|comply|do that)|"
    r"as an ai( language model)?,? i (can|am|do))",
    re.IGNORECASE,
)


class Window:
    """The last few thousand characters of a text, or all of it up to a bound where all of it is judged."""

    def __init__(self, most_characters: int) -> None:
        self.dropped = False
        self._most = most_characters
        self._parts: list[str] = []
        self._length = 0

    def add(self, text: str) -> None:
        """Append a piece; what is too old goes when twice too much has gathered."""
        self._parts.append(text)
        self._length += len(text)
        if self._length > 2 * self._most:
            self._parts = [self.text()]
            self._length = self._most
            self.dropped = True

    def text(self) -> str:
        """Return the text's end."""
        return "".join(self._parts)[-self._most :]


@dataclass
class Choice:
    """One of an answer's choices."""

    recent: Window
    """Text and thoughts: both go round in circles."""
    whole: Window | None
    """The text where JSON was asked for."""
    head: str = ""
    spoke: bool = False
    thought: bool = False
    refused: bool = False
    ended: bool = False
    tools: dict[int, tuple[str, Window]] = field(default_factory=dict)

    def add(self, piece: Piece) -> bool:
        """Take a piece; whether it holds content, which an empty delta or a role alone does not."""
        if piece.kind == "end":
            self.ended = True
            return False
        if piece.kind == "tool":
            return self._call(piece)
        self.recent.add(piece.text)
        if piece.kind == "text":
            self._say(piece.text)
        self.thought |= piece.kind == "thought"
        self.refused |= piece.kind == "refusal"
        return bool(piece.text)

    def _say(self, text: str) -> None:
        if self.whole is not None:
            self.whole.add(text)
        if len(self.head) < HEAD_CHARACTERS:
            self.head += text[:HEAD_CHARACTERS]
        self.spoke = self.spoke or not (text.isspace() or not text)

    def _call(self, piece: Piece) -> bool:
        name, arguments = self.tools.get(piece.tool) or (piece.name, Window(MOST_JSON_CHARACTERS))
        if len(self.tools) < MOST_TOOLS or piece.tool in self.tools:
            arguments.add(piece.text)
            self.tools[piece.tool] = (name or piece.name, arguments)
        return bool(piece.text or piece.name)

    def fault(self) -> str | None:
        """Return the worst that is wrong with the choice."""
        if not (self.spoke or self.thought or self.refused or self.tools):
            return "empty"
        if is_repeating(self.recent.text()):
            return "repeating"
        if self.whole is not None and self.spoke and not self.tools and not _is_json(self.whole):
            return "broken_json"
        if any(not name or not _is_json(arguments, empty=True) for name, arguments in self.tools.values()):
            return "broken_tool"
        return None


class Answer:
    """An answer while it is on its way."""

    def __init__(self, request_body: bytes = b"") -> None:
        self.failed = False
        """The engine said so inside its answer, after the status had been sent."""
        self._request_body = request_body
        self._choices: dict[int, Choice] = {}
        self._done = False

    def add(self, piece: Piece) -> bool:
        """Take a piece; whether it holds content."""
        if piece.kind == "error":
            self.failed = True
            return False
        choice = self._choices.get(piece.choice)
        if choice is None:
            if len(self._choices) >= MOST_CHOICES:
                return bool(piece.text)
            choice = self._choices[piece.choice] = self._new_choice()
        return choice.add(piece)

    def done(self) -> None:
        """The stream said that it is complete."""
        self._done = True

    @property
    def is_complete(self) -> bool:
        """Whether the engine said all it wanted to."""
        ended = bool(self._choices) and all(choice.ended for choice in self._choices.values())
        return not self.failed and (self._done or ended)

    def faults(self) -> tuple[str, ...]:
        """Return what is wrong with a complete answer: at most one fault, and `refusal`, which is only reported."""
        worst = next((fault for choice in self._choices.values() if (fault := choice.fault())), None)
        if not self._choices:
            worst = "empty"
        refused = any(choice.refused or REFUSAL.match(choice.head) for choice in self._choices.values())
        return ((worst,) if worst else ()) + (("refusal",) if refused else ())

    def _new_choice(self) -> Choice:
        whole = Window(MOST_JSON_CHARACTERS) if asks_for_json(self._request_body) else None
        return Choice(Window(WINDOW_CHARACTERS), whole)


def may_ask_for_json(request_body: bytes) -> bool:
    """Return whether it is worth keeping and reading the request: for nearly all it is not."""
    return b"json_object" in request_body or b"json_schema" in request_body


def asks_for_json(request_body: bytes) -> bool:
    """Return whether a request asks for an answer in JSON, by a schema or without one."""
    if not may_ask_for_json(request_body):
        return False
    body = _parsed(request_body)
    if not isinstance(body, dict):
        return False
    formats = (body.get("response_format"), *(_inner(body, key) for key in ("text", "output_config")))
    asked = any(isinstance(form, dict) and form.get("type") in ("json_object", "json_schema") for form in formats)
    return asked or isinstance(body.get("json_schema"), dict)


def _inner(body: dict[str, Any], key: str) -> Any:
    return body[key].get("format") if isinstance(body.get(key), dict) else None


def _is_json(window: Window, *, empty: bool = False) -> bool:
    """Return whether the text is JSON; one too long to be kept is given the benefit of the doubt."""
    text = window.text()
    if window.dropped or (empty and not text.strip()):
        return True
    return _parsed(text) is not BROKEN


BROKEN = object()


def _parsed(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return BROKEN
