"""No log whatsoever crashes the reading, or makes a status text longer than its bound."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitshift_core.starting.reading import LONGEST_SENTENCE, EngineReport, read_log
from tests.bitshift_core.starting.excerpts import FAILURES, REPORTS, RULES, STAGES

REAL = [line for case in (*STAGES, *FAILURES, *REPORTS) for line in case[2].splitlines()]
RUNTIMES = ("vllm", "llamacpp", "sglang", "tgi", "tensorrt-llm", "unheard-of")
noise = st.text(max_size=200)
numbers = st.sampled_from(["9" * 400, "-1", "1e999", "nan", ".", "", "٣", "0"])


@st.composite
def hostile_lines(draw):
    """Real lines with anything in place of a piece of them, above all of their numbers."""
    line = draw(st.sampled_from(REAL))
    start = draw(st.integers(0, len(line)))
    end = draw(st.integers(start, min(len(line), start + 8)))
    return line[:start] + draw(numbers | noise) + line[end:]


logs = st.lists(hostile_lines() | noise | st.sampled_from(REAL), max_size=12).flatmap(
    lambda lines: st.sampled_from(["\n", "\r", "\r\n", "\u2028", "\x00\n"]).map(lambda end: end.join(lines))
)


@given(logs, st.sampled_from(RUNTIMES))
def test_no_log_crashes_the_reading_or_breaks_a_bound(log, runtime):
    found = read_log(RULES.of(runtime), log)

    if found.failure:
        assert len(found.failure.message) <= LONGEST_SENTENCE
        assert found.failure.message.isprintable()
    if found.progress:
        assert 0 <= found.progress.done <= found.progress.total
    noted = found.report.model_dump_json(by_alias=True)
    assert len(noted) < 1_000
    assert EngineReport.model_validate_json(noted) == found.report


@given(st.text(alphabet="ABCabc123 .,:<>&\"'`$\\\u202e\x1b", min_size=1, max_size=300))
def test_nothing_but_short_plain_words_comes_out_of_a_log(words):
    log = f"Model architectures ['{words}'] are not supported\nerror: unrecognized arguments: --{words}"
    found = read_log(RULES.of("vllm"), log).failure

    assert found is None or not set('<>&"$\\\u202e\x1b') & set(found.message)


@pytest.mark.parametrize("text", [
    "Capturing CUDA graphs " + "|" * 100_000, "a" * 1_000_000, "Free memory on device (" + "9" * 100_000,
    "max seq len (1), (" * 5_000, "Quantization scheme is not supported for " + "', " * 50_000,
    "x: 1 of 2\n" * 100_000,
])  # fmt: skip
def test_a_log_made_to_take_long_does_not(text):
    began = time.process_time()
    read_log(RULES.of("unheard-of"), text)

    assert time.process_time() - began < 2
