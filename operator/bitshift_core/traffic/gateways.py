"""Where a gateway can be reached, to ask it what it really does.

Here: Gateway and Services → addresses. Not here: asking (`cluster.probe`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .precedence import host_in_common
from .refusals import RouteRefused

Manifest = Mapping[str, Any]

SCHEMES = {"HTTP": "http", "HTTPS": "https"}
NAME_LABELS = ("gateway.networking.k8s.io/gateway-name", "gateway.envoyproxy.io/owning-gateway-name")
NAMESPACE_LABEL = "gateway.envoyproxy.io/owning-gateway-namespace"


@dataclass(frozen=True)
class GatewayEndpoint:
    """One listener; its addresses are alternatives for one another."""

    listener: str
    """`namespace/name/listener`, for sentences."""
    urls: tuple[str, ...]
    hostname: str = ""
    """The listener's own hostname: requests for others are not its."""

    def host_for(self, pattern: str) -> str | None:
        """Return a hostname to ask for under a route's pattern; empty for any, None if this listener serves none."""
        host = host_in_common(pattern, self.hostname)
        return host.replace("*", "bitshift-probe", 1) if host else host


def gateway_endpoints(
    gateway: Manifest,
    parent_ref: Manifest,
    *,
    services: Sequence[Manifest] = (),
    known: Mapping[str, Sequence[str]] | None = None,
) -> tuple[GatewayEndpoint, ...]:
    """Return the HTTP and HTTPS listeners that a route attaches to, or raise `RouteRefused` when none can be reached.

    `known` are addresses by `namespace/name` that the cluster's operator was told, for gateways that publish none or
    others than they can be reached at; `services` are looked through for those that carry the gateway's name in a
    label. A listener without an address is left out as long as another has one.
    """
    name = f"{gateway['metadata']['namespace']}/{gateway['metadata']['name']}"
    attached = listeners(gateway, parent_ref)
    if not attached:
        raise RouteRefused(
            "NoListener",
            f"Gateway '{name}' has no HTTP or HTTPS listener that the route's `parentRefs` select. "
            "Correct `sectionName` or `port` there.",
        )
    told = tuple((known or {}).get(name, ()))
    found = [
        GatewayEndpoint(f"{name}/{listener['name']}", urls, listener.get("hostname") or "")
        for listener in attached
        if (urls := tuple(dict.fromkeys(addresses(gateway, listener, services, told))))
    ]
    if not found:
        raise RouteRefused(
            "NoGatewayAddress",
            f"Gateway '{name}' publishes no address in its status and no Service carries its name, so a change of "
            f"routes could not be confirmed. Give the operator its address in `gatewayUrls` ('{name}': 'http://…').",
        )
    return tuple(found)


def listeners(gateway: Manifest, parent_ref: Manifest) -> list[Manifest]:
    """Return the listeners that a parent reference selects."""
    return [
        listener
        for listener in gateway["spec"].get("listeners") or ()
        if listener.get("protocol") in SCHEMES
        and parent_ref.get("sectionName") in (None, "", listener["name"])
        and parent_ref.get("port") in (None, listener["port"])
    ]


def addresses(
    gateway: Manifest, listener: Manifest, services: Sequence[Manifest], told: Sequence[str]
) -> Iterator[str]:
    """Yield the listener's URLs, the surest first."""
    scheme, port = SCHEMES[listener["protocol"]], listener["port"]
    yield from (url.rstrip("/") for url in told if url.startswith(f"{scheme}://"))
    for service in services:
        ports = [entry["port"] for entry in service["spec"].get("ports") or ()]
        address = service["spec"].get("clusterIP")
        if carries_name(service, gateway) and port in ports and address not in (None, "", "None"):
            yield f"{scheme}://{bracketed(address)}:{port}"
    for address in (gateway.get("status") or {}).get("addresses") or ():
        yield f"{scheme}://{bracketed(address['value'])}:{port}"


def carries_name(service: Manifest, gateway: Manifest) -> bool:
    """Return whether a Service says in its labels that it is the gateway's."""
    labels, namespace = service["metadata"].get("labels") or {}, gateway["metadata"]["namespace"]
    where = labels.get(NAMESPACE_LABEL, service["metadata"].get("namespace"))
    return where == namespace and gateway["metadata"]["name"] in (labels.get(label) for label in NAME_LABELS)


def bracketed(address: str) -> str:
    """Return an address as a URL carries it."""
    return f"[{address}]" if ":" in address else address
