"""What the data plane must answer once a route is in force.

Here: routes → requests and the arms that may answer them. Not here: sending them (`cluster.probe`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from .backends import Backends
from .conflicts import Guard
from .overlay import NEVER_HEADER, STATE, TENANT_HEADER
from .precedence import Match
from .states import annotation, header_value, is_empty, never_value

Manifest = Mapping[str, Any]
Heard = Literal["direct", "stable", "candidate", "error"]

ELSEWHERE: frozenset[Heard] = frozenset({"direct", "error"})
"""What somebody else's Service may answer, well or ill: anything but our relay."""


RARE_PERCENT = 10
"""Below this an arm is waited for once a rule, not twice: rules change as a whole."""


@dataclass(frozen=True)
class Expectation:
    """One kind of request, the arms that must all be heard for it, and those that may be."""

    host: str
    """As in the route: empty for any, `*.example.com` for any below."""
    path: str
    arms: frozenset[Heard]
    tolerated: frozenset[Heard] = frozenset()
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    rarest_percent: int = 100
    """The smallest share of an arm in `arms`: how long to listen for it."""
    about: str = ""
    """Whose request it stands for, for sentences."""


def expectations(
    manifests: Sequence[Manifest], backends: Backends, *, guards: Sequence[Guard] = ()
) -> tuple[Expectation, ...]:
    """Return what confirms these routes through the data plane: each rule by its first and last match, each hostname.

    Born routes are asked with the header that nobody else sends; neutral ones as users ask, and all must be home.
    """
    found = [expected for manifest in manifests for expected in of_route(manifest, backends)]
    found += [expected for guard in guards for expected in of_guard(guard, manifests)]
    return tuple(dict.fromkeys(found))


def of_route(manifest: Manifest, backends: Backends) -> Iterator[Expectation]:
    """Yield what one route must do: all rules at its first hostname, and the one that tells most at all the others."""
    hostnames = manifest["spec"].get("hostnames") or [""]
    found: list[Expectation] = []
    for rule in manifest["spec"]["rules"]:
        matches = [match for match in rule["matches"] if not is_empty(match)]
        asked = [of_match(manifest, rule, match, hostnames[0], backends) for match in matches[:1] + matches[1:][-1:]]
        found += [one for one in asked if one is asked[0] or one.rarest_percent >= RARE_PERCENT]
    yield from found
    for hostname in hostnames[1:] if found else ():
        yield replace(max(found, key=telling), host=hostname)


def telling(expected: Expectation) -> tuple[bool, int]:
    """Return how soon an expectation tells this route from the user's own: by the relay, and by an arm often heard."""
    return expected.arms != {"direct"}, expected.rarest_percent


def of_match(manifest: Manifest, rule: Manifest, match: Manifest, host: str, backends: Backends) -> Expectation:
    """Return what requests for one match must be answered by."""
    weights = {(ref["name"], ref["port"]): ref.get("weight", 1) for ref in rule["backendRefs"]}
    shares = [(arm_of(backends, *key), weight) for key, weight in weights.items() if weight]
    neutral = annotation(manifest, STATE) == "neutral"
    tenant = header_value(match, annotation(manifest, TENANT_HEADER))
    return request_for(
        Match.from_manifest(match),
        host,
        arms=frozenset(arm for arm, _ in shares),
        rarest_percent=max(1, min(weight for _, weight in shares) * 100 // sum(weights.values())),
        about=f"tenant '{tenant}'" if tenant else "a request without a tenant's rule",
        without=NEVER_HEADER if neutral else "",
    )


def arm_of(backends: Backends, name: str, port: int) -> Heard:
    """Return what a Service's answers sound like; whatever is not the relay is direct."""
    known = (backends.home, backends.stable, *([backends.candidate] if backends.candidate else []))
    return next((service.arm for service in known if (service.name, service.port) == (name, port)), "direct")


def of_guard(guard: Guard, manifests: Sequence[Manifest]) -> Iterator[Expectation]:
    """Yield somebody else's request, as it is and with a tenant's header: the relay must not answer it.

    While routes are born it carries the header that only they match: whoever takes it then has harmed nobody yet.
    """
    matches = [match for manifest in manifests for rule in manifest["spec"]["rules"] for match in rule["matches"]]
    never = next(filter(None, (never_value(match) for match in matches if not is_empty(match))), "")
    match = guard.match.with_header(NEVER_HEADER, never) if never else guard.match
    variants = [match]
    header = annotation(manifests[0], TENANT_HEADER) if manifests else ""
    if tenant := next(filter(None, (header_value(one, header) for one in matches)), ""):
        variants.append(match.with_header(header, tenant))
    for variant in variants:
        about = f"a request that {guard.owner} gets"
        yield request_for(variant, guard.host, arms=frozenset(), tolerated=ELSEWHERE, about=about)


def request_for(
    match: Match,
    host: str,
    *,
    arms: frozenset[Heard],
    about: str,
    tolerated: frozenset[Heard] = frozenset(),
    rarest_percent: int = 100,
    without: str = "",
) -> Expectation:
    """Return a request that satisfies the match."""
    return Expectation(
        host=host,
        path=match.path,
        arms=arms,
        tolerated=tolerated,
        method=match.method or "GET",
        headers=tuple((name, value) for name, _, value in match.headers if name != without),
        query=tuple((name, value) for name, _, value in match.query),
        rarest_percent=rarest_percent,
        about=about,
    )
