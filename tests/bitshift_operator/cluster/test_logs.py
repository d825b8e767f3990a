from dataclasses import replace

import pytest

from bitshift_core.fit.workloads import GROUP_INDEX, SET_NAME, WORKER_INDEX
from bitshift_core.rollout import names
from bitshift_core.rollout.phases import decide
from bitshift_core.rollout.seeing import see
from bitshift_operator.cluster.errors import Unreachable
from bitshift_operator.cluster.logs import KEPT_CHARACTERS, MOST_PODS, load_log_rules, starting_logs
from tests.bitshift_core.rollout.a_pod import CRASH, a_container, answering
from tests.bitshift_core.rollout.a_pod import a_pod as any_pod
from tests.bitshift_core.rollout.snapshots import a_snapshot, promoted
from tests.bitshift_core.starting.excerpts import at
from tests.builders import NOW
from tests.direct import Direct
from tests.fake_api import FakeApi

UNKNOWN = "E llama_model_load: error loading model: unknown model architecture: 'bailingmoe3'"


@pytest.fixture
def api():
    return FakeApi()


def of_release(*containers, snapshot=None, name="p", **changes):
    revision = see(snapshot or a_snapshot()).releases[0].revision
    labels = names.labels("chat", revision=revision, role=changes.pop("role", "release"))
    return any_pod(*containers, name=name, labels=labels, **({"ready": False} | changes))


async def read(api, *pods, snapshot=None):
    return (await starting_logs(Direct(api), replace(snapshot or a_snapshot(), pods=pods)))["logs"]


async def test_the_log_of_a_pod_that_starts_is_read_and_bounded(api):
    api.logs["team", "p"] = at(NOW, "x" * 90) * 10**4
    found = await read(api, of_release())

    assert KEPT_CHARACTERS - 200 < len(found["p"].current) <= KEPT_CHARACTERS
    assert found["p"].current.startswith(at(NOW, "x")[:20])  # no piece of a line, which would have no time
    assert found["p"].previous == ""


async def test_of_a_pod_that_crashed_the_container_before_is_read_too(api):
    api.logs |= {("team", "p"): "now", ("team", "p before"): "then"}
    found = await read(api, of_release(a_container(restarts=1, last=CRASH)))

    assert (found["p"].current, found["p"].previous) == ("now", "then")


@pytest.mark.parametrize(
    "pod",
    [
        answering(of_release(ready=True)),
        of_release(role="relay"),
        of_release(role="baseline"),
        of_release(role="baseline-worker"),
        of_release(deletionTimestamp="2027-01-15T08:00:00Z"),
        of_release(a_container({"waiting": {"reason": "ContainerCreating"}})),
        of_release(scheduled=False, annotations={names.ANSWERED: "of the container before"}),
    ],
    ids=["answered", "relay", "baseline", "baseline-worker", "leaving", "not-there-yet", "answered-before"],
)
async def test_no_other_log_is_read(api, pod):
    api.logs["team", "p"] = "Users' words."

    assert await read(api, pod) == {}


async def test_a_settled_model_reads_no_logs(api):
    snapshot = promoted(a_snapshot())
    (pod,) = snapshot.pods

    assert await read(api, pod | {"status": any_pod()["status"]}, snapshot=snapshot) == {}


async def test_a_candidate_that_the_relay_leads_to_reads_no_logs_however_new_its_pod_is(api):
    pod = of_release()
    relay = {"metadata": {"annotations": {names.REVISION: pod["metadata"]["labels"][names.REVISION]}}}

    assert await read(api, pod, snapshot=a_snapshot(workloads={"chat-relay": relay})) == {}


def of_group(pod, worker):
    pod["metadata"]["labels"] |= {SET_NAME: "set", GROUP_INDEX: "0", WORKER_INDEX: worker}
    return pod


async def test_what_a_worker_says_is_read_until_the_pod_that_it_computes_for_answered(api):
    worker = of_group(of_release(name="p-0-1", role="release-worker", ready=True), "1")

    assert set(await read(api, of_group(of_release(name="p-0"), "0"), worker)) == {"p-0", "p-0-1"}
    assert await read(api, of_group(answering(of_release(name="p-0", ready=True)), "0"), worker) == {}


async def test_a_pod_that_will_answer_is_read_before_those_that_compute_for_it(api):
    workers = [of_group(of_release(name=f"a-{each}", role="release-worker"), str(each)) for each in range(1, 9)]

    assert "leader" in await read(api, *workers, of_group(of_release(name="leader"), "0"))


async def test_one_turn_reads_the_logs_of_a_few_pods(api):
    pods = [of_release(name=f"p-{number}") for number in range(9)]

    assert len(await read(api, *pods)) == MOST_PODS


async def test_a_log_that_cannot_be_read_is_never_worth_the_turn():
    class Silent(Direct):
        async def logs(self, *_, **__):
            raise Unreachable("The node does not answer.")

    found = await starting_logs(Silent(FakeApi()), a_snapshot(pods=[of_release()]))

    assert found["logs"]["p"].current == ""


def running(snapshot, pod):
    revision = see(snapshot).releases[0].revision
    labels = names.labels("chat", revision=revision, role="release")
    deployment = {"metadata": {"name": revision}, "spec": {"replicas": 1, "selector": {"matchLabels": labels}}}
    return replace(snapshot, pods=[pod], workloads={revision: deployment})


async def test_a_stage_in_the_log_is_in_the_next_turns_sentence(api):
    api.logs["team", "p"] = at(NOW - 30, "srv load_model: initializing, n_slots = 4, n_ctx_slot = 512")
    snapshot = running(a_snapshot(), of_release())
    told = decide(see(replace(snapshot, **await starting_logs(Direct(api), snapshot)))).plan.message

    assert "(Warming, 30 of at most 120 s)" in told


async def test_what_can_never_start_is_refused_after_its_first_crash(api):
    api.logs["team", "p before"] = UNKNOWN
    snapshot = running(a_snapshot(), of_release(a_container({"waiting": {}}, restarts=1, last=CRASH)))
    plan = decide(see(replace(snapshot, **await starting_logs(Direct(api), snapshot)))).plan

    assert plan.reason == "UnsupportedArchitecture"
    assert "'bailingmoe3'" in plan.actions[0].report.message


def test_the_rules_are_read_once():
    assert load_log_rules() is load_log_rules()
