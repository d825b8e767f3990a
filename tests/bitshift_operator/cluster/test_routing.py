from dataclasses import replace

import pytest

from bitshift_core.rollout import names, plan
from bitshift_core.rollout.errors import UserError
from bitshift_core.rollout.moves import RESTING, is_verified
from bitshift_core.rollout.seeing import see
from bitshift_core.traffic.steps import assignment
from bitshift_operator.cluster import routing
from bitshift_operator.cluster.kinds import HTTP_ROUTE, QUANTIZED_MODEL
from bitshift_operator.cluster.probe import ProbeResult
from bitshift_operator.cluster.routing import NotConfirmed, Router
from bitshift_operator.resources import Owner
from bitshift_operator.settings import Settings
from tests import scenery
from tests.bitshift_core.rollout.snapshots import a_model, a_snapshot, promoted
from tests.builders import NOW
from tests.direct import Direct
from tests.fake_api import FakeApi

FIRST = plan.Route("chat-q4-1", assignment(None, ("acme",)), born=True, new_step=True)
LIVE = replace(FIRST, born=False)


@pytest.fixture
def api():
    api = FakeApi()
    api.put(a_model())
    api.put(scenery.a_gateway())
    return api


@pytest.fixture
def router(api):
    """Returns the router of a turn that sees the routes as they are now."""

    def begin(snapshot=None, **seen):
        routes = [each for each in api.all(HTTP_ROUTE) if "overlay" in each["metadata"]["name"]]
        snapshot = replace(snapshot or a_snapshot(), overlay=routes)
        found = replace(see(snapshot), **seen)
        return Router(Direct(api), Settings(), found, snapshot, Owner("chat", "team", "u-1"), NOW)

    return begin


@pytest.fixture
def gateway(monkeypatch):
    """Answers probes as it is told to; remembers what it was asked."""

    async def probe(expectations, endpoints, **_):
        gateway.asked = (expectations, endpoints)
        return gateway.answer

    class gateway:
        answer = ProbeResult(True, 1, 0.1)
        asked = None

    monkeypatch.setattr(routing, "probe", probe)
    return gateway


def overlay(api):
    return [each for each in api.all(HTTP_ROUTE) if "overlay" in each["metadata"]["name"]]


def backends(api):
    return {
        (ref["name"], ref["port"])
        for route in overlay(api)
        for rule in route["spec"]["rules"]
        for ref in rule["backendRefs"]
    }


def finalizers(api):
    return api.get(QUANTIZED_MODEL, "team", "chat")["metadata"].get("finalizers", [])


async def test_the_object_is_held_before_a_route_exists_and_let_go_by_its_own_action(api, router):
    order = []
    api.after = lambda verb, target: order.append((verb, target.kind))
    await router().act(FIRST)
    assert order == [("PATCH", QUANTIZED_MODEL), ("PATCH", HTTP_ROUTE)]

    order.clear()
    await router().act(plan.RemoveOverlay())
    await router().act(plan.DropFinalizer())
    assert order == [("DELETE", HTTP_ROUTE), ("PATCH", QUANTIZED_MODEL)]
    assert (overlay(api), finalizers(api)) == ([], [])


async def test_finalizers_of_others_are_left_alone(api, router):
    model = api.get(QUANTIZED_MODEL, "team", "chat")
    model["metadata"]["finalizers"] = ["others.dev/guard"]
    api.put(model)
    await router().act(FIRST)
    assert finalizers(api) == ["others.dev/guard", names.FINALIZER]

    await router().act(plan.DropFinalizer())
    assert finalizers(api) == ["others.dev/guard"]


async def test_a_born_route_matches_nothing_that_anybody_sends(api, router):
    await router().act(FIRST)

    matches = [match for route in overlay(api) for rule in route["spec"]["rules"] for match in rule["matches"]]
    assert all("x-bitshift-never" in str(match) for match in matches)


