"""Live evidence over simulated traffic: what must be caught, what must not, and that nothing is counted twice."""

import time

import pytest

from bitshift_core.api.v1alpha1 import LiveEvidence
from bitshift_core.evidence.live import (
    LivePolicy,
    LiveState,
    RelayReport,
    Row,
    begin_step,
    edge_index,
    edge_ms,
    fold,
    judge,
)
from tests.examples import examples
from tests.relayed import BEGIN, Arm, Rollout

DEAD = Arm(errors=1.0)


def started(weight: float = 0.05, **of) -> Rollout:
    rollout = Rollout(**of)
    rollout.observe()
    rollout.step("first")
    return rollout


def a_row(second: int, arm: str = "candidate", **of) -> Row:
    return Row(**{"bucket": second, "arm": arm, "stage": "first", "started": 10} | of)


def a_report(*rows: Row, until: int, pod: str = "relay-0", boot: str = "a") -> RelayReport:
    return RelayReport(pod=pod, boot=boot, now=until + 1, closed_until={"first": until}, rows=rows)


@pytest.mark.parametrize("seed", range(5))
def test_a_candidate_that_always_fails_is_rolled_back_within_ten_requests(seed):
    rollout = started(seed=seed, candidate=DEAD, tick=1)

    verdict = rollout.run(120, 0.05)

    assert verdict.roll_back
    assert rollout.served <= 10


def test_a_rollback_says_its_numbers():
    rollout = started(candidate=DEAD, tick=1)

    verdict = rollout.run(120, 0.05)

    bad = rollout.served
    assert verdict.reason == "CandidateWorse"
    assert f"candidate answered {bad} of {bad} requests (100 %) with errors [error5xx {bad}], stable" in verdict.message
    assert "against a threshold of 100 (error rate 1.0 %)" in verdict.message


@pytest.mark.long
def test_a_good_candidate_is_rarely_rolled_back():
    rollouts = [started(seed=seed, per_second=4, tick=10) for seed in range(examples(16))]

    rolled_back = sum(rollout.run(600, 0.2).roll_back for rollout in rollouts)

    assert rolled_back == 0


def test_noise_of_single_minutes_does_not_roll_back():
    rollout = started(per_second=20, tick=10)

    for minute in range(20):
        rollout.candidate = Arm(errors=0.01 * (1.8 if minute % 2 else 0.4))
        assert not rollout.run(60, 0.2).roll_back


@pytest.mark.parametrize("seed", range(3))
def test_an_incident_that_hits_both_arms_does_not_roll_back(seed):
    rollout = started(seed=seed)
    rollout.run(120, 0.2)
    rollout.stable = rollout.candidate = Arm(errors=0.2)

    assert not rollout.run(180, 0.2).roll_back


def test_three_percent_errors_against_one_are_found_within_a_ramp():
    rollout = started(candidate=Arm(errors=0.03), tick=10)

    assert rollout.run(3600, 0.2).roll_back


@pytest.mark.parametrize("seed", range(3))
def test_a_candidate_that_dies_after_good_steps_is_found_at_once(seed):
    rollout = started(seed=seed)
    rollout.run(900, 0.1)
    rollout.step("half")
    rollout.candidate, before = DEAD, rollout.served

    assert rollout.run(60, 0.25).roll_back
    assert rollout.served - before <= 50  # two ticks of 25 requests


def test_a_candidate_that_dies_in_the_midst_of_a_long_step_is_found_too():
    rollout = started()
    rollout.run(1800, 0.05)
    rollout.candidate, before = DEAD, rollout.served

    assert rollout.run(120, 0.05).roll_back
    assert rollout.served - before <= 30


def test_broken_answers_count_like_errors():
    rollout = started(candidate=Arm(broken=0.6))

    verdict = rollout.run(300, 0.2)

    assert verdict.roll_back
    assert "gave broken answers to" in verdict.message and "[empty" in verdict.message


