import pytest

from bitshift_core.starting.reading import lines_of, read_log
from bitshift_core.starting.rules import STAGES as ALL_STAGES
from tests.bitshift_core.starting.excerpts import FAILURES, REPORTS, RULES, STAGES, at
from tests.builders import NOW


@pytest.mark.parametrize(("runtime", "source", "log", "stage", "progress"), STAGES, ids=lambda each: str(each)[:40])
def test_a_real_line_tells_the_stage_and_how_far_it_is(runtime, source, log, stage, progress):
    found = read_log(RULES.of(runtime), log)

    assert found.stage == stage
    assert (found.progress and (found.progress.done, found.progress.total)) == progress


@pytest.mark.parametrize(("runtime", "source", "log", "reason", "words"), FAILURES, ids=lambda each: str(each)[:40])
def test_a_real_failure_is_named_with_its_numbers_and_the_way_out(runtime, source, log, reason, words):
    failure = read_log(RULES.of(runtime), log).failure

    assert failure.reason == reason
    for word in words:
        assert word in failure.message, failure.message
    assert "?" not in failure.message


@pytest.mark.parametrize(
    ("runtime", "source", "log", "mib", "tokens", "kernels"), REPORTS, ids=lambda each: str(each)[:40]
)
def test_an_engines_own_report_is_read_from_its_log(runtime, source, log, mib, tokens, kernels):
    report = read_log(RULES.of(runtime), log).report

    assert (report.model_bytes and report.model_bytes >> 20) == mib
    assert (report.kv_tokens, report.kernels) == (tokens, kernels)


def test_a_stage_began_with_its_first_line_and_is_as_far_as_its_last():
    log = "".join(
        at(NOW + each, f"Loading safetensors checkpoint shards:  {each * 10}% Completed | {each}/9 [00:13<00:11]")
        for each in (1, 2, 3)
    )
    found = read_log(RULES.of("vllm"), log)

    assert (found.since, found.progress.done, found.progress.at) == (NOW + 1, 3, NOW + 3)


def test_a_draft_that_loads_later_is_no_way_back():
    log = (
        "Loading weights took 24.84 seconds\nLoading safetensors checkpoint shards:  10% Completed | 1/9 [00:13<00:11]"
    )

    assert read_log(RULES.of("vllm"), log).stage == "Repacking"


def test_a_line_without_a_time_was_seen_no_earlier_than_the_one_before():
    log = at(NOW, "Traceback") + "GPU KV cache size: 1,024 tokens"

    assert read_log(RULES.of("vllm"), log).since == NOW


def test_the_states_of_a_progress_bar_are_lines_of_their_own_with_one_time():
    bar = "Capturing CUDA graphs:   1%|  | 1/67 [00:00]\rCapturing CUDA graphs:  97%|##| 65/67 [00:15]"
    first, last = lines_of(at(NOW, bar))

    assert first.at == last.at == NOW
    assert read_log(RULES.of("vllm"), at(NOW, bar)).progress.done == 65


def test_the_cause_is_told_and_not_its_consequences():
    log = "CUDA out of memory.\nValueError: No available memory for the cache blocks\nRuntimeError: Engine core failed"

    assert read_log(RULES.of("vllm"), log).failure.reason == "NoRoomForKVCache"


def test_a_profile_of_the_users_own_is_read_by_all_rules():
    assert read_log(RULES.of("my-vllm"), "GPU KV cache size: 1,024 tokens").report.kv_tokens == 1024
    assert read_log(RULES.of("my-vllm"), "load_model: loading model 'm'").stage == "Loading"


def test_a_log_that_no_rule_knows_tells_nothing():
    found = read_log(RULES.of("vllm"), "Hello, I am another engine.")

    assert (found.stage, found.failure, found.report.kernels) == (None, None, ())


def test_words_that_a_group_catches_are_cut_and_hold_no_sign_that_a_page_acts_on():
    log = "Model architectures ['" + "A" * 64 + "'] are not supported for now"

    assert "A" * 64 in read_log(RULES.of("vllm"), log).failure.message
    assert read_log(RULES.of("vllm"), log.replace("A" * 64, "<b>" * 9)).failure is None


def test_stages_come_in_the_order_in_which_a_start_passes_them():
    assert ALL_STAGES.index("Loading") < ALL_STAGES.index("Repacking") < ALL_STAGES.index("Answering")
