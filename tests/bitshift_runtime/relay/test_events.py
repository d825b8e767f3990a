from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bitshift_runtime.relay.events import EventLines

STREAM = 'data: {"a":"é"}\n\n: comment\ndata:[1]\r\n\r\nevent: x\ndata: [DONE]\n\n'.encode()
PAYLOADS = ['{"a":"é"}'.encode(), b"[1]", b"[DONE]"]


@given(st.lists(st.integers(0, len(STREAM))))
def test_payloads_are_the_same_however_the_stream_is_cut(cuts):
    lines, edges = EventLines(), [0, *sorted(cuts), len(STREAM)]

    found = [payload for start, end in pairwise(edges) for payload in lines.feed(STREAM[start:end])]
    assert found == PAYLOADS


def test_a_last_line_counts_without_its_newline():
    lines = EventLines()

    assert lines.feed(b"data: 1\ndata: 2") == [b"1"]
    assert lines.finish() == [b"2"]


def test_a_line_that_is_too_long_is_dropped_and_the_next_is_read():
    lines = EventLines(longest_bytes=100)
    for _ in range(50):
        assert lines.feed(b"data: " + b"x" * 60) == []

    assert lines.feed(b"x\ndata: 2\n") == [b"2"]