def test_a_first_token_that_takes_twice_as_long_rolls_back():
    rollout = Rollout(stable=Arm(ttft_ms=100), candidate=Arm(ttft_ms=200), tick=10)
    rollout.observe(120)
    rollout.step("first")

    verdict = rollout.run(900, 0.3)

    assert verdict.roll_back
    assert "the first token took over" in verdict.message


def test_a_first_token_within_the_margin_does_not_roll_back():
    rollout = Rollout(stable=Arm(ttft_ms=100), candidate=Arm(ttft_ms=104), tick=10)
    rollout.observe(120)
    rollout.step("first")

    assert not rollout.run(600, 0.3).roll_back


def test_a_step_is_won_by_excluding_the_margin_not_by_time():
    rollout = started(per_second=10, tick=10)

    early = rollout.run(60, 0.2)
    late = rollout.run(900, 0.2)

    assert (early.may_advance, early.reason) == (False, "EvidenceGrows")
    assert early.needed_requests > 100
    assert (late.may_advance, late.reason, late.needed_requests) == (True, "EvidenceSuffices", 0)


def test_the_next_step_is_won_anew():
    rollout = started(per_second=10, tick=10)
    rollout.run(900, 0.2)

    rollout.step("half")

    assert not rollout.run(20, 0.5).may_advance


def test_a_candidate_worse_by_the_promotion_margin_is_not_taken_a_step_further():
    for seed in range(5):
        rollout = started(seed=seed, candidate=Arm(errors=0.035), per_second=10, tick=10)

        assert not rollout.run(600, 0.2).may_advance


def streaming(gap_ms: float = 30, streams: float = 1.0) -> Arm:
    return Arm(errors=0.002, ttft_ms=100, gap_ms=gap_ms, streams=streams)


def seconds_to_win(rollout: Rollout, weight: float, limit_seconds: int = 600) -> int | None:
    """Return when the step was won, or None if it never was."""
    for second in range(0, limit_seconds, rollout.tick):
        verdict = rollout.run(rollout.tick, weight)
        if verdict.roll_back:
            return None
        if verdict.may_advance:
            return second
    return None


WIDE = LivePolicy(promote_margin=0.1)
"""Rates win a step by some fifty requests, of which a latency's harm cannot be told yet."""


@pytest.mark.parametrize("weight", [0.5, 0.9])
@pytest.mark.parametrize("slower", [2, 10])
def test_no_step_is_taken_by_rates_alone_while_tokens_come_slower(weight, slower):
    for seed in range(3):
        rollout = started(seed=seed, per_second=2, policy=WIDE, stable=streaming(), candidate=streaming(30 * slower))

        assert seconds_to_win(rollout, weight) is None


def test_latencies_as_good_as_stables_win_the_step_with_the_rates():
    assert (
        seconds_to_win(started(per_second=2, policy=WIDE, stable=streaming(), candidate=streaming()), 0.5) is not None
    )


@pytest.mark.parametrize("factor", [0.2, 2, 10])
def test_a_drift_of_both_arms_away_from_the_quantiles_does_not_hold_a_step_up(factor):
    rollout = started(per_second=2, policy=WIDE, stable=streaming(), candidate=streaming())
    rollout.stable = rollout.candidate = streaming(30 * factor)

    assert seconds_to_win(rollout, 0.5) is not None


def test_a_handful_of_streams_does_not_hold_a_step_up():
    few = streaming(streams=0.04)
    rollout = started(per_second=2, policy=WIDE, stable=few, candidate=few)
    rollout.state = rollout.state.model_copy(update={"edges": {"itl": (70, 80, 90, 100)}})

    assert seconds_to_win(rollout, 0.5) is not None


def test_streams_of_one_arm_wait_for_the_other_arms_where_tenants_stream_now_and_then():
    now_and_then, tenants = streaming(streams=0.3), [f"t{number}" for number in range(12)]
    for seed in range(3):
        rollout = started(
            seed=seed, per_second=2, policy=WIDE, stable=now_and_then, candidate=now_and_then, tenants=tenants
        )

        assert seconds_to_win(rollout, 0.8, limit_seconds=700) is not None


