import pytest

from bitshift_core.rollout import names
from bitshift_core.rollout.moves import RESTING
from bitshift_core.traffic.overlay import STEP
from bitshift_operator.cluster.client import Kube
from bitshift_operator.cluster.kinds import HTTP_ROUTE, QUANTIZED_MODEL
from bitshift_operator.controller.uninstall import uninstall
from tests.fake_api import FakeApi


def a_model(name="chat", phase="Serving", finalizers=("others.example/hold", names.FINALIZER)):
    model = QUANTIZED_MODEL.new("team", name, spec={}, status={"phase": phase})
    model["metadata"]["finalizers"] = list(finalizers)
    return model


def a_route(name, model="chat", **annotations):
    route = HTTP_ROUTE.new("team", name, spec={})
    route["metadata"]["labels"] = names.labels(model)
    route["metadata"]["annotations"] = annotations
    return route


def finalizers(api, name="chat"):
    return api.get(QUANTIZED_MODEL, "team", name)["metadata"]["finalizers"]


async def test_a_settled_model_is_let_go_of_and_its_routes_stay(api: FakeApi, kube: Kube):
    api.put(a_model())
    resting = api.put(a_route("chat-overlay-0", **{RESTING: "chat-q4-1"}))
    own = api.put(a_route("chat-route"))

    assert await uninstall(kube) == ()
    assert finalizers(api) == ["others.example/hold"]
    assert [api.get(HTTP_ROUTE, "team", each["metadata"]["name"]) for each in (resting, own)] == [resting, own]


@pytest.mark.parametrize("phase", ["Shifting", "Holding", "RollingBack"])
async def test_a_rollout_keeps_every_model_held(api: FakeApi, kube: Kube, phase):
    api.put(a_model("settled"))
    api.put(a_model(phase=phase))

    (refusal,) = await uninstall(kube)

    assert str(refusal).startswith(f"team/chat is in the middle of a rollout (phase {phase}, step 'none')")
    assert "kubectl bitshift -n team rollback chat" in str(refusal)
    assert names.FINALIZER in finalizers(api, "settled")


@pytest.mark.parametrize("phase", ["Waiting", "Starting", "Gating"])
async def test_a_stable_that_lent_replicas_is_not_left_without_them(api: FakeApi, kube: Kube, phase):
    model = a_model(phase=phase)
    model["status"]["lent"] = "Deployment 'chat' lent 1 of its 2 replicas."
    api.put(model)

    (refusal,) = await uninstall(kube)

    assert f"team/chat is in the middle of a rollout ({phase}), to which stable lent replicas" in str(refusal)
    assert names.FINALIZER in finalizers(api)


async def test_what_a_promoted_release_took_keeps_no_model_held(api: FakeApi, kube: Kube):
    model = a_model(phase="Serving")
    model["status"]["lent"] = "Deployment 'chat' lent 1 of its 2 replicas."
    api.put(model)

    assert await uninstall(kube) == ()


async def test_routes_are_believed_before_the_status(api: FakeApi, kube: Kube):
    api.put(a_model(phase="Suspended"))
    api.put(a_route("chat-overlay-0", **{STEP: "half"}))

    (refusal,) = await uninstall(kube)

    assert "(phase Suspended, step 'half')" in str(refusal)


async def test_an_overlay_whose_model_is_gone_is_named_too(api: FakeApi, kube: Kube):
    api.put(a_route("chat-overlay-0"))

    (refusal,) = await uninstall(kube)

    assert "team/chat" in str(refusal)


async def test_only_watched_namespaces_are_asked(api: FakeApi, kube: Kube):
    api.put(a_model(phase="Shifting"))

    assert await uninstall(kube, ("elsewhere",)) == ()


async def test_a_rollout_that_begins_meanwhile_is_seen(api: FakeApi, kube: Kube):
    api.put(a_model())
    api.after = lambda verb, target: api.put(a_route("chat-overlay-0", **{STEP: "first"})) and None

    (refusal,) = await uninstall(kube)

    assert refusal.step == "first"
