"""The numeric check against engines on loopback, whose knowledge and dialect a test decides."""

import math

import pytest

from bitshift_core.evidence.numeric import NumericCheck
from bitshift_core.evidence.report import Verdict
from bitshift_core.evidence.texts import TEXTS
from bitshift_runtime.evaluate.command import run_gate
from bitshift_runtime.evaluate.config import GateConfig
from bitshift_runtime.evaluate.endpoint import UnreachableError
from bitshift_runtime.evaluate.logprobs import number
from bitshift_runtime.evaluate.numeric import beginnings, check_numbers
from tests.fake_language import Language
from tests.fake_openai import FakeEngine, serving

pytestmark = pytest.mark.long

LOSSY, GARBAGE, SILENT = Language(noise=0.7), Language(knows=False), None
LLAMA_CPP = {"scores_texts": False}
CHATS_ONLY = {"scores_texts": False, "completions": False}


async def gate(tmp_path, candidate, parent, **check):
    async with serving(candidate, parent):
        sides = {"candidate": candidate.side, "parent": parent.side}
        config = GateConfig(gate="compatibility", revision="r1", numeric=NumericCheck(**check), **sides)
        report, _ = await run_gate(config, tmp_path)
        return report


@pytest.mark.parametrize(("dialect", "way"), [({}, "Texts"), (LLAMA_CPP, "NextTokens"), (CHATS_ONLY, "Answers")])
async def test_the_same_model_passes_in_every_dialect(tmp_path, dialect, way):
    report = await gate(tmp_path, FakeEngine(**dialect), FakeEngine(**dialect))

    assert report.verdict is Verdict.PASSED
    assert report.numeric.way == way
    assert report.numeric.parent_perplexity == report.numeric.candidate_perplexity
    assert report.numeric.likeliest_same == report.numeric.likeliest_compared == report.numeric.tokens > 40
    assert "perplexity of" in report.message and "Unknown: the vocabulary." in report.message


@pytest.mark.parametrize("dialect", [{}, LLAMA_CPP, CHATS_ONLY])
async def test_an_honest_loss_passes_with_its_figures(tmp_path, dialect):
    report = await gate(tmp_path, FakeEngine(language=LOSSY, **dialect), FakeEngine(**dialect))

    assert report.verdict is Verdict.PASSED
    assert report.numeric.candidate_perplexity > report.numeric.parent_perplexity


@pytest.mark.parametrize(("dialect", "bound"), [({}, ""), (LLAMA_CPP, "at least "), (CHATS_ONLY, "at least ")])
async def test_a_kernel_that_runs_and_answers_garbage_is_refused_with_numbers(tmp_path, dialect, bound):
    report = await gate(tmp_path, FakeEngine(language=GARBAGE, **dialect), FakeEngine(**dialect))

    assert (report.verdict, report.reason) == (Verdict.FAILED, "WrongNumbers")
    assert report.message.startswith("The candidate answers, but not as the parent's model: perplexity of")
    assert f"at the parent, {bound}" in report.message
    assert report.numeric.candidate_perplexity > 10 * report.numeric.parent_perplexity
    assert "another kernel" in report.message


async def test_no_token_of_a_text_stands_in_a_report(tmp_path):
    report = await gate(tmp_path, FakeEngine(language=GARBAGE), FakeEngine())

    for words in (text[:12] for text in TEXTS):
        assert words not in report.to_json()


async def test_engines_of_two_dialects_meet_in_the_one_that_both_know(tmp_path):
    report = await gate(tmp_path, FakeEngine(language=LOSSY, **LLAMA_CPP), FakeEngine())

    assert (report.verdict, report.numeric.way) == (Verdict.PASSED, "NextTokens")


@pytest.mark.parametrize("dialect", [{}, LLAMA_CPP])
@pytest.mark.parametrize("number", [lambda value: math.nan, lambda value: None, lambda value: "?", lambda value: 7.5])
async def test_a_candidate_that_prints_no_numbers_is_refused(tmp_path, dialect, number):
    report = await gate(tmp_path, FakeEngine(number=number, **dialect), FakeEngine(**dialect))

    assert (report.verdict, report.reason) == (Verdict.FAILED, "WrongNumbers")
    assert "it gave no number for" in report.message


