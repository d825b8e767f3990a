"""Everything a relay counts, for as long as its process lives.

Here: one request's way through the ledgers and totals. Not here: what its bytes mean (`relay.exchange`).
"""

import asyncio
import secrets
from collections.abc import Callable

from bitshift_core.evidence.live import Arm

from .ledger import ARMS, Ledger, Ticket
from .settings import RelaySettings
from .tenants import TenantNames
from .totals import Totals


class Counters:
    """The ledgers for the operator, the totals for Prometheus, and who is on the way right now."""

    def __init__(self, settings: RelaySettings, now: Callable[[], float]) -> None:
        self.pod = settings.pod
        self.boot = secrets.token_hex(8)
        self.now = now
        self.patience_seconds = settings.patience_seconds
        self.first = Ledger("first", pod=self.pod, opened_at=now(), maturity_seconds=settings.first_maturity_seconds)
        self.end = Ledger("end", pod=self.pod, opened_at=now(), maturity_seconds=settings.end_maturity_seconds)
        self.totals = Totals()
        self.tenants = TenantNames()
        self.in_flight: dict[Arm, int] = dict.fromkeys(ARMS, 0)
        self.last_new_request: dict[Arm, float] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    def begin(self, arm: Arm, tenant_header: str | None) -> Ticket:
        """Take note of a new request; every one that began must also `leave`."""
        now = self.now()
        ticket = Ticket(arm, self.tenants.name_for(tenant_header, now), int(now))
        self.totals.began(ticket)
        self.in_flight[arm] += 1
        self.last_new_request[arm] = round(now, 3)
        self._idle.clear()
        return ticket

    def expect(self, ticket: Ticket) -> None:
        """Expect outcomes of the request, which started now: while its client was still sending it, it had not."""
        ticket.second = int(self.now())
        self.first.begin(ticket)
        self.end.begin(ticket)

    def began_to_answer(self, ticket: Ticket, fault: str | None, milliseconds: float | None) -> None:
        """Count how the request's answer began: at most one fault, or the time to its first token."""
        faults = (fault,) if fault else ()
        if self.first.settle(ticket, faults, milliseconds):
            self.totals.count(ticket, "first", faults, milliseconds)

    def answered(self, ticket: Ticket, faults: tuple[str, ...], milliseconds: float | None) -> None:
        """Count how the request's answer ended, with the mean gap between its tokens where there were some."""
        if self.end.settle(ticket, faults, milliseconds):
            self.totals.count(ticket, "end", faults, milliseconds)

    def leave(self, ticket: Ticket) -> None:
        """Forget the request; an outcome that was not counted by now is left out."""
        self.first.leave_out(ticket)
        self.end.leave_out(ticket)
        self.in_flight[ticket.arm] -= 1
        if not any(self.in_flight.values()):
            self._idle.set()

    def advance(self) -> None:
        """Let what has had its time mature, then close the seconds that are complete.

        Who has no token by then counts as having none. A stream that is merely long is no failure: it is left out.
        """
        now = self.now()
        for ticket in self.first.overdue(now):
            self.began_to_answer(ticket, "no_first_token", None)
        for ticket in self.end.overdue(now):
            self.end.leave_out(ticket)
            self.totals.unfinished[ticket.arm] += 1
        self.first.advance(now)
        self.end.advance(now)

    async def idle(self) -> None:
        """Return once no request is on the way."""
        await self._idle.wait()
