"""Outcomes of one stage, by the second in which their requests started.

Here: when a second is complete, and how long it is kept. Not here: what an outcome is (`relay.exchange`).
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from bitshift_core.evidence.live import Arm, Row, Stage, edge_index

ARMS: tuple[Arm, ...] = ("stable", "candidate")
RETAIN_SECONDS = 900
MOST_BYTES = 16 * 1024 * 1024


@dataclass(slots=True, eq=False)
class Ticket:
    """One request as the ledgers know it."""

    arm: Arm
    tenant: str
    second: int


@dataclass(slots=True)
class Cell:
    """The requests of one second, arm and tenant whose outcome is known."""

    started: int = 0
    bad: dict[str, int] = field(default_factory=dict)
    histogram: dict[int, int] = field(default_factory=dict)

    def add(self, kinds: Iterable[str], milliseconds: float | None) -> None:
        """Count one request."""
        self.started += 1
        for kind in kinds:
            self.bad[kind] = self.bad.get(kind, 0) + 1
        if milliseconds is not None:
            index = edge_index(milliseconds)
            self.histogram[index] = self.histogram.get(index, 0) + 1


@dataclass(slots=True)
class Bucket:
    """A second that is still open."""

    waiting: set[Ticket] = field(default_factory=set)
    cells: dict[tuple[Arm, str], Cell] = field(default_factory=dict)

    def cell(self, ticket: Ticket) -> Cell:
        """Return the cell that the request belongs to."""
        return self.cells.setdefault((ticket.arm, ticket.tenant), Cell())


class Ledger:
    """Seconds close in order: once the outcome of each of their requests is known, or the maturity has passed.

    A closed second never changes and none opens before it, so a reader that remembers `closed_until` counts each
    exactly once. Closed rows are kept as JSON: a quarter of an hour of objects would not fit, and no request has to
    wait while a reader's report is rendered.
    """

    def __init__(
        self, stage: Stage, *, pod: str, opened_at: float, maturity_seconds: float, most_bytes: int = MOST_BYTES
    ) -> None:
        self.closed_until = int(opened_at) - 1
        self._stage: Stage = stage
        self._pod = pod
        self._maturity_seconds = maturity_seconds
        self._most_bytes = most_bytes
        self._open: dict[int, Bucket] = {}
        self._closed: deque[tuple[int, bytes]] = deque()
        self._closed_bytes = 0

    def begin(self, ticket: Ticket) -> None:
        """Expect an outcome of the request."""
        self._open.setdefault(ticket.second, Bucket()).waiting.add(ticket)

    def settle(self, ticket: Ticket, kinds: Iterable[str] = (), milliseconds: float | None = None) -> bool:
        """Count the request's outcome; False when it is not waited for (counted before, or too late)."""
        if not self.leave_out(ticket):
            return False
        self._open[ticket.second].cell(ticket).add(kinds, milliseconds)
        return True

    def leave_out(self, ticket: Ticket) -> bool:
        """Expect no outcome of the request any more; False when none was expected."""
        bucket = self._open.get(ticket.second)
        if bucket is None or ticket not in bucket.waiting:
            return False
        bucket.waiting.remove(ticket)
        return True

    def overdue(self, now: float) -> tuple[Ticket, ...]:
        """Return the requests that were given the whole maturity and have no outcome yet."""
        due = [bucket for second, bucket in self._open.items() if second + 1 + self._maturity_seconds <= now]
        return tuple(ticket for bucket in due for ticket in bucket.waiting)

    def advance(self, now: float) -> None:
        """Close every second that is over and waits for nothing, up to the first that is not."""
        for second in tuple(self._open):  # seconds were opened in order
            if second + 1 > now or self._open[second].waiting:
                self.closed_until = second - 1
                break
            self._close(second, self._open.pop(second))
        else:
            self.closed_until = int(now) - 1
        self._forget(int(now) - RETAIN_SECONDS)

    def page(self, since: int, most_bytes: int) -> tuple[bytes, int]:
        """Return rows of whole seconds after `since`, comma-separated, and the second up to which they are complete."""
        rows: list[bytes] = []
        size = 0
        last = since
        for second, rendered in self._closed:
            if second <= since:
                continue
            if rows and size + len(rendered) > most_bytes:
                return b",".join(rows), last
            rows.append(rendered)
            size += len(rendered)
            last = second
        return b",".join(rows), self.closed_until

    def _close(self, second: int, bucket: Bucket) -> None:
        rows = [self._row(second, arm, tenant, cell) for (arm, tenant), cell in bucket.cells.items()]
        if rows:
            rendered = b",".join(rows)
            self._closed.append((second, rendered))
            self._closed_bytes += len(rendered)

    def _row(self, second: int, arm: Arm, tenant: str, cell: Cell) -> bytes:
        row = Row(
            bucket=second,
            pod=self._pod,
            arm=arm,
            tenant=tenant,
            stage=self._stage,
            started=cell.started,
            bad=cell.bad,
            histogram={str(index): count for index, count in sorted(cell.histogram.items())},
        )
        return row.model_dump_json(by_alias=True).encode()

    def _forget(self, before: int) -> None:
        while self._closed and (self._closed[0][0] < before or self._closed_bytes > self._most_bytes):
            self._closed_bytes -= len(self._closed.popleft()[1])
