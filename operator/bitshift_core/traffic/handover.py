"""Routes that name a release: the one made when nothing runs yet, and the lines a user changes to hand over.

Here: whole manifests and sentences about them. Not here: overlays (`traffic.overlay`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from .routes import overlay_labels
from .rules import names_service

Manifest = Mapping[str, Any]


def own_route(model_name: str, namespace: str, gateway: str, hostname: str, service: str, port: int) -> dict[str, Any]:
    """Return the HTTPRoute `<model>-route` for a model that nothing served before.

    `gateway` is `name` or `namespace/name`.
    """
    gateway_namespace, _, gateway_name = gateway.rpartition("/")
    parent = {"name": gateway_name} | ({"namespace": gateway_namespace} if gateway_namespace else {})
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": f"{model_name}-route", "namespace": namespace, "labels": overlay_labels(model_name)},
        "spec": {
            "parentRefs": [parent],
            "hostnames": [hostname],
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                    "backendRefs": [{"name": service, "port": port}],
                    "timeouts": {"request": "0s"},
                }
            ],
        },
    }


def backends_naming(route: Manifest, service: str) -> Iterator[tuple[int, int, Manifest]]:
    """Yield rule, backend and reference wherever the route names the Service with a weight."""
    namespace = route["metadata"]["namespace"]
    for rule, entry in enumerate(route["spec"].get("rules") or ()):
        for backend, reference in enumerate(entry.get("backendRefs") or ()):
            if names_service(reference, namespace, service) and reference.get("weight", 1) > 0:
                yield rule, backend, reference


def route_points_at(route: Manifest, service: str) -> bool:
    """Return whether any rule of the route sends requests to the Service of its own namespace."""
    return any(True for _ in backends_naming(route, service))


def handover_lines(route: Manifest, *, stable_service: str, service: str, port: int) -> tuple[str, ...]:
    """Return the lines to change in Git, two for each backend that still names stable; none once handed over."""
    return tuple(
        line
        for rule, backend, _ in backends_naming(route, stable_service)
        for line in (
            f"spec.rules[{rule}].backendRefs[{backend}].name: {service}",
            f"spec.rules[{rule}].backendRefs[{backend}].port: {port}",
        )
    )
