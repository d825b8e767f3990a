"""Whose requests an overlay would take by mistake, decided from precedence alone and never from age.

Here: copies of a user's matches against every other rule on the same gateway. Not here: precedence itself
(`traffic.precedence`), which rules are copied (`traffic.rules`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .precedence import (
    ANY_VALUE,
    SCORE_DOUBT,
    Match,
    can_meet,
    compare,
    covers,
    effective_hostname,
    host_in_common,
    includes,
    score,
)
from .refusals import RouteRefused
from .rules import Copy, matches_of

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Rival:
    """One match that leads somewhere else than to stable."""

    place: str
    hostnames: tuple[str, ...]
    match: Match
    index: int | None = None
    """Its rule's place in the user's own route, where the earlier rule wins a tie; None in another route."""
    everywhere: bool = True
    """Whether its route is attached wherever the user's is."""


@dataclass(frozen=True)
class Guard:
    """A request of somebody else's that an overlay must not get, on a gateway that does not keep to the standard."""

    host: str
    match: Match
    owner: str


@dataclass(frozen=True)
class Meeting:
    """A copy, as the overlay would have it, and a rival, at a hostname that both serve."""

    copy: Copy
    ours: Match
    hostname: str
    rival: Rival
    rival_hostname: str
    host: str

    def standing(self) -> int | None:
        """Return who gets the requests with the overlay: 1 it, 0 the older, -1 the rival, None nobody can say."""
        return compare(self.ours, self.hostname, self.rival.match, self.rival_hostname)

    def standing_today(self) -> int | None:
        """Return who gets them without: 1 stable, 0 the older route, -1 the rival."""
        order = compare(self.copy.original, self.hostname, self.rival.match, self.rival_hostname)
        if order == 0 and self.rival.index is not None:
            return 1 if self.copy.index < self.rival.index else -1
        return order


def rivals_in(
    route: Manifest, *, leads: Iterable[int] = (), own: bool = False, everywhere: bool = True
) -> Iterator[Rival]:
    """Yield the matches of a route's rules, but for those that lead to stable."""
    hostnames = tuple(route["spec"].get("hostnames") or ())
    skipped = frozenset(leads)
    for index, rule in enumerate(route["spec"].get("rules") or ({},)):
        if index not in skipped:
            place = f"rule {index + 1} of HTTPRoute '{route['metadata']['namespace']}/{route['metadata']['name']}'"
            for match in matches_of(rule):
                yield Rival(place, hostnames, match, index if own else None, everywhere)


def without_shadowed(copies: Sequence[Copy], rivals: Sequence[Rival], hostnames: Sequence[str]) -> tuple[Copy, ...]:
    """Return the copies whose requests reach stable today: not those that another rule takes before."""
    return tuple(copy for copy in copies if not any(shadows(rival, copy, hostnames) for rival in rivals))


def shadows(rival: Rival, copy: Copy, hostnames: Sequence[str]) -> bool:
    """Return whether the rival gets every request that the copy is for, at every hostname and gateway."""
    if not rival.everywhere or not includes(rival.match, copy.exact):
        return False
    for host in hostnames or ("",):
        theirs = effective_hostname(rival.hostnames, host)
        if rival.hostnames and not theirs:
            return False
        if Meeting(copy, copy.exact, host, rival, theirs, host).standing_today() != -1:
            return False
    return True


def without_repeated(copies: Sequence[Copy]) -> tuple[Copy, ...]:
    """Return the copies with one for each exact match: of the rule that gets those requests today."""
    best: dict[Match, Copy] = {}
    for copy in copies:
        known = best.setdefault(copy.exact, copy)
        if compare(copy.original, "", known.original, "") == 1:
            best[copy.exact] = copy
    return tuple(best.values())


def refuse_reordering(copies: Sequence[Copy], treatments: Mapping[int, str]) -> None:
    """Raise where two rules lead to stable in different ways and exact copies would change which one applies."""
    for place, one in enumerate(copies):
        for other in copies[place + 1 :]:
            if treatments[one.index] == treatments[other.index] or one.exact.path != other.exact.path:
                continue
            today = compare(one.original, "", other.original, "") or (1 if one.index < other.index else -1)
            if can_meet(one.exact, other.exact) and compare(one.exact, "", other.exact, "") != today:
                raise RouteRefused(
                    "AmbiguousRules",
                    f"Rules {one.index + 1} and {other.index + 1} both lead to stable for '{one.exact.path}' but with "
                    "different filters or timeouts, and only their path prefixes tell which applies. Give them the "
                    "same filters and timeouts, or different headers or methods.",
                )


