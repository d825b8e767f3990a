"""Asking the data plane: a route is in force when requests say so, not when its status does.

Here: requests to the gateway and what answered them. Not here: what must answer (`traffic.expectations`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bitshift_core.traffic.expectations import Expectation
from bitshift_core.traffic.gateways import GatewayEndpoint


@dataclass(frozen=True)
class ProbeResult:
    """Whether every expectation was met at every listener, and if not, the first that was not."""

    confirmed: bool
    requests: int
    seconds: float
    reason: str = ""
    message: str = ""


async def probe(
    expectations: Sequence[Expectation],
    endpoints: Sequence[GatewayEndpoint],
    *,
    token: str,
    deadline_seconds: float = 10.0,
) -> ProbeResult:
    """Send requests until each expectation is met at each listener, or the time is up."""
    raise NotImplementedError
