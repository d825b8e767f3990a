"""The load gate on made-up runs: slower is found, noise is not blamed, a late client voids the run."""

import json
import random

import pytest

from bitshift_core.api.v1alpha1 import LoadGate
from bitshift_core.evidence.load import Record, judge_load
from bitshift_core.evidence.report import GateReport, Verdict
from tests.examples import examples

BLOCKS = 12


def run(*, slower: float = 1.0, requests: int = 180, failing: float = 0.0, late_ms: float = 1, seed: int = 1):
    """Return records of both sides: the same prompts on both, with noise of each side's own."""
    chance, records = random.Random(seed), []
    for block in range(BLOCKS):
        prompts = [chance.lognormvariate(0, 0.3) for _ in range(requests // BLOCKS)]
        for side, factor in (("candidate", slower), ("baseline", 1.0)):
            for number, length in enumerate(prompts):
                intended = block * 30 + number
                first = intended + 0.3 * factor * length * chance.lognormvariate(0, 0.1)
                last = first + 63 * 0.02 * factor * chance.lognormvariate(0, 0.1)
                failed = side == "candidate" and chance.random() < failing
                records.append(Record(side, block, intended, intended + late_ms / 1e3, first, last, 64, failed))
    return records


def test_a_candidate_as_fast_as_the_baseline_passes_a_limit_with_room():
    report = judge_load("r1", run(), LoadGate(slower_percent=40))

    assert report.verdict is Verdict.PASSED
    assert report.load.candidate.completed == report.load.baseline.completed == 180


def test_a_candidate_that_is_a_third_slower_fails_and_says_by_how_much():
    report = judge_load("r1", run(slower=1.35), LoadGate(slower_percent=10))

    assert report.verdict is Verdict.FAILED
    assert "TTFT p95" in report.message and "limit 1.10): too slow" in report.message


@pytest.mark.long
def test_at_the_limit_noise_decides_nothing():
    found = [
        judge_load("r1", run(slower=1.1, seed=seed), LoadGate(slower_percent=10)).verdict
        for seed in range(examples(20))
    ]

    assert found.count(Verdict.INCONCLUSIVE) >= 0.9 * len(found)


def test_targets_replace_the_baseline():
    records = [record for record in run() if record.side == "candidate"]

    assert judge_load("r1", records, LoadGate(ttft_millis=700, itl_millis=40)).verdict is Verdict.PASSED
    assert judge_load("r1", records, LoadGate(ttft_millis=200, itl_millis=40)).verdict is Verdict.FAILED
    assert "No baseline" in judge_load("r1", records, LoadGate(ttft_millis=700)).message


def test_requests_that_fail_fail_the_gate():
    report = judge_load("r1", run(failing=0.1), LoadGate(slower_percent=1000))

    assert report.verdict is Verdict.FAILED
    assert "requests failed, 0 of 180 on the baseline: more than the tolerated 0.1%" in report.message


def test_a_single_failure_is_not_held_against_the_candidate_for_sure():
    records = run()
    records[0] = Record("candidate", 0, 0.0, 0.001, failed=True)

    assert judge_load("r1", records, LoadGate(slower_percent=100)).verdict is Verdict.INCONCLUSIVE


def test_a_client_that_was_late_voids_the_run():
    report = judge_load("r1", run(slower=3, late_ms=200), LoadGate())

    assert report.verdict is Verdict.INCONCLUSIVE
    assert "The client itself sent up to 200 ms late" in report.message


def test_a_client_that_did_not_send_voids_the_run():
    records = [Record("candidate", 0, n, None) for n in range(10)] + run()

    assert "The client sent 180 of 190 requests to the candidate" in judge_load("r1", records, LoadGate()).message


@pytest.mark.parametrize("records", [[], run(requests=24)])
def test_too_few_requests_are_inconclusive(records):
    assert judge_load("r1", records, LoadGate()).verdict is Verdict.INCONCLUSIVE


def test_the_report_is_json_without_infinities():
    report = judge_load("r1", run(failing=0.5), LoadGate())

    text = report.fit_into().to_json()

    assert GateReport.model_validate(json.loads(text)).load == report.load
    assert len(text) < 3500
