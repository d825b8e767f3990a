"""How a relayed answer is looked at, after it was passed on.

Here: one reader for streams, one for whole answers, one for what is not judged. Not here: when (`relay.exchange`).
"""

import json
from collections.abc import Mapping
from typing import Protocol

from .answer import Answer
from .dialects import Read, dialect_of
from .events import EventLines

MOST_ANSWER_BYTES = 512 * 1024
EVENT_STREAM = "text/event-stream"
END_OF_STREAM = b"[DONE]"


class Reading(Protocol):
    """An answer being looked at."""

    judges: bool
    """Whether an answer without content is a fault."""

    def feed(self, chunk: bytes) -> int:
        """Return how many pieces of content the chunk brought."""

    @property
    def is_complete(self) -> bool:
        """Whether the engine said all it wanted to, so that whoever leaves now leaves satisfied."""

    def finish(self) -> tuple[str, ...]:
        """Return what is wrong with the answer, which ended cleanly on the wire."""


class UnjudgedReading:
    """An answer of which only the bytes count: another endpoint's, an encoded one, one too strange to read."""

    judges = False
    is_complete = False

    def feed(self, chunk: bytes) -> int:
        """Return 1: any byte is content."""
        return 1 if chunk else 0

    def finish(self) -> tuple[str, ...]:
        """Return nothing: it came, and that is all that can be said."""
        return ()


class StreamReading:
    """A stream of events, looked at one by one; what is said outside the dialect is no content."""

    judges = True

    def __init__(self, read: Read, request_body: bytes) -> None:
        self._read = read
        self._lines = EventLines()
        self._answer = Answer(request_body)

    def feed(self, chunk: bytes) -> int:
        """Return how many of the events that the chunk completes hold content."""
        return sum(self._event(payload) for payload in self._lines.feed(chunk))

    @property
    def is_complete(self) -> bool:
        """Whether the stream's end was announced."""
        return self._answer.is_complete

    def finish(self) -> tuple[str, ...]:
        """Return what is wrong; a stream that stops without saying so was broken off, however cleanly."""
        for payload in self._lines.finish():
            self._event(payload)
        return self._answer.faults() if self._answer.is_complete else ("aborted",)

    def _event(self, payload: bytes) -> bool:
        if payload == END_OF_STREAM:
            self._answer.done()
            return False
        event = _parsed(payload)
        content = [self._answer.add(piece) for piece in self._read(event)]
        return any(content)


class WholeReading:
    """An answer in one piece, kept up to a bound until it is there and then read at once."""

    judges = True
    is_complete = False

    def __init__(self, read: Read, request_body: bytes) -> None:
        self._read = read
        self._answer = Answer(request_body)
        self._body = bytearray()
        self._too_long = False

    def feed(self, chunk: bytes) -> int:
        """Return 1 for the first bytes: the answer has begun."""
        is_first = not self._body and not self._too_long
        if len(self._body) + len(chunk) > MOST_ANSWER_BYTES:
            self._too_long = True
            self._body.clear()
        elif not self._too_long:
            self._body += chunk
        return 1 if chunk and is_first else 0

    def finish(self) -> tuple[str, ...]:
        """Return what is wrong; an answer too long to be kept is given the benefit of the doubt."""
        if self._too_long:
            return ()
        for piece in self._read(_parsed(bytes(self._body))):
            self._answer.add(piece)
        return ("aborted",) if self._answer.failed else self._answer.faults()


def reading_of(path: str, *, status: int, headers: Mapping[str, str], request_body: bytes) -> Reading:
    """Return how the answer to a request is looked at; `request_body` is empty where it need not be known."""
    read = dialect_of(path)
    if read is None or status != 200 or "Content-Encoding" in headers:
        return UnjudgedReading()
    kind = StreamReading if headers.get("Content-Type", "").startswith(EVENT_STREAM) else WholeReading
    return kind(read, request_body)


def _parsed(payload: bytes) -> dict[str, object]:
    try:
        event = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}
