"""What the operator reads: the relay's closed seconds as one `RelayReport`.

Here: its JSON. Not here: when a second closes (`relay.ledger`), what is made of it (`bitshift_core.evidence`).
"""

import json

from bitshift_core.evidence.live import RelayReport

from .counters import Counters

MOST_BYTES_PER_STAGE = 512 * 1024
"""A reader that is far behind gets the oldest seconds first and asks again: no request waits for a large report."""


def report_json(counters: Counters, *, since_first: int, since_end: int) -> bytes:
    """Return a `RelayReport` with the seconds after `since_*` that are complete; its rows are JSON already."""
    counters.advance()
    now = counters.now()
    first, first_until = counters.first.page(since_first, MOST_BYTES_PER_STAGE)
    end, end_until = counters.end.page(since_end, MOST_BYTES_PER_STAGE)
    report = RelayReport(
        pod=counters.pod,
        boot=counters.boot,
        now=now,
        closed_until={"first": first_until, "end": end_until},
        in_flight=counters.in_flight,
        last_new_request=counters.last_new_request,
        tenants=counters.tenants.seen(now),
    )
    around = json.dumps(report.model_dump(mode="json", by_alias=True, exclude={"rows"})).encode()
    rows = b",".join(part for part in (first, end) if part)
    return around[:-1] + b', "rows": [' + rows + b"]}"
