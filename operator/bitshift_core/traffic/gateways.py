"""Where a gateway can be reached, to ask it what it really does.

Here: Gateway and Services → addresses. Not here: asking (`cluster.probe`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class GatewayEndpoint:
    """One listener; its addresses are alternatives for one another."""

    listener: str
    """`namespace/name/listener`, for sentences."""
    urls: tuple[str, ...]
    hostname: str = ""
    """The listener's own hostname: requests for others are not its."""


def gateway_endpoints(
    gateway: Manifest,
    parent_ref: Manifest,
    *,
    services: Sequence[Manifest] = (),
    known: Mapping[str, Sequence[str]] | None = None,
) -> tuple[GatewayEndpoint, ...]:
    """Return the HTTP and HTTPS listeners that a route attaches to, or raise `RouteRefused` when none can be reached.

    `services` are looked through for those that carry the gateway's name in a label; `known` are addresses by
    `namespace/name` that the cluster's operator was told, for gateways that publish none.
    """
    raise NotImplementedError
