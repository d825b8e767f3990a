"""What the relay reports: counts of requests by the second in which they started, and the edges of their latencies.

Here: the wire format between relay and operator. Not here: what is made of it (`evidence.live`).
"""

import math
from typing import Annotated, Literal

from pydantic import Field

from ..api.base import ApiObject

Arm = Literal["stable", "candidate"]
Stage = Literal["first", "end"]

EDGE_RATIO = 1.05
LAST_EDGE = 300
"""Edge 300 lies at 38 minutes: whatever took longer is counted there."""

ANONYMOUS = ""
OTHER_TENANTS = "~other"

ERROR_KINDS = ("error4xx", "error5xx", "no_first_token")
"""What can be wrong in stage `first`; a request is counted under one kind at most."""
ANSWER_KINDS = ("aborted", "empty", "repeating", "broken_json", "broken_tool")
"""What can be wrong in stage `end`; a request is counted under one kind at most. `refusal` is reported, not judged."""

Count = Annotated[int, Field(ge=0)]


def edge_ms(index: int) -> float:
    """Return the upper edge in milliseconds of the histogram's bin `index`."""
    return float(EDGE_RATIO**index)


def edge_index(milliseconds: float) -> int:
    """Return the bin of a latency: the first whose edge is not below it, so "above edge i" is exactly "bin > i"."""
    if milliseconds <= 1:
        return 0
    return min(LAST_EDGE, math.ceil(math.log(milliseconds) / math.log(EDGE_RATIO) - 1e-9))


def edges_apart(ratio: float) -> int:
    """Return by how many bins a latency moves when it grows by a ratio, so that no bin ever has to be divided."""
    return round(math.log(ratio) / math.log(EDGE_RATIO))


class Row(ApiObject):
    """The requests of one arm and tenant that started in one second, once their outcome for the stage is known."""

    bucket: int
    """Epoch second in which the requests started."""
    pod: str = ""
    arm: Arm
    tenant: str = ANONYMOUS
    """The tenant's header; empty is anonymous, `~other` what the relay no longer counts singly."""
    stage: Stage
    started: Count
    bad: dict[str, Count] = Field(default_factory=dict)
    histogram: dict[str, Count] = Field(default_factory=dict)
    """Stage `first`: time to first token; stage `end`: each request's mean gap between tokens. Keys: `edge_index`."""


class RelayReport(ApiObject):
    """What one relay process knows: closed buckets only, so that fast failures never arrive before slow successes."""

    pod: str
    boot: str
    """Random per process start: a restarted relay counts from nothing and must not be taken for its former self."""
    now: float
    closed_until: dict[Stage, int] = Field(default_factory=dict)
    """All buckets up to this second are complete for the stage."""
    rows: tuple[Row, ...] = ()
    in_flight: dict[Arm, Count] = Field(default_factory=dict)
    last_new_request: dict[Arm, float] = Field(default_factory=dict)
    tenants: tuple[str, ...] = ()
    """Tenants seen lately, bounded by the relay."""
