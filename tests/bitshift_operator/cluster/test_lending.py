import pytest

from bitshift_core.rollout import names
from bitshift_core.rollout.loans import Loan, loan_of
from bitshift_core.rollout.plan import TakeReplica
from bitshift_operator.cluster.caches import deployment
from bitshift_operator.cluster.client import Kube
from bitshift_operator.cluster.kinds import DEPLOYMENT, POD
from bitshift_operator.cluster.lending import DELETION_COST, give_back, take_replica
from tests.fake_api import FakeApi

LOAN = Loan(model="chat", before=4, after=3, reload_seconds=340)
ONE = TakeReplica("chat", "chat-2", LOAN)


@pytest.fixture
def stable(api: FakeApi):
    for number in range(4):
        api.put(POD.new("team", f"chat-{number}", spec={}))
    return api.put(DEPLOYMENT.new("team", "chat", spec={"replicas": 4, "selector": {"matchLabels": {"app": "chat"}}}))


def size(api):
    return api.get(DEPLOYMENT, "team", "chat")["spec"]["replicas"]


def note(api):
    return loan_of(api.get(DEPLOYMENT, "team", "chat"))


async def test_one_replica_goes_with_a_note_and_it_is_the_pod_whose_place_is_wanted(api, kube: Kube, stable):
    await take_replica(kube, "team", ONE)

    costs = {each["metadata"]["name"]: each["metadata"].get("annotations", {}) for each in api.objects[POD].values()}
    assert (size(api), note(api)) == (3, LOAN)
    assert {name: told.get(DELETION_COST) for name, told in costs.items() if told} == {"chat-2": "-1000"}


async def test_taking_it_twice_takes_one(api, kube: Kube, stable):
    await take_replica(kube, "team", ONE)
    await take_replica(kube, "team", ONE)

    assert size(api) == 3


async def test_a_deployment_that_is_gone_or_of_another_size_is_left_alone(api, kube: Kube):
    await take_replica(kube, "team", ONE)
    api.put(DEPLOYMENT.new("team", "chat", spec={"replicas": 5}))
    await take_replica(kube, "team", ONE)

    assert (size(api), note(api)) == (5, None)


async def test_what_another_models_release_took_is_noted_still(api, kube: Kube, stable):
    theirs = LOAN.model_copy(update={"model": "other", "before": 5, "after": 4})
    live = api.get(DEPLOYMENT, "team", "chat")
    live["metadata"]["annotations"] = {names.LENT: theirs.model_dump_json(by_alias=True)}
    api.put(live)
    await take_replica(kube, "team", ONE)

    assert (size(api), note(api)) == (4, theirs)


async def test_nothing_goes_when_the_chosen_pod_is_gone_already(api, kube: Kube, stable):
    api.remove(POD, "team", "chat-2")
    await take_replica(kube, "team", ONE)

    assert (size(api), note(api)) == (4, None)


async def test_what_was_lent_comes_back_and_the_note_goes(api, kube: Kube, stable):
    await take_replica(kube, "team", ONE)
    await give_back(kube, "team", "chat")

    assert (size(api), note(api)) == (4, None)


async def test_a_size_that_somebody_gave_it_meanwhile_stays(api, kube: Kube, stable):
    await take_replica(kube, "team", ONE)
    api.put({**api.get(DEPLOYMENT, "team", "chat"), "spec": {"replicas": 0}})
    await give_back(kube, "team", "chat")

    assert (size(api), note(api)) == (0, None)


async def test_without_a_note_nothing_comes_back(api, kube: Kube, stable):
    await give_back(kube, "team", "chat")
    await give_back(kube, "team", "none")

    assert size(api) == 4


def test_a_cache_keeps_the_note_of_a_deployment_that_is_not_ours_and_nothing_else_of_its_annotations():
    told = {names.LENT: "{}", "others.example/large": "x" * 1000}
    foreign = DEPLOYMENT.new("team", "chat", spec={}) | {"metadata": {"name": "chat", "annotations": told}}

    assert deployment(foreign)["metadata"]["annotations"] == {names.LENT: "{}"}
