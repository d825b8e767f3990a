"""One request through the relay, as it is counted.

Here: which moment of it settles which stage. Not here: the passing on (`relay.forward`), the counts (`relay.counters`).
"""

import asyncio
from collections.abc import Callable, Mapping

from bitshift_core.evidence.live import Arm

from .counters import Counters
from .logs import log
from .reading import Reading, reading_of


def loop_time() -> float:
    """Return the running event loop's time in seconds."""
    return asyncio.get_running_loop().time()


class Exchange:
    """Told of each moment after it happened; moments are the event loop's, in seconds.

    Whatever goes wrong in here costs the request its count, never its answer.
    """

    def __init__(self, counters: Counters, arm: Arm, *, tenant: str | None, path: str) -> None:
        self._counters = counters
        self._ticket = counters.begin(arm, tenant)
        self._path = path
        self._began_at = self._sent_at = self._arrived_at = loop_time()
        self._unseen = b""
        self._is_whole = False
        self._reading: Reading | None = None
        self._first_at = self._last_at = 0.0
        self._tokens = 0

    def starts(self) -> None:
        """The request is on its way to the engine."""
        self._counters.expect(self._ticket)
        self._sent_at = loop_time()

    def request_sent(self) -> None:
        """The engine has all of a long request: what its client took to send it is not the engine's."""
        self._sent_at = loop_time()

    def began(self, status: int, headers: Mapping[str, str], request_body: bytes) -> None:
        """The answer's status and headers were passed on."""
        if status >= 400:
            self._begin_counts("error5xx" if status >= 500 else "error4xx", None)
        else:
            self._safely(lambda: self._read_by(status, headers, request_body))

    def arrived(self, chunk: bytes, *, is_last: bool) -> None:
        """A piece of the answer is here and will be passed on now."""
        self._arrived_at = loop_time()
        self._unseen, self._is_whole = chunk, is_last

    def look(self) -> None:
        """Look at the piece that arrived, once it was passed on."""
        chunk, self._unseen = self._unseen, b""
        if self._reading is not None:
            self._safely(lambda: self._look_at(chunk))

    def ended(self) -> None:
        """The answer is complete on the wire."""
        self._counters.totals.duration("request_duration", self._ticket.arm, self._arrived_at - self._began_at)
        if self._reading is not None:
            self._safely(self._judge)

    def broke_off(self) -> None:
        """The engine closed the connection inside its answer."""
        if self._reading is not None:
            self._begin_counts("no_first_token", None)
            self._counters.answered(self._ticket, ("aborted",), None)

    def got_no_answer(self) -> None:
        """The engine could not be reached, or closed the connection before it answered."""
        self._begin_counts("error5xx", None)

    def client_left(self) -> None:
        """The client closed the connection: neither good nor bad, unless it had all it came for or waited in vain.

        An engine that hangs would otherwise show no failure to clients that give up before the first stage matures.
        """
        self.look()
        if self._is_whole or (self._reading is not None and self._reading.is_complete):
            self.ended()
        else:
            self._counters.totals.client_closed[self._ticket.arm] += 1
            if not self._tokens and loop_time() - self._sent_at >= self._counters.patience_seconds:
                self._begin_counts("no_first_token", None)

    def close(self) -> None:
        """Nothing more will happen."""
        self._reading = None
        self._counters.leave(self._ticket)

    def _read_by(self, status: int, headers: Mapping[str, str], request_body: bytes) -> None:
        self._reading = reading_of(self._path, status=status, headers=headers, request_body=request_body)

    def _look_at(self, chunk: bytes) -> None:
        assert self._reading is not None
        tokens = self._reading.feed(chunk)
        if not tokens:
            return
        if not self._tokens:
            self._first_at = self._arrived_at
            self._begin_counts(None, self._milliseconds())
        self._tokens += tokens
        self._last_at = self._arrived_at

    def _judge(self) -> None:
        assert self._reading is not None
        faults = self._reading.finish()
        if not self._tokens and self._reading.judges:
            self._begin_counts("no_first_token", None)
        else:
            self._begin_counts(None, self._milliseconds())
        self._counters.answered(self._ticket, faults, self._mean_gap_ms())

    def _begin_counts(self, fault: str | None, milliseconds: float | None) -> None:
        self._counters.began_to_answer(self._ticket, fault, milliseconds)

    def _milliseconds(self) -> float:
        return max(0.0, self._arrived_at - self._sent_at) * 1000

    def _mean_gap_ms(self) -> float | None:
        return (self._last_at - self._first_at) * 1000 / (self._tokens - 1) if self._tokens > 1 else None

    def _safely(self, look: Callable[[], None]) -> None:
        try:
            look()
        except Exception as error:  # any at all: the answer goes on
            self._reading = None
            self._counters.totals.not_understood[self._ticket.arm] += 1
            log.warning("An answer could not be understood and is not counted", extra={"error": type(error).__name__})
