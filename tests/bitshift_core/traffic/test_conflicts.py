import pytest

from bitshift_core.traffic.refusals import RouteRefused
from tests.bitshift_core.traffic.builders import CHAT, a_match, a_reading, a_route, a_rule

ELSEWHERE = "other"


def a_rival(*matches, hostnames=("llm.example.com",), **more):
    return a_route(a_rule(*matches, service=ELSEWHERE), name="rival", hostnames=hostnames, **more)


def refusal(rival, route=None):
    with pytest.raises(RouteRefused) as caught:
        a_reading(route, other_routes=[rival])
    assert "rule 1 of HTTPRoute 'team/rival'" in caught.value.message
    return caught.value.reason


def test_another_route_that_is_as_specific_as_the_overlay_is_refused_whatever_its_age():
    assert refusal(a_rival(a_match(exact=CHAT, headers={"x-other": "1"}))) == "EqualMatch"


def test_another_route_with_the_users_own_match_is_refused():
    assert refusal(a_rival(a_match("/v1"))) == "EqualMatch"


def test_a_header_rule_that_leads_elsewhere_would_lose_its_requests_to_an_exact_path():
    assert refusal(a_rival(a_match("/v1", headers={"x-model": "qwen"}))) == "TakesRequests"


def test_routing_by_different_values_of_one_header_is_fine():
    mine = a_route(a_rule(a_match("/v1", headers={"x-model": "llama"})))

    assert a_reading(mine, other_routes=[a_rival(a_match("/v1", headers={"x-model": "qwen"}))]).notes == ()


def test_a_more_specific_rule_keeps_its_requests_and_is_told_of():
    rival = a_rival(a_match(exact=CHAT, method="POST", headers={"x-model": "qwen"}))
    (note,) = a_reading(other_routes=[rival]).notes

    assert note.startswith("rule 1 of HTTPRoute 'team/rival' is more specific") and "not moved" in note


def test_a_regular_expression_that_may_match_is_refused_and_one_that_cannot_is_not():
    assert refusal(a_rival({"path": {"type": "RegularExpression", "value": "/v1/.*"}})) == "RegularExpressionPath"
    assert a_reading(other_routes=[a_rival({"path": {"type": "RegularExpression", "value": "/v2/.*"}})])


@pytest.mark.parametrize(
    "parents", [[{"name": "private"}], [{"name": "public", "namespace": "infra"}], [{"name": "public", "port": 8443}]]
)
def test_routes_of_other_gateways_and_listeners_are_no_rivals(parents):
    route = a_route(parents=[{"name": "public", "port": 80}])

    assert a_reading(route, other_routes=[a_rival(a_match("/v1"), parents=parents)])


def test_our_own_overlay_is_no_rival_but_another_models_is():
    own = a_rival(a_match(exact=CHAT, headers={"x-tenant-id": "acme"}))
    own["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "bitshift", "bitshift.dev/model": "chat"}
    own["metadata"]["annotations"] = {"bitshift.dev/state": "live"}
    assert a_reading(other_routes=[own])

    own["metadata"]["labels"]["bitshift.dev/model"] = "another"
    assert refusal(own) == "EqualMatch"


def test_a_route_of_another_hostname_is_guarded_where_the_users_route_has_none():
    shop = a_rival(a_match("/"), hostnames=("shop.example.com",))
    reading = a_reading(a_route(a_rule(a_match("/")), hostnames=()), other_routes=[shop])

    assert {(guard.host, guard.match.path) for guard in reading.guards} >= {("shop.example.com", CHAT)}


def test_what_a_gateway_takes_from_another_hostname_today_already_is_not_guarded():
    shop = a_rival(a_match("/"), hostnames=("shop.example.com",))

    assert a_reading(a_route(a_rule(a_match("/v1")), hostnames=()), other_routes=[shop]).guards == ()


def test_a_gateway_that_may_give_others_what_the_standard_gives_stable_is_told_of():
    anyones = a_rival(a_match("/v1"), hostnames=())
    (note,) = a_reading(a_route(a_rule(a_match("/"))), other_routes=[anyones]).notes[:1]

    assert "weighs paths above hostnames" in note


def test_a_hostname_of_its_own_needs_no_guards():
    reading = a_reading(other_routes=[a_rival(a_match("/"), hostnames=("shop.example.com",))])

    assert (reading.guards, reading.notes) == ((), ())


def test_two_ways_to_stable_whose_order_an_exact_path_would_change_are_refused():
    route = a_route(a_rule(a_match("/v1/chat")), a_rule(a_match("/", headers={"x-a": "1"}), timeouts={"request": "9s"}))
    with pytest.raises(RouteRefused, match="Rules 1 and 2 both lead to stable") as caught:
        a_reading(route)

    assert caught.value.reason == "AmbiguousRules"