async def test_each_rollout_has_evidence_of_its_own(api, router):
    await router().act(LIVE)
    first = overlay(api)[0]["metadata"]["annotations"][names.ROLLOUT]
    step = replace(LIVE, assignment=assignment(see(a_snapshot()).spec.traffic.steps[0], ("acme",)))
    await router().act(step)
    assert overlay(api)[0]["metadata"]["annotations"][names.ROLLOUT] == first

    later = router()
    later.now += 60
    await later.act(LIVE)
    assert overlay(api)[0]["metadata"]["annotations"][names.ROLLOUT] != first


async def test_home_is_the_users_own_service_by_the_port_that_their_route_names(api, router):
    await router().act(LIVE)
    await router().act(plan.RouteHome("CandidateWorse", "It failed."))

    assert backends(api) == {("chat", 9100)}
    assert overlay(api)[0]["metadata"]["annotations"]["bitshift.dev/reason"] == "CandidateWorse"


async def test_home_is_found_even_when_the_spec_can_no_longer_be_followed(api, router):
    await router().act(LIVE)
    broken = router(a_snapshot(model=a_model(runtime="typo")))
    assert broken.seen.problem and broken.seen.route is None
    await broken.act(plan.RouteHome("CandidateWorse", "It failed."))

    assert backends(api) == {("chat", 9100)}


async def test_who_came_from_a_promoted_release_goes_back_to_it_and_the_refused_one_is_named(api, router):
    await router().act(LIVE)
    await router(promoted(a_snapshot(), rung=1)).act(plan.RouteHome("CandidateWorse", "It failed."))
    annotations = overlay(api)[0]["metadata"]["annotations"]

    assert backends(api) == {(annotations[RESTING], 80)}
    assert annotations[RESTING].startswith("chat-q8-")
    assert '"revision":"chat-q4-1"' in annotations[names.REFUSAL]


async def test_a_deleted_object_leaves_users_on_their_own_service(api, router):
    await router().act(LIVE)
    await router(promoted(a_snapshot(), rung=1), deleting=True).act(plan.RouteHome("Deleted", "It goes."))

    assert backends(api) == {("chat", 9100)}


async def test_what_the_gateway_confirmed_is_noted_for_the_very_route(api, router, gateway):
    await router().act(LIVE)
    await router().act(plan.Verify())

    assert all(is_verified(route) for route in overlay(api))
    assert gateway.asked[1][0].urls == ("http://192.0.2.1:80",)


async def test_what_the_gateway_does_not_do_ends_the_turn_with_its_sentence(api, router, gateway):
    gateway.answer = ProbeResult(False, 9, 10.0, "RouteNotInForce", "Listener web answered by stable only.")
    await router().act(LIVE)

    with pytest.raises(NotConfirmed, match="answered by stable only"):
        await router().act(plan.Verify())
    assert not any(is_verified(route) for route in overlay(api))


async def test_a_gateway_that_is_not_there_is_named(api, router, gateway):
    await router().act(LIVE)
    api.objects.pop(next(kind for kind in api.objects if kind.kind == "Gateway"))

    with pytest.raises(NotConfirmed, match="Gateway 'team/public' does not exist"):
        await router().act(plan.Verify())


async def test_a_route_that_cannot_be_read_is_never_guessed(api, router):
    with pytest.raises(UserError, match="could not be read"):
        await router(a_snapshot(model=a_model(runtime="typo"))).act(LIVE)


async def test_the_first_release_gets_a_route_that_goes_with_its_model(api, router):
    traffic = {"gateway": "edge/public", "hostname": "llm.example.com"}
    model = a_model(stable=None, runtime="llamacpp", parent={"artifact": "pvc://models/f16.gguf"}, traffic=traffic)
    await router(a_snapshot(model=model, user_route=None)).act(plan.MakeRoute())
    route = api.get(HTTP_ROUTE, "team", "chat-route")

    assert route["spec"]["parentRefs"] == [{"name": "public", "namespace": "edge"}]
    assert route["metadata"]["ownerReferences"][0]["uid"] == "u-1"