async def test_a_candidate_that_breaks_where_the_parent_answers_is_refused(tmp_path):
    report = await gate(tmp_path, FakeEngine(scoring_status=500), FakeEngine())

    assert (report.verdict, report.reason) == (Verdict.FAILED, "WrongNumbers")
    assert "asked for log-probabilities it ended with HTTP 500 4 times of 4" in report.message


@pytest.mark.parametrize(
    ("candidate", "parent", "why"),
    [
        ({"language": SILENT}, {}, "the candidate's engine tells no log-probabilities: no log-probabilities"),
        ({}, {"language": SILENT}, "the parent's engine tells no log-probabilities: no log-probabilities"),
        ({"scoring_status": 400}, {}, "the candidate's engine tells no log-probabilities: HTTP 400"),
        ({"scoring_status": 500}, {"scoring_status": 500}, "the parent's engine tells no log-probabilities: HTTP 500"),
        ({}, {"number": lambda value: None}, "the parent gave no number for"),
    ],
)
async def test_an_engine_without_log_probabilities_is_unknown_and_said_so(tmp_path, candidate, parent, why):
    report = await gate(tmp_path, FakeEngine(**candidate), FakeEngine(**parent))

    assert report.verdict is Verdict.PASSED
    assert f"Unknown: the vocabulary, the numbers ({why}" in report.message
    assert report.numeric is None


class Gone:
    """An engine that the first question about log-probabilities ended."""

    model = "m"

    async def send(self, method, path, body=None):
        raise UnreachableError("The parent could not be connected to in 4 attempts.")


async def test_engines_that_the_question_itself_ends_are_unknown_and_why_is_said():
    verdict = await check_numbers(NumericCheck(), Gone(), Gone())

    assert verdict.verdict is Verdict.INCONCLUSIVE
    assert (
        "The parent could not be connected to in 4 attempts after a question for log-probabilities" in verdict.message
    )
    assert "TORCHDYNAMO_DISABLE=1" in verdict.message


async def test_a_parent_that_does_not_know_the_texts_judges_nobody(tmp_path):
    report = await gate(tmp_path, FakeEngine(), FakeEngine(language=GARBAGE), parent_perplexity=100)

    assert report.verdict is Verdict.PASSED
    assert "the parent itself finds the texts unlikely" in report.message


@pytest.mark.alone
async def test_slow_engines_are_judged_by_what_they_said_in_time(tmp_path):
    slow = {"answer_seconds": 0.4}

    report = await gate(tmp_path, FakeEngine(**slow), FakeEngine(**slow), seconds=1)

    assert report.verdict is Verdict.PASSED
    assert 0 < report.numeric.texts < len(TEXTS)


async def test_what_comes_too_late_is_unknown(tmp_path):
    slow = {"answer_seconds": 1.2}

    report = await gate(tmp_path, FakeEngine(**slow), FakeEngine(**slow), seconds=1)

    assert "the numbers (no answer within 1 s)" in report.message


async def test_numbers_are_not_asked_for_where_something_else_differs_already(tmp_path):
    candidate = FakeEngine(tokenizer_offset=1)

    report = await gate(tmp_path, candidate, FakeEngine())

    assert report.verdict is Verdict.FAILED
    assert candidate.completed == []


async def test_both_sides_are_asked_the_same_texts_greedily_and_the_parent_what_it_would_go_on_with(tmp_path):
    candidate, parent = FakeEngine(), FakeEngine()

    await gate(tmp_path, candidate, parent)

    scored = [body for body in parent.completed if body.get("echo")]
    assert scored == candidate.completed
    assert {body["temperature"] for body in scored} == {0}
    for text, body in zip(TEXTS, scored, strict=True):
        assert body["prompt"].startswith(text) and body["prompt"] != text


def test_beginnings_of_a_text_end_with_words_where_words_are_spaced():
    assert beginnings("one two three four") == ("one two", "one two three")
    assert len(beginnings("水在一百度时沸腾，在零度时结冰")) == 4
    assert beginnings("a") == ("a",)


def test_infinity_below_is_a_number_and_what_is_no_log_probability_is_none():
    assert number(-math.inf) == -math.inf
    assert number(0) == 0.0
    assert [number(value) for value in (math.nan, math.inf, 0.5, True, "-1", None, [])] == [None] * 7
