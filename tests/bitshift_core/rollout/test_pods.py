import pytest

from bitshift_core.api.conditions import timestamp
from bitshift_core.rollout import names
from bitshift_core.rollout.pods import failure_of, has_answered, pods_of, stage_of, start_identity
from tests.builders import NOW

DEPLOYMENT = {"metadata": {"creationTimestamp": timestamp(NOW)}, "spec": {"replicas": 2}}
CRASH = {"exitCode": 1, "message": "loading\n\nerror: unknown model architecture\n"}


def a_pod(*containers, ready=True, scheduled=True, annotations=None, **metadata):
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    if scheduled:
        conditions.append({"type": "PodScheduled", "status": "True", "lastTransitionTime": timestamp(NOW + 5)})
    status = {"conditions": conditions, "containerStatuses": list(containers) or [a_container()]}
    return {"metadata": {"annotations": annotations or {}, **metadata}, "status": status}


def a_container(state=None, *, restarts=0, last=None, container_id="c1"):
    return {
        "name": "engine", "image": "engine:1", "containerID": container_id, "restartCount": restarts,
        "state": state or {"running": {}}, "lastState": {"terminated": last} if last else {},
    }  # fmt: skip


def answering(pod):
    pod["metadata"]["annotations"] = {names.ANSWERED: start_identity(pod)}
    return pod


def test_a_pod_counts_once_it_is_ready_and_answered_a_prompt():
    found = pods_of(DEPLOYMENT, [answering(a_pod()), a_pod()])

    assert (found.desired, found.ready, found.answered, found.serving) == (2, 2, 1, False)


def test_an_answer_of_the_container_before_counts_for_nothing():
    pod = answering(a_pod())
    pod["status"]["containerStatuses"] = [a_container(restarts=1, container_id="c2")]

    assert not has_answered(pod)


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

    assert [stage_of(each) for each in (answering(a_pod()), a_pod(), a_pod(ready=False), pulling)] == [
        "Serving", "Answering", "Loading", "Pulling",
    ]  # fmt: skip
    assert pods_of(DEPLOYMENT, [a_pod(), pulling]).stage == "Pulling"


def test_what_the_scheduler_says_is_passed_on():
    pod = a_pod(ready=False, scheduled=False)
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes have a GPU."}
    pod["status"]["conditions"].append(said)

    assert pods_of(DEPLOYMENT, [pod]).unschedulable == "0/3 nodes have a GPU."


def test_a_crash_is_told_with_its_code_and_the_engines_last_words():
    reason, message = failure_of(a_pod(a_container(restarts=2, last=CRASH), ready=False))

    assert reason == "CrashedAtStart"
    assert message.endswith("exited with code 1 (2 restarts). It said: loading | error: unknown model architecture")


@pytest.mark.parametrize(("restarts", "fatal"), [(2, False), (3, True)])
def test_a_crash_decides_only_when_it_comes_again_and_again(restarts, fatal):
    pod = a_pod(a_container(restarts=restarts, last=CRASH), ready=False)

    assert pods_of(DEPLOYMENT, [pod]).fatal is fatal


def test_a_container_killed_for_memory_names_what_to_lower():
    killed = {"exitCode": 137, "reason": "OOMKilled"}
    reason, message = failure_of(a_pod(a_container(last=killed), ready=False))

    assert reason == "OutOfMemory" and "`serving.contextTokens`" in message


def test_an_image_that_cannot_be_pulled_is_named_with_the_way_out():
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
    reason, message = failure_of(a_pod(a_container(waiting), ready=False))

    assert reason == "ImageCannotBePulled"
    assert "'engine:1'" in message and "not found" in message and "`serving.image`" in message


def test_a_pod_that_recovered_is_no_failure():
    assert failure_of(a_pod(a_container(restarts=1, last=CRASH))) is None
