import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitshift_core.traffic.layout import MAX_ROUTES, layout, tenant_capacity
from bitshift_core.traffic.precedence import Match
from bitshift_core.traffic.refusals import RouteRefused
from bitshift_core.traffic.rules import MovedRule

TWO_ENDPOINTS = (MovedRule("rule 1", (Match("Exact", "/a"), Match("Exact", "/b"))),)


def a_piece(matches, name="1"):
    return MovedRule(f"rule {name}", tuple(Match("Exact", f"/{name}/{n}") for n in range(matches)))


def names(count):
    return tuple(f"t{n}" for n in range(count))


def places(routes):
    return {
        (tenant, block.rule.place): (index, number)
        for index, route in enumerate(routes)
        for number, block in enumerate(route)
        for tenant in block.tenants
    }


def test_two_hundred_tenants_with_two_endpoints_need_four_routes():
    assert len(layout(TWO_ENDPOINTS, (), names(200))) == 4


def test_with_nobody_known_the_rules_for_the_first_newcomers_are_there_already():
    (route,) = layout(TWO_ENDPOINTS, (), ())

    assert [block.roles for block in route] == [("rest",), ("waiting", "enrolled")]


@given(
    matches=st.lists(st.integers(1, 31), min_size=1, max_size=4),
    excluded=st.integers(0, 20),
    tenants=st.integers(0, 60),
    newcomers=st.integers(0, 30),
)
def test_newcomers_move_nobody_and_all_limits_hold(matches, excluded, tenants, newcomers):
    rules = tuple(a_piece(count, str(place)) for place, count in enumerate(matches))
    out = tuple(f"x{n}" for n in range(excluded))
    try:
        after = layout(rules, out, names(tenants + newcomers))
    except RouteRefused:
        return
    before = places(layout(rules, out, names(tenants)))

    assert before.items() <= places(after).items()
    assert len(after) <= MAX_ROUTES
    for route in after:
        assert sum(len(block.roles) for block in route) <= 16
        assert all(most_in_a_rule(block) <= 64 for block in route)
        assert sum(most_in_a_rule(block) + fillers(block) for block in route) <= 128


def most_in_a_rule(block):
    sent = 1 if block.roles == ("rest",) else len(block.tenants)
    return sent * len(block.rule.matches)


def fillers(block):
    return (len(block.roles) == 2) * (1 if block.tenants else 2)


def test_as_many_as_the_capacity_fit_and_one_more_is_refused_with_numbers():
    capacity = tenant_capacity(TWO_ENDPOINTS, ("bank",))
    assert capacity > 900 and len(layout(TWO_ENDPOINTS, ("bank",), names(capacity))) == MAX_ROUTES

    with pytest.raises(RouteRefused, match=f"{capacity + 1} tenants and 1 excluded ones times 2 matches") as caught:
        layout(TWO_ENDPOINTS, ("bank",), names(capacity + 1))
    assert caught.value.reason == "TooManyMatches" and "spec.traffic.tenants.header" in caught.value.message


def test_excluded_tenants_that_leave_no_room_for_others_are_refused():
    rules = tuple(a_piece(31, str(n)) for n in range(16))

    with pytest.raises(RouteRefused, match="64 excluded ones"):
        tenant_capacity(rules, tuple(f"x{n}" for n in range(64)))
