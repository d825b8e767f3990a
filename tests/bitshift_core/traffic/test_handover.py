from bitshift_core.traffic.handover import handover_lines, own_route, route_points_at
from tests.bitshift_core.traffic.builders import a_match, a_reading, a_route, a_rule


def test_each_backend_that_names_stable_has_two_lines_to_change():
    route = a_route(a_rule(a_match("/v1")), a_rule(a_match("/docs"), service="docs"), a_rule(a_match("/metrics")))

    assert handover_lines(route, stable_service="chat", service="chat-release", port=8080) == (
        "spec.rules[0].backendRefs[0].name: chat-release",
        "spec.rules[0].backendRefs[0].port: 8080",
        "spec.rules[2].backendRefs[0].name: chat-release",
        "spec.rules[2].backendRefs[0].port: 8080",
    )


def test_once_handed_over_nothing_is_left_to_change():
    route = a_route(a_rule(a_match("/v1"), service="chat-release"))

    assert route_points_at(route, "chat-release") and not route_points_at(route, "chat")
    assert handover_lines(route, stable_service="chat", service="chat-release", port=8080) == ()


def test_a_backend_of_weight_zero_or_of_another_namespace_is_not_pointed_at():
    idle = {"backendRefs": [{"name": "chat", "port": 80, "weight": 0}]}
    away = {"backendRefs": [{"name": "chat", "port": 80, "namespace": "elsewhere"}]}

    assert not route_points_at(a_route(idle, away), "chat")


def test_our_own_route_can_be_overlaid_by_the_next_rollout():
    route = own_route("chat", "team", "infra/public", "llm.example.com", "chat-release", 8000)
    reading = a_reading(route, stable_service="chat-release")

    assert route["metadata"]["name"] == "chat-route"
    assert reading.parent_refs == ({"name": "public", "namespace": "infra"},)
    assert reading.anonymous_movable and reading.hostnames == ("llm.example.com",)


def test_a_gateway_without_a_namespace_is_the_models_neighbour():
    route = own_route("chat", "team", "public", "llm.example.com", "chat-release", 8000)

    assert route["spec"]["parentRefs"] == [{"name": "public"}]