def test_a_step_says_what_its_latencies_still_need():
    rollout = started(per_second=2, policy=WIDE, stable=streaming(), candidate=streaming())

    verdict = rollout.run(20, 0.5)

    assert "no rate is worse by 10 points or more, no latency by 25: errors " in verdict.message
    assert ", itl " in verdict.message and verdict.needed_requests > 0


def test_no_requests_are_neither_success_nor_failure():
    rollout = started(per_second=0.0)

    verdict = rollout.run(600, 0.2)

    assert (verdict.roll_back, verdict.may_advance, verdict.reason) == (False, False, "TooFewRequests")


def test_one_tenant_that_is_hurt_rolls_all_back_and_is_named():
    tenants = tuple(f"tenant-{n}" for n in range(10))
    rollout = started(tenants=tenants, of_tenant={"tenant-7": DEAD}, per_second=20)

    verdict = rollout.run(600, 0.2)

    assert verdict.roll_back
    assert verdict.hurt == ("tenant-7",)
    assert verdict.worst[0].name == "tenant-7"
    assert verdict.worst[0].message.endswith("; hurt")
    assert rollout.served < 300


def test_tenants_that_differ_are_never_compared_with_each_other():
    rollout = Rollout(
        tenants=("bad-prompts", "good-prompts"),
        base_of_tenant={"bad-prompts": Arm(errors=0.3), "good-prompts": Arm(errors=0.0)},
        of_tenant={"bad-prompts": Arm(errors=0.3), "good-prompts": Arm(errors=0.0)},
    )
    rollout.observe(300)
    rollout.step("first")

    assert not rollout.run(900, {"bad-prompts": 0.9, "good-prompts": 0.05}).roll_back


def test_without_a_control_stable_past_judges_and_says_so():
    rollout = started()
    rollout.run(300, 0.5)
    rollout.step("hold", concurrent=False)
    good = rollout.run(300, 1.0)
    rollout.candidate, before = DEAD, rollout.served

    dead = rollout.run(60, 1.0)

    assert (good.roll_back, good.may_advance, good.historical) == (False, True, True)
    assert dead.roll_back
    assert "historical evidence" in dead.message
    assert rollout.served - before <= 200  # two ticks of all traffic


def test_what_was_observed_of_stables_latencies_judges_where_no_control_ever_ran():
    rollout = Rollout(per_second=1, stable=Arm(ttft_ms=100), candidate=Arm(ttft_ms=600), tick=10)
    rollout.observe(40)
    rollout.step("hold", concurrent=False)

    verdict = rollout.run(300, 1.0)

    assert verdict.roll_back
    assert "the first token took over" in verdict.message and "historical evidence" in verdict.message
    assert rollout.served <= 200


def test_few_observed_latencies_rarely_take_a_good_candidate_back():
    same = Arm(errors=0.0, ttft_ms=100)
    rollouts = [Rollout(seed=seed, per_second=2, stable=same, candidate=same, tick=10) for seed in range(examples(60))]
    for rollout in rollouts:
        rollout.observe(20)
        rollout.step("hold", concurrent=False)

    assert sum(rollout.run(300, 1.0).roll_back for rollout in rollouts) == 0


def test_a_tenant_that_moved_whole_is_judged_by_its_own_past():
    rollout = started(tenants=("whole", "split"), base_of_tenant={"whole": Arm(errors=0.1)})
    rollout.of_tenant = {"whole": Arm(errors=0.1)}

    assert not rollout.run(600, {"whole": 1.0, "split": 0.2}).roll_back

    rollout.of_tenant = {"whole": Arm(errors=0.9)}
    assert rollout.run(120, {"whole": 1.0, "split": 0.2}).roll_back


def test_a_report_that_comes_twice_is_counted_once():
    rollout = started()
    report, policy = rollout.report(0.2), rollout.policy
    once = fold(rollout.state, [report], policy)

    assert fold(once, [report], policy) == once
    assert fold(rollout.state, [report, report], policy) == once


