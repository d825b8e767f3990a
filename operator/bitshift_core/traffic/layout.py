"""Which tenants have their rules in which of an overlay's routes, within the API's limits.

Here: blocks of rules that keep their place while tenants are added and move from step to step. Not here: what a rule
looks like (`traffic.overlay`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from .refusals import RouteRefused
from .rules import MovedRule

RULES_PER_ROUTE = 16
MATCHES_PER_RULE = 64
MATCHES_PER_ROUTE = 128
MAX_ROUTES = 16
TENANT_MATCHES = MATCHES_PER_ROUTE // 2 - 2
"""Two blocks fill a route: each holds these matches and one that nobody sends in whichever of its rules is empty."""

Role = Literal["excluded", "waiting", "enrolled", "rest"]


@dataclass(frozen=True)
class Block:
    """Rules that stay together: a `waiting` and an `enrolled` one between which tenants move by edits of matches."""

    roles: tuple[Role, ...]
    rule: MovedRule
    tenants: tuple[str, ...] = ()
    reserved_matches: int = 1


def layout(
    rules: Sequence[MovedRule], excluded: Sequence[str], tenants: Sequence[str]
) -> tuple[tuple[Block, ...], ...]:
    """Return the blocks of each route; tenants added at the end leave all others where they are."""
    routes = tuple(pack(blocks(rules, excluded, tenants)))
    if len(routes) > MAX_ROUTES:
        raise too_many(rules, excluded, tenants, routes=len(routes))
    return routes


def blocks(rules: Sequence[MovedRule], excluded: Sequence[str], tenants: Sequence[str]) -> Iterator[Block]:
    """Yield all blocks in the order of their places: what never grows comes first, `rest` in the first route."""
    room = tenants_per_block(rules)
    for rule in rules:
        yield Block(("rest",), rule, reserved_matches=len(rule.matches))
    for rule in rules:
        for group in chunks(excluded, MATCHES_PER_RULE // len(rule.matches)):
            yield Block(("excluded",), rule, group, len(group) * len(rule.matches))
    for group in list(chunks(tenants, room)) or [()]:
        for rule in rules:
            yield Block(("waiting", "enrolled"), rule, group, room * len(rule.matches) + 1)


def tenants_per_block(rules: Sequence[MovedRule]) -> int:
    """Return how many tenants a block holds: as many as the rule with most matches allows."""
    return TENANT_MATCHES // max(len(rule.matches) for rule in rules)


def chunks(tenants: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    """Yield the tenants in groups of at most `size`."""
    for start in range(0, len(tenants), size):
        yield tuple(tenants[start : start + size])


def pack(ordered: Iterable[Block]) -> Iterator[tuple[Block, ...]]:
    """Yield the blocks of each route: in order, so that a block added at the end moves no other."""
    route: list[Block] = []
    for block in ordered:
        rules = sum(len(other.roles) for other in (*route, block))
        matches = sum(other.reserved_matches for other in (*route, block))
        if rules > RULES_PER_ROUTE or matches > MATCHES_PER_ROUTE:
            yield tuple(route)
            route = []
        route.append(block)
    yield tuple(route)


def tenant_capacity(rules: Sequence[MovedRule], excluded: Sequence[str]) -> int:
    """Return how many tenants find room besides the excluded; refused when not even one block does."""
    room = tenants_per_block(rules)
    more_than_fit = ("",) * (room * MAX_ROUTES * RULES_PER_ROUTE)
    full = islice(pack(blocks(rules, excluded, more_than_fit)), MAX_ROUTES)
    groups = sum("waiting" in block.roles for route in full for block in route) // len(rules)
    if not groups:
        raise too_many(rules, excluded, (), routes=MAX_ROUTES + 1)
    return groups * room


def too_many(
    rules: Sequence[MovedRule], excluded: Sequence[str], tenants: Sequence[str], *, routes: int
) -> RouteRefused:
    """Return the refusal with its numbers and the ways out."""
    matches = sum(len(rule.matches) for rule in rules)
    return RouteRefused(
        "TooManyMatches",
        f"{len(tenants)} tenants and {len(excluded)} excluded ones times {matches} matches of the route need "
        f"{routes} HTTPRoutes or more; {MAX_ROUTES} is the limit. Move tenants by a header that groups them (for "
        "example a bucket that your authentication layer sets: `spec.traffic.tenants.header`), or name fewer in "
        "`spec.traffic.tenants.exclude`.",
    )
