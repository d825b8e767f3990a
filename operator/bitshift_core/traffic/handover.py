"""Routes that name a release: the one made when nothing runs yet, and the lines a user changes to hand over.

Here: whole manifests and sentences about them. Not here: overlays (`traffic.overlay`).
"""

from collections.abc import Mapping
from typing import Any

Manifest = Mapping[str, Any]


def own_route(model_name: str, namespace: str, gateway: str, hostname: str, service: str, port: int) -> dict[str, Any]:
    """Return the HTTPRoute `<model>-route` that is made when nothing runs yet; `gateway` is `name` or `namespace/name`."""
    raise NotImplementedError


def route_points_at(route: Manifest, service: str) -> bool:
    """Return whether any rule of the route sends requests to the Service of its own namespace."""
    raise NotImplementedError


def handover_lines(route: Manifest, *, stable_service: str, service: str, port: int) -> tuple[str, ...]:
    """Return the lines to change in Git, two for each backend that still names stable; none once handed over."""
    raise NotImplementedError
