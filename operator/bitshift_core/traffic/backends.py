"""Where a rule may send requests."""

from dataclasses import dataclass
from typing import Literal

Arm = Literal["direct", "stable", "candidate"]
"""What a probe hears: the relay's port for stable or candidate, or no relay at all."""


@dataclass(frozen=True)
class ServiceRef:
    """A Service's port in the route's own namespace, and what answers there."""

    name: str
    port: int
    arm: Arm = "direct"


@dataclass(frozen=True)
class Backends:
    """`home` is the user's own stable Service; the others are the relay's ports, or Services after promotion."""

    home: ServiceRef
    stable: ServiceRef
    candidate: ServiceRef | None = None
