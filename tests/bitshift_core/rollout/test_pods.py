import pytest

from bitshift_core.api.conditions import timestamp
from bitshift_core.fit.workloads import GROUP_INDEX, SET_NAME, WORKER_INDEX
from bitshift_core.rollout import names
from bitshift_core.rollout.pods import pods_of
from bitshift_core.rollout.snapshot import PodLog
from tests.bitshift_core.rollout.a_pod import CRASH, a_container, a_pod, answering
from tests.bitshift_core.starting.excerpts import RULES, at
from tests.builders import NOW

DEPLOYMENT = {"metadata": {"creationTimestamp": timestamp(NOW)}, "spec": {"replicas": 2}}


def test_a_pod_counts_once_it_is_ready_and_answered_a_prompt():
    found = pods_of(DEPLOYMENT, [answering(a_pod()), a_pod()])

    assert (found.desired, found.ready, found.answered, found.serving) == (2, 2, 1, False)


def test_pods_that_are_going_away_do_not_count():
    leaving = answering(a_pod(deletionTimestamp=timestamp(NOW)))

    assert pods_of(DEPLOYMENT, [leaving]).ready == 0


def test_the_start_is_counted_from_when_the_last_pod_found_its_node():
    assert pods_of(DEPLOYMENT, [a_pod()]).started_at == NOW + 5


def test_a_container_that_died_late_starts_anew():
    died = {"exitCode": 137, "finishedAt": timestamp(NOW + 3600)}

    assert pods_of(DEPLOYMENT, [a_pod(a_container(restarts=1, last=died), ready=False)]).started_at == NOW + 3600


def test_the_slowest_pod_says_what_all_wait_for():
    pulling = a_pod(a_container({"waiting": {"reason": "ContainerCreating"}}), ready=False)

    assert pods_of(DEPLOYMENT, [a_pod(), pulling]).stage == "Pulling"


def test_of_two_pods_in_one_stage_the_older_one_is_judged():
    pods = [a_pod(a_container({"running": {"startedAt": timestamp(NOW + each)}}), ready=False) for each in (40, 10)]

    assert pods_of(DEPLOYMENT, pods).stage_since == NOW + 10


GROUP = {"metadata": {"name": "set", "creationTimestamp": timestamp(NOW)}}
GROUP["spec"] = {"replicas": 2, "leaderWorkerTemplate": {"size": 2, "workerTemplate": {}}}


def of_group(pod, group, worker="0"):
    pod["metadata"]["labels"] = {SET_NAME: "set", GROUP_INDEX: str(group), WORKER_INDEX: worker}
    return pod


def test_a_pod_that_answers_counts_once_all_that_compute_for_it_are_ready():
    leaders = [of_group(answering(a_pod()), group) for group in (0, 1)]
    workers = [of_group(a_pod(ready=ready), group, "1") for group, ready in ((0, True), (1, False))]
    found = pods_of(GROUP, leaders, workers=workers)

    assert (found.desired, found.ready, found.answered, found.serving) == (2, 1, 1, False)


def test_a_group_without_its_worker_is_not_ready():
    assert pods_of(GROUP, [of_group(answering(a_pod()), 0)]).ready == 0


def test_a_worker_that_is_ready_keeps_no_stage_back():
    leader = of_group(a_pod(a_container({"running": {"startedAt": timestamp(NOW + 40)}}), ready=False), 0)
    found = pods_of(GROUP, [leader], workers=[of_group(a_pod(), 0, "1")])

    assert (found.stage, found.stage_since) == ("Loading", NOW + 40)


def test_a_start_that_waits_for_others_is_counted_from_when_the_last_of_them_was_there():
    leader = of_group(a_pod(a_container({"running": {"startedAt": timestamp(NOW + 40)}}), ready=False), 0)
    worker = of_group(a_pod(), 0, "1")
    worker["status"]["conditions"][0]["lastTransitionTime"] = timestamp(NOW + 900)

    assert pods_of(GROUP, [leader], workers=[worker]).stage_since == NOW + 900


def test_what_ails_a_worker_ails_its_group():
    worker = of_group(a_pod(ready=False, scheduled=False), 0, "1")
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes have a GPU."}
    worker["status"]["conditions"].append(said)

    assert pods_of(GROUP, [of_group(a_pod(), 0)], workers=[worker]).unschedulable == "0/3 nodes have a GPU."


@pytest.mark.parametrize("answered", [False, True])
def test_the_last_words_of_a_worker_are_quoted_only_until_the_pod_that_it_computes_for_answered(answered):
    leader = answering(a_pod(ready=False)) if answered else a_pod(ready=False)
    worker = of_group(a_pod(a_container(restarts=1, last=CRASH), ready=False), 0, "1")
    found = pods_of(GROUP, [of_group(leader, 0)], workers=[worker])

    assert ("something is wrong" in found.failure[1]) is not answered


def test_pods_that_were_made_anew_tell_how_long_it_went_on():
    worker = of_group(a_pod(creationTimestamp=timestamp(NOW + 4000)), 0, "1")

    assert pods_of(GROUP, [], workers=[worker]).made_anew_after == 4000


def test_what_the_scheduler_says_is_passed_on():
    pod = a_pod(ready=False, scheduled=False)
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes have a GPU."}
    pod["status"]["conditions"].append(said)

    assert pods_of(DEPLOYMENT, [pod]).unschedulable == "0/3 nodes have a GPU."


@pytest.mark.parametrize(("restarts", "fatal"), [(2, False), (3, True)])
def test_a_crash_decides_only_when_it_comes_again_and_again(restarts, fatal):
    pod = a_pod(a_container(restarts=restarts, last=CRASH), ready=False)

    assert pods_of(DEPLOYMENT, [pod]).fatal is fatal


@pytest.mark.parametrize(
    ("line", "fatal"),
    [
        ("E llama_model_load: error loading model: unknown model architecture: 'bailingmoe3'", True),
        ("allocating 14136.04 MiB on device 0: cudaMalloc failed: out of memory", False),
    ],
)
def test_a_crash_whose_log_says_that_it_comes_again_decides_at_once(line, fatal):
    pod = a_pod(a_container(restarts=1, last=CRASH), ready=False, name="p")
    found = pods_of(DEPLOYMENT, [pod], {"p": PodLog(previous=line)}, RULES.of("llamacpp"))

    assert found.fatal is fatal
    assert found.failure


def test_what_one_of_several_pods_tells_does_not_depend_on_their_order():
    pods = [
        answering(a_pod(name=name), **{names.REPORT: f'{{"kvTokens": {tokens}}}'})
        for name, tokens in (("b", 2), ("a", 1))
    ]

    assert pods_of(DEPLOYMENT, pods).report == pods_of(DEPLOYMENT, pods[::-1]).report


def test_what_a_running_engine_complains_of_is_a_hint_and_no_failure():
    stuck = at(NOW, "No available shared memory broadcast block found in 60 seconds.")
    found = pods_of(DEPLOYMENT, [a_pod(ready=False, name="p")], {"p": PodLog(stuck)}, RULES.of("vllm"))

    assert found.failure is None
    assert "60 s" in found.hint
