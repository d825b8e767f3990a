from bitshift_core.traffic.backends import Backends, ServiceRef
from bitshift_core.traffic.expectations import expectations
from bitshift_core.traffic.overlay import build_overlay
from bitshift_core.traffic.states import as_born, as_home, as_neutral
from tests.bitshift_core.traffic.builders import (
    BACKENDS,
    CHAT,
    HOME,
    NEVER,
    a_match,
    a_reading,
    a_route,
    a_rule,
    an_assignment,
)

STEP = an_assignment(("acme",), ("globex",), excluded=("bank",))


def an_overlay(reading=None, step=STEP):
    return build_overlay(
        reading or a_reading(excluded=("bank",)), assignment=step, backends=BACKENDS, never=NEVER, revision="r"
    )


def arms_by_tenant(routes, backends=BACKENDS):
    return {
        (dict(expected.headers).get("x-tenant-id"), expected.path): (set(expected.arms), expected.rarest_percent)
        for expected in expectations(routes, backends)
    }


def test_each_rule_must_be_answered_by_all_its_arms_and_no_other():
    found = arms_by_tenant(an_overlay())

    assert found["bank", CHAT] == ({"direct"}, 100)
    assert found["globex", CHAT] == ({"stable"}, 100)
    assert found["acme", CHAT] == ({"stable", "candidate"}, 20)
    assert found[None, CHAT] == ({"stable", "candidate"}, 5)


def test_an_arm_without_weight_must_not_be_heard():
    assert arms_by_tenant(an_overlay(step=an_assignment(("acme",), weight=100)))["acme", CHAT] == ({"candidate"}, 100)


def test_born_routes_are_asked_with_the_header_that_only_they_match_and_empty_rules_not_at_all():
    born = expectations(as_born(an_overlay(step=an_assignment(("acme",))), NEVER), BACKENDS)

    assert {dict(expected.headers)["x-bitshift-never"] for expected in born} == {NEVER}
    assert {dict(expected.headers).get("x-tenant-id") for expected in born} == {"acme", "bank", None}


def test_on_the_way_home_and_after_everything_must_be_direct():
    home = as_home(an_overlay(), HOME, reason="Refused", message="")
    for routes in (home, as_neutral(home, NEVER)):
        found = expectations(routes, BACKENDS)

        assert {expected.arms for expected in found} == {frozenset({"direct"})}
        assert not any("x-bitshift-never" in dict(expected.headers) for expected in found)
        assert {dict(expected.headers).get("x-tenant-id") for expected in found} == {"acme", "globex", "bank", None}


def test_after_promotion_there_is_no_relay_to_be_heard():
    release = ServiceRef("chat-release", 8000)
    promoted = Backends(HOME, release, release)
    routes = build_overlay(a_reading(), assignment=STEP, backends=promoted, never=NEVER)

    assert {expected.arms for expected in expectations(routes, promoted)} == {frozenset({"direct"})}


def test_a_request_has_the_method_headers_and_query_of_its_match():
    match = a_match("/v1", method="POST", headers={"x-model": "llama"}, query={"beta": "1"})
    rest = expectations(an_overlay(a_reading(a_route(a_rule(match)))), BACKENDS)[-1]

    assert (rest.method, rest.headers, rest.query) == ("POST", (("x-model", "llama"),), (("beta", "1"),))
    assert rest.about == "a request without a tenant's rule"


def test_every_hostname_and_every_route_is_asked():
    tenants = tuple(f"t{n}" for n in range(200))
    reading = a_reading(a_route(hostnames=("a.io", "*.b.io")))
    routes = an_overlay(reading, an_assignment(tenants[:100], tenants[100:]))
    found = expectations(routes, BACKENDS)

    assert {expected.host for expected in found} == {"a.io", "*.b.io"}
    asked = {dict(expected.headers).get("x-tenant-id") for expected in found}
    assert len(asked) > 8 and len(found) < 40


def test_a_guarded_request_may_be_answered_by_anything_but_the_relay():
    shop = a_route(a_rule(a_match("/"), service="shop"), name="shop", hostnames=("shop.io",))
    reading = a_reading(a_route(a_rule(a_match("/")), hostnames=()), other_routes=[shop])
    born = as_born(an_overlay(reading), NEVER)
    guarded = [one for one in expectations(born, BACKENDS, guards=reading.guards) if one.host == "shop.io"]

    assert {dict(expected.headers).get("x-tenant-id") for expected in guarded} > {None}
    for expected in guarded:
        assert (expected.arms, expected.tolerated) == (frozenset(), {"direct", "error"})
        assert dict(expected.headers)["x-bitshift-never"] == NEVER


def test_an_unknown_backend_is_not_the_relay():
    backends = Backends(HOME, HOME, None)

    assert {arms == {"direct"} for arms, _ in arms_by_tenant(an_overlay(), backends).values()} == {True}
