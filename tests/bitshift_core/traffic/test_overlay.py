import pytest

from bitshift_core.traffic.backends import Backends, ServiceRef
from bitshift_core.traffic.overlay import build_overlay
from bitshift_core.traffic.steps import assignment
from tests.bitshift_core.traffic.builders import (
    BACKENDS,
    CHAT,
    COMPLETIONS,
    HOME,
    NEVER,
    a_match,
    a_reading,
    a_route,
    a_rule,
    an_assignment,
)


def an_overlay(reading=None, step=None, **options):
    defaults = {"assignment": step or an_assignment(("acme",), ("globex",)), "backends": BACKENDS, "never": NEVER}
    return build_overlay(reading or a_reading(), **(defaults | options))


def rules_by_role(*routes):
    found = {}
    for route in routes:
        roles = route["metadata"]["annotations"]["bitshift.dev/rules"].split(",")
        for role, rule in zip(roles, route["spec"]["rules"], strict=True):
            found.setdefault(role, []).append(rule)
    return found


def tenants_in(rule, header="x-tenant-id"):
    return {
        entry["value"] for match in rule["matches"] for entry in match.get("headers", ()) if entry["name"] == header
    }


def weights(rule):
    return {ref["name"]: ref["weight"] for ref in rule["backendRefs"]}


def test_each_kind_of_tenant_has_a_rule_and_the_rest_comes_last():
    excluded = ("bank",)
    (route,) = an_overlay(a_reading(excluded=excluded))
    rules = rules_by_role(route)

    assert route["metadata"]["annotations"]["bitshift.dev/rules"] == "excluded,waiting,enrolled,rest"
    assert weights(rules["excluded"][0]) == {"chat": 100} and tenants_in(rules["excluded"][0]) == {"bank"}
    assert weights(rules["waiting"][0]) == {"chat-relay-stable": 100} and tenants_in(rules["waiting"][0]) == {"globex"}
    assert weights(rules["enrolled"][0]) == {"chat-relay-stable": 80, "chat-relay-candidate": 20}
    assert weights(rules["rest"][0]) == {"chat-relay-stable": 95, "chat-relay-candidate": 5}
    assert rules["rest"][0]["matches"] == [{"path": {"type": "Exact", "value": path}} for path in (CHAT, COMPLETIONS)]


def test_the_users_hostnames_parents_filters_and_timeouts_are_kept():
    header = {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"remove": ["server"]}}
    parents = [{"name": "public", "namespace": "infra", "sectionName": "https", "port": 443}]
    rule = a_rule(a_match("/v1"), filters=[header], timeouts={"request": "60s", "backendRequest": "9s"})
    rule["backendRefs"][0]["filters"] = [header]
    (route,) = an_overlay(a_reading(a_route(rule, parents=parents, hostnames=("a.io", "b.io"))))

    assert route["spec"]["parentRefs"] == parents and route["spec"]["hostnames"] == ["a.io", "b.io"]
    for copy in route["spec"]["rules"]:
        assert copy["filters"] == [header] and copy["timeouts"] == {"request": "60s", "backendRequest": "9s"}
        assert all(ref["filters"] == [header] for ref in copy["backendRefs"])


def test_every_rule_says_how_long_a_request_may_take_and_a_route_without_hostnames_stays_so():
    (route,) = an_overlay(a_reading(a_route(hostnames=())))

    assert all(rule["timeouts"] == {"request": "0s"} for rule in route["spec"]["rules"])
    assert "hostnames" not in route["spec"]


def test_steps_change_matches_and_weights_but_never_a_rule():
    tenants = tuple(f"t{n}" for n in range(200))
    shapes = set()
    for step in (None, "Everyone"):
        routes = an_overlay(step=assignment(step, tenants))
        shapes.add(tuple(route["metadata"]["annotations"]["bitshift.dev/rules"] for route in routes))
    for count in (1, 50, 199):
        routes = an_overlay(step=an_assignment(tenants[:count], tenants[count:]))
        shapes.add(tuple(route["metadata"]["annotations"]["bitshift.dev/rules"] for route in routes))

    assert len(shapes) == 1


