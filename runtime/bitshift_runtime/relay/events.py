"""Server-sent events, piece by piece.

Here: bytes as they arrive → the payloads of their `data:` lines. Not here: what a payload says (`relay.dialects`).
"""

LONGEST_LINE_BYTES = 256 * 1024


class EventLines:
    """Splits a stream into lines; holds at most one unfinished line, and drops one that is too long."""

    def __init__(self, longest_bytes: int = LONGEST_LINE_BYTES) -> None:
        self._longest_bytes = longest_bytes
        self._unfinished = b""
        self._dropping = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the payloads of the lines that the chunk completes."""
        *complete, self._unfinished = (self._unfinished + chunk).split(b"\n")
        if self._dropping and complete:
            del complete[0]
            self._dropping = False
        if len(self._unfinished) > self._longest_bytes:
            self._unfinished = b""
            self._dropping = True
        return [line[5:].strip() for line in complete if line.startswith(b"data:")]

    def finish(self) -> list[bytes]:
        """Return the payload of a last line that no newline ended."""
        return self.feed(b"\n")
