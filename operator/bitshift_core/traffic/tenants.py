"""Who moves, and in which order.

Here: the seeded order and which names a route can carry. Not here: how many move in a step (`traffic.steps`).
"""

import hashlib
import re
from collections.abc import Iterable, Sequence

RESERVED = frozenset({"~other"})
"""What the relay calls the tenants that it no longer counts singly."""

VISIBLE = r"A-Za-z0-9._~:@/+=|#%&!*()\-"
USABLE = re.compile(f"[{VISIBLE}](?:[{VISIBLE} ]{{0,126}}[{VISIBLE}])?")
"""Anybody can send a header, and gateways paste values into rules of their own syntax: quotes and the like stay out."""


def usable(tenant: str) -> bool:
    """Return whether a header match on this name means the same to every gateway."""
    return tenant not in RESERVED and USABLE.fullmatch(tenant) is not None


def unusable(seen: Iterable[str]) -> tuple[str, ...]:
    """Return the names that no rule can be made for: their requests are moved like anonymous ones, and are told of."""
    return tuple(sorted({tenant for tenant in seen if tenant and tenant not in RESERVED and not usable(tenant)}))


def order(
    seen: Iterable[str],
    *,
    seed: str,
    first: Sequence[str] = (),
    last: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> tuple[str, ...]:
    """Return who moves after whom: `first` as given, the others by a seeded hash, `last` as given; excluded ones never.

    The order of any two tenants never depends on who else was seen, so a newcomer makes nobody change places.
    """
    movable = {tenant for tenant in seen if usable(tenant)} - set(exclude)
    leading = [tenant for tenant in dict.fromkeys(first) if tenant in movable]
    trailing = [tenant for tenant in dict.fromkeys(last) if tenant in movable and tenant not in leading]
    between = movable.difference(leading, trailing)
    return (*leading, *sorted(between, key=lambda tenant: seeded(seed, tenant)), *trailing)


def fitting(
    ordered: Sequence[str], capacity: int, *, placed: Sequence[str] = (), named: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the tenants that rules are made for when not all find room: in order, but not simply the first.

    Those who have a place keep it and those whom the user named come next: the others may be anybody's invention, and
    are moved like anonymous requests.
    """
    known = dict.fromkeys((*placed, *(tenant for tenant in named if tenant in ordered), *ordered))
    kept = set(list(known)[: max(capacity, len(placed))])
    return tuple(tenant for tenant in ordered if tenant in kept)


def seeded(seed: str, tenant: str) -> str:
    """Return a key that looks random and is the same at every start of the operator."""
    return hashlib.sha256(f"{seed}\0{tenant}".encode()).hexdigest()