def test_two_hundred_tenants_with_two_endpoints_keep_within_the_limits_and_miss_nobody():
    tenants = tuple(f"t{n}" for n in range(200))
    routes = an_overlay(step=an_assignment(tenants[:70], tenants[70:]))
    rules = rules_by_role(*routes)

    assert len(routes) == 4
    assert set().union(*map(tenants_in, rules["enrolled"])) == set(tenants[:70])
    assert set().union(*map(tenants_in, rules["waiting"])) == set(tenants[70:])
    for route in routes:
        counts = [len(rule["matches"]) for rule in route["spec"]["rules"]]
        assert len(counts) <= 16 and max(counts) <= 64 and sum(counts) <= 128


def test_the_route_that_takes_whoever_has_no_rule_is_applied_last():
    tenants = tuple(f"t{n}" for n in range(200))
    routes = an_overlay(step=an_assignment((), tenants))

    assert [route["metadata"]["name"] for route in routes] == [f"chat-overlay-{n}" for n in (3, 2, 1, 0)]
    assert "rest" in routes[-1]["metadata"]["annotations"]["bitshift.dev/rules"]


def test_a_rule_without_tenants_has_one_match_that_nobody_sends():
    rules = rules_by_role(*an_overlay(step=an_assignment()))

    empty = [rules[role][0]["matches"][0]["headers"] for role in ("waiting", "enrolled")]
    assert empty == [
        [{"type": "Exact", "name": "x-bitshift-never", "value": f"{NEVER}-0-{place}-empty"}] for place in (1, 2)
    ]


def test_anonymous_requests_have_no_match_where_they_cannot_be_moved():
    rules = rules_by_role(*an_overlay(a_reading(a_route(a_rule(a_match(exact=CHAT))))))

    assert [header["name"] for header in rules["rest"][0]["matches"][0]["headers"]] == ["x-bitshift-never"]


def test_an_excluded_tenant_of_the_step_is_never_left_to_the_rest():
    rules = rules_by_role(*an_overlay(step=an_assignment(("acme",), excluded=("bank",))))

    assert tenants_in(rules["excluded"][0]) == {"bank"}


def test_newcomers_take_places_behind_those_who_have_one_and_the_silent_keep_theirs():
    placement = tuple(f"t{n}" for n in range(40))
    routes = an_overlay(step=an_assignment(("new", *placement[1:])), placement=placement)
    first = rules_by_role(routes[-1])

    assert set().union(*map(tenants_in, first["enrolled"] + first["waiting"])) == {"new", *placement}
    assert "t0" in tenants_in(first["waiting"][0])


def test_after_promotion_there_is_one_backend_and_no_relay():
    release = ServiceRef("chat-release", 8000)
    promoted = Backends(home=HOME, stable=release, candidate=release)
    rules = rules_by_role(*an_overlay(step=assignment("Everyone", ("acme",)), backends=promoted))

    assert all(weights(rule) == {"chat-release": 100} for role in rules.values() for rule in role)


def test_a_share_for_a_candidate_that_is_not_there_is_a_mistake():
    with pytest.raises(ValueError, match="not there"):
        an_overlay(backends=Backends(BACKENDS.home, BACKENDS.stable))


def test_before_there_is_a_candidate_everybody_is_on_stable():
    nobody = an_overlay(step=assignment(None, ("acme",)), backends=Backends(BACKENDS.home, BACKENDS.stable))

    assert all(weights(rule) == {"chat-relay-stable": 100} for rule in nobody[0]["spec"]["rules"])


def test_a_route_has_our_labels_and_owner_and_says_what_a_restart_must_know():
    owner = {"apiVersion": "bitshift.dev/v1alpha1", "kind": "QuantizedModel", "name": "chat", "uid": "1"}
    (route,) = an_overlay(owner_references=[owner], revision="chat-q4-1", annotations={"bitshift.dev/x": "y"})
    metadata = route["metadata"]

    assert metadata["ownerReferences"] == [owner]
    assert metadata["labels"] == {"app.kubernetes.io/managed-by": "bitshift", "bitshift.dev/model": "chat"}
    assert (
        metadata["annotations"]
        | {
            "bitshift.dev/state": "live",
            "bitshift.dev/step": "first",
            "bitshift.dev/revision": "chat-q4-1",
            "bitshift.dev/x": "y",
        }
        == metadata["annotations"]
    )
