import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitshift_runtime.relay.answer import Answer, asks_for_json
from bitshift_runtime.relay.dialects import dialect_of
from tests.examples import examples

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages?beta=true"


def answer(path: str, *events: dict, request_body: bytes = b"") -> Answer:
    made = Answer(request_body)
    for event in events:
        for piece in dialect_of(path)(event):
            made.add(piece)
    return made


def choice(finish: str | None = None, index: int = 0, **delta) -> dict:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def whole(**message) -> dict:
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    ("path", "event"),
    [
        (CHAT, whole(content="Paris")),
        (CHAT, whole(content=[{"type": "text", "text": "Paris"}])),
        (CHAT, whole(content=None, reasoning_content="Hmm")),
        (CHAT, whole(content=None, tool_calls=[{"function": {"name": "f", "arguments": "{}"}}])),
        ("/v1/completions", {"choices": [{"text": "Paris", "finish_reason": "length"}]}),
        ("/completion", {"content": "Paris", "stop": True}),
        (RESPONSES, {"output": [{"type": "message", "content": [{"type": "output_text", "text": "Paris"}]}]}),
        (RESPONSES, {"output": [{"type": "function_call", "name": "f", "arguments": "{}"}]}),
        (MESSAGES, {"type": "message", "content": [{"type": "text", "text": "Paris"}]}),
        (MESSAGES, {"type": "message", "content": [{"type": "tool_use", "name": "f", "input": {}}]}),
    ],
)
def test_a_good_whole_answer_is_complete_and_without_fault(path, event):
    made = answer(path, event)

    assert (made.is_complete, made.faults()) == (True, ())


@pytest.mark.parametrize(
    ("path", "events"),
    [
        (RESPONSES, [{"type": "response.output_text.delta", "delta": "Paris"}, {"type": "response.completed"}]),
        (
            MESSAGES,
            [
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Paris"}},
                {"type": "message_stop"},
            ],
        ),
        (
            MESSAGES,
            [
                {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "name": "f"}},
                {"type": "content_block_delta", "index": 1, "delta": {"partial_json": '{"a": '}},
                {"type": "content_block_delta", "index": 1, "delta": {"partial_json": "1}"}},
                {"type": "message_stop"},
            ],
        ),
    ],
)
def test_a_good_streamed_answer_of_another_api_is_complete_and_without_fault(path, events):
    assert not answer(path, *events[:-1]).is_complete
    assert (answer(path, *events).is_complete, answer(path, *events).faults()) == (True, ())


@pytest.mark.parametrize(
    ("event", "fault"),
    [
        (whole(content=""), "empty"),
        (whole(content=" \n"), "empty"),
        ({}, "empty"),
        (whole(content="no " * 400), "repeating"),
        (whole(reasoning_content="Wait, let me think again. " * 40), "repeating"),
        (whole(tool_calls=[{"function": {"name": "f", "arguments": '{"a"'}}]), "broken_tool"),
        (whole(tool_calls=[{"function": {"arguments": "{}"}}]), "broken_tool"),
        (whole(content="I'm sorry, but I can't help with that."), "refusal"),
        (whole(content=None, refusal="No."), "refusal"),
    ],
)
def test_what_is_wrong_is_named(event, fault):
    assert answer(CHAT, event).faults() == (fault,)


def test_arguments_of_several_calls_are_put_together_apart():
    calls = [
        choice(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": '{"a"'}}]),
        choice(tool_calls=[{"index": 1, "function": {"name": "g", "arguments": '{"b"'}}]),
        choice(tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}]),
        choice("tool_calls", tool_calls=[{"index": 1, "function": {"arguments": ": 2}"}}]),
    ]

    assert answer(CHAT, *calls).faults() == ()
    assert answer(CHAT, *calls[:-1]).faults() == ("broken_tool",)


def test_an_answer_of_several_choices_ends_with_the_last_and_is_as_bad_as_its_worst():
    events = [choice(content="Paris"), choice(index=1, content=" "), choice("stop"), choice("stop", index=1)]

    assert not answer(CHAT, *events[:-1]).is_complete
    assert answer(CHAT, *events).is_complete
    assert answer(CHAT, *events).faults() == ("empty",)


def test_an_error_inside_an_answer_leaves_it_incomplete():
    assert not answer(CHAT, choice(content="Par"), {"error": {"message": "died"}}, choice("stop")).is_complete


def test_json_too_long_to_be_kept_is_given_the_benefit_of_the_doubt():
    asked = b'{"response_format": {"type": "json_object"}}'
    made = answer(CHAT, *[choice(content="[" + "9," * 32_768)] * 20, request_body=asked)

    assert "broken_json" not in made.faults()


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ({"response_format": {"type": "json_object"}}, True),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, True),
        ({"text": {"format": {"type": "json_schema"}}}, True),
        ({"output_config": {"format": {"type": "json_schema"}}}, True),
        ({"json_schema": {"type": "object"}, "prompt": ""}, True),
        ({"response_format": {"type": "text"}, "messages": [{"content": "json_object"}]}, False),
        ({"messages": []}, False),
    ],
)
def test_whether_json_was_asked_for_is_read_from_the_request(body, asked):
    assert asks_for_json(json.dumps(body).encode()) == asked


def test_other_endpoints_have_no_dialect():
    assert dialect_of("/v1/embeddings") is None
    assert dialect_of("/v1/chat/completions?x=/v1/models") is not None


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "delta", "message", "content", "tool_calls", "function", "index", "type", "item"]
            ),
            inner,
            max_size=4,
        )
    ),
)


@settings(max_examples=examples(60))
@given(st.dictionaries(st.sampled_from(["choices", "content", "type", "delta", "output", "error", "item"]), anything))
def test_strange_events_of_known_shape_are_read_without_harm(event):
    for path in (CHAT, RESPONSES, MESSAGES):
        answer(path, event).faults()
