import json

import pytest

from bitshift_core.rollout import names
from bitshift_core.rollout.failures import failure_of
from bitshift_core.rollout.snapshot import PodLog
from tests.bitshift_core.rollout.a_pod import CRASH, a_container, a_pod
from tests.bitshift_core.starting.excerpts import RULES

VLLM = RULES.of("vllm")
SECRET = "My card number is 1234."


def dead(*, ready=False, log="", annotations=None, **died):
    pod = a_pod(a_container(restarts=2, last=CRASH | died), ready=ready, annotations=annotations)
    return failure_of(pod, PodLog(previous=log), VLLM, RULES.fetch)


def test_a_crash_is_told_with_its_code_and_the_engines_last_words():
    failure = dead()

    assert failure.reason == "CrashedAtStart"
    assert failure.message.endswith("exited with code 1 (2 restarts). It said: loading | error: something is wrong")


def test_a_crash_whose_cause_is_known_is_told_by_its_name_with_the_way_out():
    log = "ValueError: Free memory on device (31.44/47.38 GiB) on startup is less than desired GPU memory utilization (0.95, 45.01 GiB)."
    failure = dead(log=log)

    assert failure.reason == "FreeMemoryTooLow"
    assert "exited with code 1 (2 restarts): 31.44 of the GPU's 47.38 GiB are free" in failure.message
    assert "`serving.extraArgs" in failure.message


def test_an_engine_that_ends_as_if_all_were_well_has_failed_for_it_should_serve():
    log = "AttributeError: '_OpNamespace' '_C' object has no attribute 'cpu_gemm_wna16'"
    failure = dead(log=log, exitCode=0, reason="Completed")

    assert (failure.reason, failure.final) == ("MissingKernel", True)
    assert "exited with code 0 (2 restarts)" in failure.message


def test_a_container_that_fetches_may_end():
    fetched = a_container(name="fetch", state={"terminated": {"exitCode": 0}})

    assert failure_of(a_pod(ready=False, initial=[fetched]), fetch=RULES.fetch) is None


def test_without_a_log_the_last_words_are_read_by_the_same_rules():
    failure = dead(message="... ValueError: No available memory for the cache blocks. Try increasing")

    assert (failure.reason, failure.final) == ("NoRoomForKVCache", True)


def test_once_a_prompt_reached_a_pod_none_of_its_words_are_quoted():
    quoted, told = dead(message=SECRET), dead(message=SECRET, annotations={names.ANSWERED: "of before"})

    assert SECRET in quoted.message
    assert SECRET not in told.message
    assert told.message.endswith("Its log tells more.")
    crashed = a_pod(a_container(last=CRASH | {"message": SECRET}), ready=False)
    assert SECRET not in failure_of(crashed, may_quote=False).message


@pytest.mark.parametrize(
    ("code", "reason", "way_out"),
    [(132, "MissingInstructions", "`serving.image`"), (137, "Killed", "events"), (139, "EngineFault", "SIGSEGV")],
)
def test_an_exit_code_tells_what_no_log_does(code, reason, way_out):
    failure = dead(exitCode=code, message="")

    assert failure.reason == reason and way_out in failure.message and f"code {code}" in failure.message


def test_a_container_killed_for_memory_names_what_to_lower():
    failure = dead(exitCode=137, reason="OOMKilled", message="")

    assert failure.reason == "OutOfMemory" and "`serving.contextTokens`" in failure.message


def test_an_image_that_cannot_be_pulled_is_named_with_the_way_out():
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
    failure = failure_of(a_pod(a_container(waiting), ready=False))

    assert failure.reason == "ImageCannotBePulled"
    assert "'engine:1'" in failure.message and "not found" in failure.message and "`serving.image`" in failure.message


def test_a_model_in_an_image_that_nodes_cannot_pull_is_named_in_place_of_the_engines_image():
    said = 'Back-off pulling image "host/m@sha256:ab": tls: failed to verify certificate'
    pod = a_pod(a_container({"waiting": {"reason": "ImagePullBackOff", "message": said}}), ready=False)
    pod["spec"] = {"volumes": [{"name": "models", "image": {"reference": "host/m@sha256:ab"}}]}
    failure = failure_of(pod)

    assert failure.reason == "ImageCannotBePulled"
    assert "'host/m@sha256:ab'" in failure.message and "failed to verify" in failure.message
    assert "`sources.secret`" in failure.message and "`serving.image`" not in failure.message


def test_bytes_with_another_digest_are_told_with_both():
    wanted, found = "sha256:" + "a" * 64, "sha256:" + "b" * 64
    said = f'{{"reason": "DigestMismatch", "message": "m.gguf (12 bytes) has {found}, not {wanted} as asked for."}}'
    fetch = a_container({"waiting": {}}, name="fetch", last={"exitCode": 1, "message": said})
    failure = failure_of(a_pod(a_container({"waiting": {}}), ready=False, initial=[fetch]), fetch=RULES.fetch)

    assert (failure.reason, failure.final) == ("DigestMismatch", True)
    assert "bbbbbbbbbbbb" in failure.message and "aaaaaaaaaaaa" in failure.message and "`digest`" in failure.message


@pytest.mark.parametrize(
    ("said", "reason", "words"),
    [
        ("s3://b/m holds other objects than when its facts were read: say `retry` to have them read again.",
         "ArtifactMoved", "kubectl bitshift retry"),
        ("s3://b: m.gguf was replaced while it was read: say `retry`.", "ArtifactMoved", "kubectl bitshift retry"),
        ("oci://r/m: m.gguf may not be read. The login in `spec.sources.secret` may not pull it.",
         "ArtifactForbidden", "`sources.secret`"),
        ("hf://o/m is gated, and the token in `spec.sources.secret` may not read it: accept its terms.",
         "ArtifactForbidden", "`sources.secret`"),
    ],
)  # fmt: skip
def test_what_may_be_read_no_more_or_is_another_by_now_is_not_tried_again(said, reason, words):
    last = {"exitCode": 1, "message": json.dumps({"reason": "Any", "message": said})}
    fetch = a_container({"waiting": {}}, name="fetch", last=last)
    failure = failure_of(a_pod(a_container({"waiting": {}}), ready=False, initial=[fetch]), fetch=RULES.fetch)

    assert (failure.reason, failure.final) == (reason, True)
    assert words in failure.message


def test_a_pod_that_recovered_is_no_failure():
    assert dead(ready=True) is None