def test_overlapping_reports_count_each_second_once():
    policy, state = LivePolicy(), begin_step(LiveState(), "first", BEGIN)
    seconds = [a_row(BEGIN + n, arm) for n in range(4) for arm in ("candidate", "stable")]
    state = fold(state, [a_report(*seconds[:4], until=BEGIN + 1)], policy)

    state = fold(state, [a_report(*seconds, until=BEGIN + 3)], policy)

    assert (state.candidate_requests, state.stable_requests) == (40, 40)


def test_a_second_that_is_not_closed_yet_waits():
    state = begin_step(LiveState(), "first", BEGIN)

    state = fold(state, [a_report(a_row(BEGIN + 5), until=BEGIN + 4)], LivePolicy())

    assert state.candidate_requests == 0


def test_two_relays_and_a_restarted_one_all_count():
    state = begin_step(LiveState(), "first", BEGIN)
    reports = [
        a_report(a_row(BEGIN), until=BEGIN),
        a_report(a_row(BEGIN), until=BEGIN, pod="relay-1"),
        a_report(a_row(BEGIN), until=BEGIN, boot="b"),
    ]

    assert fold(state, reports, LivePolicy()).candidate_requests == 30


def test_what_is_older_than_a_forgotten_process_is_not_counted():
    state = begin_step(LiveState(), "first", 0.0)

    state = fold(state, [a_report(a_row(BEGIN - 7200), until=BEGIN)], LivePolicy())

    assert state.candidate_requests == 0


def test_a_step_that_is_begun_twice_is_begun_once():
    rollout = started()
    rollout.run(60, 0.2)

    assert begin_step(rollout.state, "first", rollout.now + 100, rollout.policy) == rollout.state


def test_the_state_survives_its_own_json():
    rollout = started(tenants=("acme", ""), stable=Arm(ttft_ms=100), candidate=Arm(ttft_ms=100))
    rollout.run(60, 0.2)

    again = LiveState.model_validate_json(rollout.state.model_dump_json(by_alias=True, exclude_defaults=True))

    assert judge(again, rollout.policy).evidence == pytest.approx(judge(rollout.state, rollout.policy).evidence, 1e-4)
    assert again.watermarks == rollout.state.watermarks


@pytest.mark.long
def test_six_hundred_tenants_fit_and_the_largest_are_judged_singly():
    tenants = tuple(f"{'t' * 100}-{n}" for n in range(600))
    rollout = Rollout(tenants=tenants, per_second=600, stable=Arm(ttft_ms=100), candidate=Arm(0.05, 0.05, 110))
    rollout.observe(10)
    rollout.step("first")
    rollout.run(20, 0.4)

    assert len(rollout.state.strata) == 65
    assert "~other" in rollout.state.strata
    assert len(rollout.state.model_dump_json(by_alias=True, exclude_defaults=True)) < 200 * 1024


def test_a_look_at_ten_tenants_and_thirty_seconds_is_quick():
    tenants = tuple(f"tenant-{n}" for n in range(10))
    rollout = Rollout(tenants=tenants, per_second=100, stable=Arm(ttft_ms=100), candidate=Arm(ttft_ms=100), tick=30)
    rollout.observe(60)
    rollout.step("first")
    report, spent = rollout.report(0.2), []
    for _ in range(5):
        began = time.process_time()
        fold(rollout.state, [report], rollout.policy)
        spent.append(time.process_time() - began)

    assert min(spent) < 0.05  # 10 ms on an idle machine


def test_edges_are_the_bins_of_a_latency():
    for milliseconds in (0.2, 1, 7, 99.9, 100, 5000):
        index = edge_index(milliseconds)
        assert milliseconds <= edge_ms(index) * 1.000001
        assert index == 0 or milliseconds > edge_ms(index - 1)


def test_the_policy_is_what_the_user_asked_for():
    said = LiveEvidence(margin_ppm=5_000, latency_margin_percent=10, promote_latency_points=40)
    policy = LivePolicy.from_evidence(said, steps=4)

    assert (policy.margin, policy.latency_margin, policy.threshold, policy.steps) == (0.005, 0.1, 100, 4)
    assert (policy.promote_margin, policy.promote_latency_margin) == (0.02, 0.4)