def meetings(
    hostnames: Sequence[str], copies: Sequence[Copy], rivals: Iterable[Rival], *, variants: Sequence[str]
) -> Iterator[Meeting]:
    """Yield every pair that some request satisfies; `variants` are the headers that overlays add, empty for none."""
    paths = {copy.exact.path for copy in copies}
    for rival in rivals:
        if not any(covers(rival.match, path) for path in paths):
            continue
        hosts = {host_in_common(one, other) for one in hostnames or ("",) for other in rival.hostnames or ("",)}
        for host in sorted(host for host in hosts if host is not None):
            ours, theirs = effective_hostname(hostnames, host), effective_hostname(rival.hostnames, host)
            for copy in copies:
                for header in variants:
                    match = copy.exact.with_header(header, "", ANY_VALUE) if header else copy.exact
                    if can_meet(match, rival.match):
                        yield Meeting(copy, match, ours, rival, theirs, host)


def check(found: Iterable[Meeting], hostnames: Sequence[str]) -> tuple[tuple[str, ...], tuple[Guard, ...]]:
    """Return what to tell the user and what to guard, or raise for the first rule that would lose requests."""
    notes: dict[str, None] = {}
    guards: dict[tuple[str, Match], Guard] = {}
    for meeting in found:
        refuse_taking(meeting)
        if note := told(meeting, hostnames):
            notes[note] = None
        if meeting.standing() == -1 and may_take_elsewhere(meeting, hostnames):
            guard = Guard(meeting.host, joint(meeting.copy.exact, meeting.rival.match), meeting.rival.place)
            guards[guard.host, guard.match] = guard
    return tuple(notes), tuple(guards.values())


def told(meeting: Meeting, hostnames: Sequence[str]) -> str:
    """Return what the user should know of a pair that harms nobody."""
    place, path = meeting.rival.place, meeting.ours.path
    if meeting.standing() == -1:
        return f"{place} is more specific for '{path}' and keeps its requests: they are not moved."
    today, rival = scores(meeting, hostnames, meeting.copy.original)
    if today + SCORE_DOUBT < rival:
        return (
            f"{place} gets '{path}' on a gateway that weighs paths above hostnames (Traefik does); "
            "there the overlay would take those requests."
        )
    return ""


def refuse_taking(meeting: Meeting) -> None:
    """Raise when the overlay would get requests that go elsewhere today, or when only age would decide."""
    standing, today, place = meeting.standing(), meeting.standing_today(), meeting.rival.place
    request = f"'{meeting.host}{meeting.ours.path}'"
    if standing is None:
        raise RouteRefused(
            "RegularExpressionPath",
            f"{place} matches {request} by a regular expression, whose precedence each gateway decides for itself. "
            "Match a path prefix there, or give stable's route a hostname of its own.",
        )
    if standing == 0 or (standing == 1 and today == 0):
        raise RouteRefused(
            "EqualMatch",
            f"{place} is exactly as specific for {request} as what leads to stable, so the older route wins. Make one "
            "of the two more specific: another hostname, a longer path, a method or a header.",
        )
    if standing == 1 and today != 1:
        raise RouteRefused(
            "TakesRequests",
            f"{place} gets some requests for {request} now and would lose them: an exact path beats it. Match exact "
            "paths there, or different values of the same header in both rules.",
        )


def may_take_elsewhere(meeting: Meeting, hostnames: Sequence[str]) -> bool:
    """Return whether a gateway that weighs paths above hostnames could give the overlay what is the rival's.

    Where it gives stable the rival's requests today already, nothing new is taken.
    """
    today, rival = scores(meeting, hostnames, meeting.copy.original)
    then, rival = scores(meeting, hostnames, meeting.ours)
    return then + SCORE_DOUBT >= rival and today - SCORE_DOUBT <= rival


def scores(meeting: Meeting, hostnames: Sequence[str], match: Match) -> tuple[int, int]:
    """Return the sums of a match of ours and of the rival's where priorities are added up."""
    longest, theirs = (max(map(len, names), default=0) for names in (hostnames, meeting.rival.hostnames))
    return score(match, longest), score(meeting.rival.match, theirs)


def joint(one: Match, other: Match) -> Match:
    """Return the match of a request that satisfies both."""
    headers = tuple(sorted({entry[0]: entry for entry in (*other.headers, *one.headers)}.values()))
    query = tuple(sorted({entry[0]: entry for entry in (*other.query, *one.query)}.values()))
    return Match("Exact", one.path, one.method or other.method, headers, query)
