import pytest

from bitshift_core.traffic.refusals import RouteRefused
from tests.bitshift_core.traffic.builders import (
    CHAT,
    COMPLETIONS,
    a_match,
    a_reading,
    a_route,
    a_rule,
)


def refusal(route=None, **options):
    with pytest.raises(RouteRefused) as caught:
        a_reading(route, **options)
    assert len(caught.value.message) < 600
    return caught.value


def paths(reading):
    return [match.path for rule in reading.rules for match in rule.matches]


@pytest.mark.parametrize("prefix", ["/", "/v1", "/v1/"])
def test_a_prefix_becomes_the_engines_exact_endpoints_below_it(prefix):
    reading = a_reading(a_route(a_rule(a_match(prefix))))

    assert paths(reading) == [CHAT, COMPLETIONS] and reading.anonymous_movable
    assert (reading.service, reading.port, reading.hostnames) == ("chat", 8000, ("llm.example.com",))


def test_a_rule_without_matches_matches_everything():
    assert paths(a_reading(a_route(a_rule()))) == [CHAT, COMPLETIONS]


def test_method_headers_and_query_are_kept():
    match = a_match("/v1", method="POST", headers={"X-Model": "llama"}, query={"beta": "1"})
    found = a_reading(a_route(a_rule(match)), endpoints=(CHAT,)).rules[0].matches[0]

    assert (found.method, found.headers, found.query) == (
        "POST",
        (("x-model", "Exact", "llama"),),
        (("beta", "Exact", "1"),),
    )


def test_filters_and_timeouts_are_kept_and_a_request_timeout_is_always_there():
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "log", "port": 80}}}
    kept = a_reading(a_route(a_rule(a_match(), filters=[mirror], timeouts={"backendRequest": "30s"}))).rules[0]
    users_own = a_reading(a_route(a_rule(a_match(), timeouts={"request": "10s"}))).rules[0]

    assert kept.filters == (mirror,)
    assert (kept.request_timeout, kept.backend_request_timeout) == ("0s", "30s")
    assert users_own.request_timeout == "10s"


def test_an_exact_match_of_the_users_leaves_anonymous_requests_on_stable_and_says_so():
    reading = a_reading(a_route(a_rule(a_match(exact=CHAT), a_match(exact="/health"))))

    assert not reading.anonymous_movable and paths(reading) == [CHAT]
    assert f"Rule 1 of HTTPRoute 'chat' matches '{CHAT}' exactly" in reading.anonymous_message


def test_rules_of_one_treatment_share_copies():
    route = a_route(a_rule(a_match("/v1/chat")), a_rule(a_match("/v1/completions")))

    assert len(a_reading(route).rules) == 1 and paths(a_reading(route)) == [CHAT, COMPLETIONS]


def test_an_endpoint_that_a_longer_prefix_leads_elsewhere_is_left_there():
    route = a_route(a_rule(a_match("/")), a_rule(a_match("/v1/completions"), service="legacy"))

    assert paths(a_reading(route)) == [CHAT]


def test_an_endpoint_that_another_route_gets_is_left_there():
    other = a_route(a_rule(a_match("/v1/completions"), service="legacy"), name="legacy")

    assert paths(a_reading(other_routes=[other])) == [CHAT]


def test_a_backend_of_weight_zero_is_none():
    rule = {"backendRefs": [{"name": "chat", "port": 8000}, {"name": "old", "port": 80, "weight": 0}]}

    assert paths(a_reading(a_route(rule))) == [CHAT, COMPLETIONS]


SHARED = {"backendRefs": [{"name": "chat", "port": 8000, "weight": 9}, {"name": "beta", "port": 80, "weight": 1}]}
REWRITE = {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}}


@pytest.mark.parametrize(
    ("reason", "rule"),
    [
        ("RegularExpressionPath", a_rule({"path": {"type": "RegularExpression", "value": "/v1/.*"}})),
        ("RegularExpressionMatch", a_rule({"headers": [{"type": "RegularExpression", "name": "x-a", "value": "."}]})),
        ("MatchesTenantHeader", a_rule(a_match("/", headers={"X-Tenant-ID": "acme"}))),
        ("SessionPersistence", a_rule(a_match(), sessionPersistence={"type": "Cookie"})),
        ("PathRewrite", a_rule(a_match("/llm"), filters=[REWRITE])),
        ("SharedRule", SHARED),
        ("RouteMissesStable", a_rule(a_match(), service="beta")),
        ("RouteMissesStable", {"backendRefs": [{"name": "chat", "port": 8000, "namespace": "elsewhere"}]}),
        ("RouteMissesStable", {"backendRefs": [{"name": "chat", "group": "inference.networking.k8s.io"}]}),
        ("NoEndpointCovered", a_rule(a_match("/llm"))),
        ("TooManyHeaders", a_rule(a_match("/", headers={f"x-{n}": "1" for n in range(15)}))),
    ],
)
def test_what_cannot_be_overlaid_is_refused_with_a_way_out(reason, rule):
    assert refusal(a_route(rule)).reason == reason


def test_fourteen_headers_leave_room_for_ours():
    assert a_reading(a_route(a_rule(a_match("/", headers={f"x-{n}": "1" for n in range(14)}))))


def test_a_route_attached_to_a_service_mesh_is_refused():
    parents = [{"kind": "Service", "group": "", "name": "chat"}]

    assert refusal(a_route(parents=parents)).reason == "NoGatewayParent"


def test_two_ports_of_stable_are_refused_until_one_is_named():
    route = a_route(a_rule(a_match("/v1/chat")), a_rule(a_match("/v1/completions"), port=9000))

    assert refusal(route).reason == "AmbiguousPort"
    assert paths(a_reading(route, stable_port=9000)) == [COMPLETIONS]


def test_an_excluded_tenant_that_no_rule_can_hold_on_stable_is_refused():
    assert refusal(excluded=("a`b",)).reason == "UnusableTenantName"


def test_copies_without_retries_are_told_of():
    (note,) = a_reading(a_route(a_rule(a_match(), retry={"attempts": 2}))).notes

    assert note.startswith("Rule 1 of HTTPRoute 'chat' retries; its copies do not")


def test_a_filter_on_the_tenant_header_is_told_of():
    filters = [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["X-Tenant-Id"]}}]

    assert "changes 'x-tenant-id'" in a_reading(a_route(a_rule(a_match(), filters=filters))).notes[0]
