import pytest

from bitshift_core.traffic.refusals import RouteRefused
from tests.bitshift_core.traffic.builders import a_reading, a_route

GROUP = "gateway.networking.k8s.io"
ROUTE = {"group": GROUP, "kind": "HTTPRoute"}


def a_policy(namespace="team", **spec):
    return {"kind": "SecurityPolicy", "metadata": {"name": "auth", "namespace": namespace}, "spec": spec}


def selector(**labels):
    return {**ROUTE, "matchLabels": {key.replace("__", "/"): value for key, value in labels.items()}}


ATTACHED = [
    a_policy(targetRef={**ROUTE, "name": "chat"}),
    a_policy(targetRefs=[{**ROUTE, "name": "else"}, {**ROUTE, "name": "chat", "sectionName": "rule"}]),
    a_policy(targetSelectors=[selector(app="llm")]),
    a_policy(targetSelectors=[{**ROUTE, "matchExpressions": [{"key": "app", "operator": "Exists"}]}]),
    a_policy(namespace="infra", targetRef={**ROUTE, "name": "chat", "namespace": "team"}),
]
HARMLESS = [
    a_policy(targetRef={"group": GROUP, "kind": "Gateway", "name": "public"}),
    a_policy(targetRef={**ROUTE, "name": "else"}),
    a_policy(targetRef={"group": "", "kind": "Service", "name": "chat"}),
    a_policy(namespace="infra", targetRef={**ROUTE, "name": "chat"}),
    a_policy(targetSelectors=[selector(app="shop")]),
    a_policy(targetSelectors=[selector(app="llm"), {**ROUTE, "matchLabels": {"bitshift.dev/model": "chat"}}]),
    a_policy(targetSelectors=[{**ROUTE, "matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}]),
]


@pytest.mark.parametrize("policy", ATTACHED)
def test_a_policy_that_an_overlay_would_slip_away_from_is_refused(policy):
    with pytest.raises(RouteRefused, match="SecurityPolicy 'auth' is attached to HTTPRoute 'chat'") as caught:
        a_reading(a_route(labels={"app": "llm"}), policies=[policy])

    assert caught.value.reason == "PolicyAttached"
    assert "`bitshift.dev/model: chat`" in caught.value.message


@pytest.mark.parametrize("policy", HARMLESS)
def test_a_policy_that_covers_neither_or_both_is_not(policy):
    assert a_reading(a_route(labels={"app": "llm"}), policies=[policy])
