import pytest

from bitshift_core.traffic.precedence import (
    Match,
    can_meet,
    compare,
    covers,
    effective_hostname,
    host_in_common,
)
from tests.bitshift_core.traffic.builders import CHAT, a_match

LADDER = [
    ("", a_match("/")),
    ("", a_match(exact=CHAT)),
    ("*.example.com", a_match("/")),
    ("llm.example.com", a_match("/")),
    ("llm.example.com", a_match("/", query={"a": "1"})),
    ("llm.example.com", a_match("/", headers={"a": "1"})),
    ("llm.example.com", a_match("/", method="POST")),
    ("llm.example.com", a_match("/v1")),
    ("llm.example.com", a_match("/v1/chat", headers={"a": "1"})),
    ("llm.example.com", a_match(exact=CHAT)),
    ("llm.example.com", a_match(exact=CHAT, query={"a": "1", "b": "1"})),
    ("llm.example.com", a_match(exact=CHAT, headers={"a": "1"})),
    ("llm.example.com", a_match(exact=CHAT, headers={"a": "1", "b": "1"})),
    ("llm.example.com", a_match(exact=CHAT, method="POST")),
]


@pytest.mark.parametrize("lower", range(len(LADDER)))
def test_each_match_is_less_specific_than_all_after_it(lower):
    host, match = LADDER[lower]
    for higher, (other_host, other) in enumerate(LADDER):
        order = compare(Match.from_manifest(other), other_host, Match.from_manifest(match), host)
        assert order == (higher > lower) - (higher < lower)


def test_a_regular_expression_has_no_place_that_one_could_rely_on_unless_the_hostname_decides():
    expression = Match("RegularExpression", "/v1/.*")

    assert compare(expression, "a", Match(), "a") is None
    assert compare(expression, "", Match(), "a") == -1


def test_header_names_are_compared_without_case_and_only_the_first_of_a_name_counts():
    headers = [{"name": "X-A", "value": "1"}, {"name": "x-a", "value": "2"}]

    assert Match.from_manifest({"headers": headers}).headers == (("x-a", "Exact", "1"),)


@pytest.mark.parametrize(
    ("prefix", "covered"),
    [("/", True), ("/v1", True), ("/v1/", True), ("/v", False), ("/v1/chat/completions/x", False)],
)
def test_a_prefix_covers_whole_path_elements(prefix, covered):
    assert covers(Match(path=prefix), CHAT) is covered


def test_an_expression_that_cannot_be_read_is_believed_to_match():
    assert covers(Match("RegularExpression", "(?<x"), CHAT)


def test_two_values_of_one_header_never_meet_but_a_header_of_any_value_does():
    ours = Match("Exact", CHAT).with_header("x-model", "llama")

    assert not can_meet(ours, Match.from_manifest(a_match("/", headers={"x-model": "qwen"})))
    assert can_meet(ours, Match.from_manifest(a_match("/", headers={"x-other": "1"})))
    assert can_meet(Match("Exact", CHAT).with_header("x-t", "", "AnyValue"), Match(headers=(("x-t", "Exact", "acme"),)))


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        ("", "", ""),
        ("", "a.io", "a.io"),
        ("*.io", "a.io", "a.io"),
        ("*.io", "*.a.io", "*.a.io"),
        ("*.a.io", "a.io", None),
        ("a.io", "b.io", None),
    ],
)
def test_hostnames_meet_in_the_narrower_one(one, other, common):
    assert host_in_common(one, other) == host_in_common(other, one) == common


def test_the_most_specific_hostname_of_a_route_counts():
    assert effective_hostname(("*.io", "*.a.io", "x.a.io"), "x.a.io") == "x.a.io"
    assert effective_hostname(("*.io", "*.a.io"), "x.a.io") == "*.a.io"
    assert effective_hostname((), "x.a.io") == ""
