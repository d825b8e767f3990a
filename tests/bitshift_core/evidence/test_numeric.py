"""What the numbers of a few texts show: properties that hold for any tokens, and losses that were measured."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitshift_core.evidence.numeric import NumericCheck, TextPair, Token, judge_numbers
from bitshift_core.evidence.report import GateReport, Verdict

CHECK = NumericCheck()
NATS = st.floats(0, 12)


def text(*nats, words=None, likeliest=()):
    names = words or [str(number) for number in range(len(nats))]
    return tuple(
        Token(name, None if each is None else -each, likeliest) for name, each in zip(names, nats, strict=True)
    )


def pair(parent, candidate, **of):
    return TextPair(text(*parent, **of), text(*candidate, **of))


def judged(parent, candidate):
    return judge_numbers([pair(parent, candidate)], CHECK)


def losing(perplexity, times, tokens=600):
    nats = [math.log(perplexity)] * tokens
    return judged(nats, [each + math.log(times) for each in nats])


@pytest.mark.parametrize(
    ("model", "perplexity", "times"),
    [
        ("Llama-3-8B Q4_K_M, WikiText-2", 6.23, 1.03),
        ("Llama-3-8B Q2_K, WikiText-2", 6.23, 1.57),
        ("Llama-3-8B IQ1_M, WikiText-2", 6.23, 4.1),
        ("SmolLM2-135M Q2_K, these texts", 13.2, 1.36),
        ("SmolLM2-135M INT4 asymmetric by 64, round to nearest, these texts", 13.2, 2.5),
        ("SmolLM2-135M INT4 symmetric by 64, round to nearest, these texts", 13.2, 1.4),
    ],
)
def test_what_honest_quantizations_cost_passes(model, perplexity, times):
    assert losing(perplexity, times).verdict is Verdict.PASSED, model


@pytest.mark.parametrize(
    ("damage", "times"),
    [
        ("AWQ packed in another order", 4e8),
        ("zero points off by one", 2.8e6),
        ("scales of all down projections shuffled", 5e6),
        ("scales of the first down projection ten times too large", 42),
        ("scales of a middle down projection ten times too large", 421),
        ("scales of a middle down projection negated", 12.3),
        ("scales of one down projection random bits", 4.5e7),
    ],
)
def test_what_damage_costs_a_small_model_fails_with_both_perplexities(damage, times):
    found = losing(13.2, times)

    assert found.verdict is Verdict.FAILED, damage
    assert "perplexity of 600 tokens 13.2 at the parent" in found.message
    assert "that is over 10 times, and 4-bit weights cost under 3" in found.message


def test_figures_are_told_with_thousands_and_shares():
    told = judge_numbers([pair([2.0] * 300, [8.0] * 300, likeliest=("a", "b"))], CHECK)

    assert "perplexity of 300 tokens 7.4 at the parent, 2,981 at the candidate" in told.message
    assert "the likeliest token the same for 300 of 300" in told.message


def test_how_much_of_the_likely_tokens_is_shared_is_told():
    theirs, ours = text(*[1.0] * 40, likeliest=("a", "b")), text(*[1.0] * 40, likeliest=("b", "c"))

    report = judge_numbers([TextPair(theirs, ours)], CHECK).report

    assert (report.likeliest_same, report.likeliest_compared, report.overlap_percent) == (0, 40, 50)


def test_a_lower_bound_is_told_as_one():
    worse = judge_numbers([pair([1.0] * 40, [3.0] * 40)], CHECK, at_least=True)

    assert "at least 20.1 at the candidate" in worse.message


def test_few_tokens_say_nothing():
    found = judged([1.0] * 23, [25.0] * 23)

    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.message == "the numbers (only 23 tokens of 24 were told)"


def test_nothing_at_all_is_unknown():
    assert judge_numbers([], CHECK).verdict is Verdict.INCONCLUSIVE
    assert judge_numbers([TextPair((), ())], CHECK).verdict is Verdict.INCONCLUSIVE


def test_one_token_without_a_number_is_passed_over():
    found = judged([1.0] * 40, [1.0] * 39 + [None])

    assert (found.verdict, found.report.tokens) == (Verdict.PASSED, 39)


def test_texts_that_are_cut_into_other_tokens_are_compared_whole():
    parent, candidate = text(*[2.0] * 40), text(*[4.0] * 20, words=[f"w{number}" for number in range(20)])

    found = judge_numbers([TextPair(parent, candidate)], CHECK)

    assert found.report.parent_perplexity == found.report.candidate_perplexity
    assert found.report.likeliest_compared == 0
    assert found.verdict is Verdict.PASSED


def test_garbage_in_other_tokens_fails_too():
    parent, candidate = text(*[2.0] * 40), text(*[25.0] * 20, words=[f"w{number}" for number in range(20)])

    assert judge_numbers([TextPair(parent, candidate)], CHECK).verdict is Verdict.FAILED


def test_one_vanished_token_alone_refuses_nobody():
    assert judged([1.0] * 40, [1.0] * 39 + [math.inf]).verdict is Verdict.PASSED
    assert judged([1.0] * 40, [1.0] * 39 + [3.4e38]).verdict is Verdict.PASSED


@given(st.lists(NATS, min_size=24, max_size=200))
def test_a_candidate_equal_to_its_parent_never_fails(nats):
    assert judged(nats, nats).verdict is not Verdict.FAILED


@given(st.lists(st.tuples(st.floats(0, 6), st.floats(0, 30)), min_size=24, max_size=200), st.floats(0, 20))
def test_more_loss_never_turns_a_refusal_into_a_pass(tokens, more):
    parent = [theirs for theirs, _ in tokens]
    less, worse = judged(parent, [ours for _, ours in tokens]), judged(parent, [ours + more for _, ours in tokens])

    assert less.verdict is not Verdict.FAILED or worse.verdict is Verdict.FAILED


@given(st.lists(st.tuples(NATS | st.none(), NATS | st.none()), max_size=120), st.randoms())
def test_the_order_of_texts_changes_nothing(tokens, chance):
    pairs = [pair([theirs], [ours]) for theirs, ours in tokens]
    mixed = chance.sample(pairs, len(pairs))

    assert judge_numbers(pairs, CHECK).verdict is judge_numbers(mixed, CHECK).verdict


@given(
    st.lists(st.one_of(st.none(), st.floats(allow_nan=False, min_value=0)), max_size=60),
    st.lists(st.one_of(st.none(), st.floats(allow_nan=False, min_value=0)), max_size=60),
)
def test_whatever_engines_print_ends_in_a_report_that_is_json(parent, candidate):
    found = judge_numbers([TextPair(text(*parent), text(*candidate))], CHECK)
    report = GateReport(
        gate="compatibility", revision="r", verdict=found.verdict, message=found.message, numeric=found.report
    )

    assert GateReport.model_validate_json(report.fit_into().to_json()).verdict is found.verdict
    assert "nan" not in found.message and "inf " not in found.message


@given(st.lists(st.tuples(NATS, st.booleans()), min_size=30, max_size=200))
def test_numbers_are_missed_at_the_candidate_only_where_the_parent_has_them(tokens):
    parent = [nats for nats, _ in tokens]
    candidate = [nats if told else None for nats, told in tokens]
    missing = candidate.count(None)

    found = judged(parent, candidate)

    assert (found.verdict is Verdict.FAILED) == (100 * missing > 10 * len(tokens))
