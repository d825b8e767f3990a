import pytest

from bitshift_core.api.conditions import timestamp
from bitshift_core.rollout import names
from bitshift_core.rollout.one_pod import container_at_work, has_answered, has_crashed, report_of, start_of
from bitshift_core.rollout.snapshot import PodLog
from tests.bitshift_core.rollout.a_pod import CRASH, a_container, a_pod, answering
from tests.bitshift_core.starting.excerpts import RULES, at
from tests.builders import NOW

PULLING = a_container({"waiting": {"reason": "ContainerCreating"}})
FETCHING = a_container({"running": {"startedAt": timestamp(NOW + 20)}}, name="fetch")
VLLM = RULES.of("vllm")


def test_an_answer_of_the_container_before_counts_for_nothing():
    pod = answering(a_pod())
    pod["status"]["containerStatuses"] = [a_container(restarts=1, container_id="c2")]

    assert not has_answered(pod)


@pytest.mark.parametrize(
    ("pod", "stage"),
    [
        (a_pod(ready=False, scheduled=False), "Scheduling"),
        (a_pod(PULLING, ready=False, initial=[FETCHING]), "Fetching"),
        (a_pod(PULLING, ready=False), "Pulling"),
        (a_pod(ready=False), "Loading"),
        (a_pod(a_container({"waiting": {}}, last=CRASH | {"finishedAt": timestamp(NOW)}), ready=False), "Restarting"),
        (a_pod(), "Answering"),
        (answering(a_pod()), "Serving"),
    ],
)
def test_without_a_log_the_kubelet_tells_what_a_pod_is_doing(pod, stage):
    assert start_of(pod).stage == stage


def test_inside_the_engine_its_log_tells_the_stage_since_when_and_how_far():
    log = at(NOW + 90, "Loading safetensors checkpoint shards: 100% Completed | 9/9 [00:29<00:00,  3.28s/it]")
    log += at(NOW + 100, "INFO 05-06 20:59:59 [gpu_model_runner.py:4879] Model loading took 12.66 GiB memory")
    log += at(NOW + 130, "Capturing CUDA graphs (decode, FULL):  97%|####| 65/67 [00:15<00:00,  4.58it/s]")
    start = start_of(a_pod(ready=False), PodLog(log), VLLM)

    assert (start.stage, start.since) == ("Warming", NOW + 130)
    assert (start.progress.done, start.progress.total, start.progress.unit) == (65, 67, "graphs")


def test_an_engine_loads_from_its_processs_first_moment_on():
    pod = a_pod(a_container({"running": {"startedAt": timestamp(NOW + 30)}}), ready=False)
    log = PodLog(at(NOW + 90, "Loading safetensors checkpoint shards:  38% Completed | 3/8 [00:01<00:04]"))

    assert (start_of(pod, log, VLLM).since, start_of(pod).since) == (NOW + 30, NOW + 30)
    assert start_of(pod, log, VLLM).progress.done == 3


def test_fetching_tells_its_bytes_and_is_counted_from_its_first_try():
    again = FETCHING | {"lastState": {"terminated": CRASH | {"finishedAt": timestamp(NOW + 15)}}}
    log = PodLog(at(NOW + 40, "model.safetensors: 1073741824 of 4294967296"))
    first, second = (
        start_of(a_pod(PULLING, ready=False, initial=[each]), log, RULES.fetch) for each in (FETCHING, again)
    )

    assert (first.stage, first.since, first.progress.done) == ("Fetching", NOW + 20, 1 << 30)
    assert second.since == NOW + 5


def test_the_log_that_is_read_is_that_of_the_container_at_work():
    assert container_at_work(a_pod(PULLING, ready=False, initial=[FETCHING])) == "fetch"
    assert container_at_work(a_pod(ready=False)) == "engine"
    assert container_at_work(a_pod(PULLING, ready=False)) == ""
    assert has_crashed(a_pod(a_container(last=CRASH), ready=False))
    assert has_crashed(a_pod(a_container(last=CRASH | {"exitCode": 0}), ready=False))
    assert not has_crashed(a_pod(ready=False))


@pytest.mark.parametrize("noted", ["", "no json", '{"kvTokens": -1}', '{"kernels": ["<script>"]}'])
def test_a_note_on_a_pod_that_is_not_ours_is_no_report(noted):
    assert report_of(answering(a_pod(), **{names.REPORT: noted})) is None


def test_what_an_engine_told_counts_as_long_as_its_container_runs():
    pod = answering(a_pod(), **{names.REPORT: '{"kvTokens": 46592}'})

    assert report_of(pod).kv_tokens == 46592
    pod["status"]["containerStatuses"] = [a_container(restarts=1, container_id="c2")]
    assert report_of(pod) is None
