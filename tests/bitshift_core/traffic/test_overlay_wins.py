"""Whatever route a user has: if accepted, exactly its requests to stable are moved, however old the overlay is."""

from random import Random

from hypothesis import event, given, settings
from hypothesis import strategies as st

from bitshift_core.traffic.overlay import build_overlay
from bitshift_core.traffic.refusals import RouteRefused
from bitshift_core.traffic.states import as_born, as_home, as_neutral
from tests.bitshift_core.traffic.builders import (
    BACKENDS,
    CHAT,
    COMPLETIONS,
    ENDPOINTS,
    HOME,
    NEVER,
    a_match,
    a_reading,
    a_route,
    a_rule,
    an_assignment,
)
from tests.bitshift_core.traffic.gateway_model import Request, satisfied, serves, winner
from tests.examples import examples

HEADERS = [{"x-a": "1"}, {"x-a": "2"}, {"x-b": "1"}, {"x-a": "1", "x-b": "1"}]
FILTER = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-seen", "value": "1"}]}}
PATHS = [{"prefix": path} for path in ("/", "/v1", "/v1/chat", "/other")] + [{"exact": CHAT}, {"exact": COMPLETIONS}]
HOSTNAMES = [(), ("llm.example.com",), ("*.example.com",), ("llm.example.com", "b.example.com"), ("*.com",)]
STEP = an_assignment(enrolled=("acme",), waiting=("globex",), excluded=("bank",))


def a_drawn_match(draw):
    return a_match(
        **draw.choice(PATHS),
        method=draw.choice([None, None, "POST"]),
        headers=draw.choice([None, None, None, *HEADERS]),
        query=draw.choice([None, None, None, {"q": "1"}]),
    )


def a_drawn_rule(draw):
    found = [a_drawn_match(draw) for _ in range(draw.randint(1, 2))]
    rule = a_rule(*found, service=draw.choice(("chat", "chat", "other")))
    return rule | draw.choice([{}, {}, {"filters": [FILTER]}])


def a_drawn_route(draw, name, most_rules):
    found = [a_drawn_rule(draw) for _ in range(draw.randint(1, most_rules))]
    return a_route(*found, name=name, hostnames=draw.choice(HOSTNAMES))


def a_world(draw):
    """Draw by seed rather than by strategies: ten times as many worlds in the same time are worth more than shrinking."""
    others = [a_drawn_route(draw, name, 2) for name in draw.choice([(), (), ("other-1",), ("other-1", "other-2")])]
    return a_drawn_route(draw, "chat", 3), others, draw.sample(ALL_REQUESTS, 30)


TENANTS = [{}, *({"x-tenant-id": name} for name in ("acme", "globex", "bank", "unknown"))]
ALL_REQUESTS = [
    Request(host, path, method, headers | tenant, query)
    for host in ("llm.example.com", "b.example.com", "c.com")
    for path in (CHAT, CHAT, COMPLETIONS, "/other")
    for method in ("POST", "GET")
    for headers in ({}, *HEADERS)
    for tenant in TENANTS
    for query in ({}, {"q": "1"})
]
worlds = st.integers(0, 2**32).map(lambda seed: a_world(Random(seed)))
everything = given(world=worlds, newest=st.booleans(), born=st.booleans())
broad = settings(max_examples=examples(200))


def accepted(user, other):
    try:
        return a_reading(user, other_routes=other, excluded=("bank",))
    except RouteRefused as refused:
        event(refused.reason)
        return None


def overlay_of(reading):
    return build_overlay(reading, assignment=STEP, backends=BACKENDS, never=NEVER)


def together(user, other, overlay, *, newest):
    return [*user, *other, *overlay] if newest else [*overlay, *user, *other]


def rule_of(routes, place):
    return next(route for route in routes if route["metadata"]["name"] == place[0])["spec"]["rules"][place[1]]


def role_of(routes, place):
    route = next(route for route in routes if route["metadata"]["name"] == place[0])
    return route["metadata"]["annotations"]["bitshift.dev/rules"].split(",")[place[1]]


@broad
@everything
def test_exactly_the_requests_to_stable_are_moved(world, newest, born):
    user, other, asked = world
    reading = accepted(user, other)
    if reading is None:
        return
    event("accepted")
    overlay = overlay_of(reading)
    routes = together([user], other, overlay, newest=newest)
    for request in asked:
        before, after = winner([user, *other], request), winner(routes, request)
        at_stable = before and before[0] == "chat" and rule_of([user], before)["backendRefs"][0]["name"] == "chat"
        tenant = request.headers.get("x-tenant-id")
        role = {"acme": "enrolled", "globex": "waiting", "bank": "excluded"}.get(tenant, "rest")
        if not at_stable or request.path not in ENDPOINTS or (role == "rest" and not reading.anonymous_movable):
            assert after == before
        else:
            assert role_of(overlay, after) == role
            assert rule_of(overlay, after).get("filters") == rule_of([user], before).get("filters")


@broad
@everything
def test_a_born_or_neutral_overlay_gets_no_request_and_at_home_all_go_to_stable(world, newest, born):
    user, other, asked = world
    reading = accepted(user, other)
    if reading is None:
        return
    live = overlay_of(reading)
    home = as_home(live, HOME, reason="Refused", message="")
    silent = as_born(live, NEVER) if born else as_neutral(home, NEVER)
    for request in asked:
        before = winner([user, *other], request)
        assert winner(together([user], other, silent, newest=newest), request) == before
        routes = together([user], other, home, newest=newest)
        after = winner(routes, request)
        assert after == before or rule_of(routes, after)["backendRefs"][0]["name"] == "chat"


@broad
@everything
def test_where_priorities_are_added_up_whatever_would_be_taken_is_guarded_or_told(world, newest, born):
    user, other, asked = world
    reading = accepted(user, other)
    if reading is None:
        return
    routes = together([user], other, overlay_of(reading), newest=newest)
    for request in asked:
        before, after = (winner(some, request, adds_up=True) for some in ([user, *other], routes))
        taken = before and after != before and rule_of(routes, before)["backendRefs"][0]["name"] != "chat"
        if taken and winner([user, *other], request) == before:
            assert any(is_guarded(guard, request) for guard in reading.guards)


def is_guarded(guard, request):
    serving = a_route(hostnames=(guard.host,) if guard.host else ())
    return serves(serving, request.host) and satisfied(guard.match.to_manifest(), request)
