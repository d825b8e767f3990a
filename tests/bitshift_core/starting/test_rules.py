from string import Formatter

import pytest

from bitshift_core.starting.rules import ANY, FETCH, STAGES
from tests.bitshift_core.starting.excerpts import FAILURES, RULES
from tests.engine_profiles import ENGINES

FAILURE_RULES = [(name, rule) for name, lines in RULES.engines.items() for rule in lines.failures]


def test_every_engine_that_ships_with_a_profile_has_rules():
    assert set(ENGINES) == set(RULES.engines) - {ANY, FETCH}


@pytest.mark.parametrize(("name", "rule"), FAILURE_RULES)
def test_a_sentence_quotes_only_what_its_pattern_names_and_tells_the_way_out(name, rule):
    quoted = {field for _, field, _, _ in Formatter().parse(rule.sentence) if field}

    assert quoted <= set(rule.expression.groupindex)
    assert "`" in rule.sentence or "retry" in rule.sentence


@pytest.mark.parametrize("name", RULES.engines)
def test_progress_has_both_numbers_and_a_report_has_what_it_tells(name):
    lines = RULES.engines[name]
    wanted = {"modelBytes": {"size"}, "kvTokens": {"tokens"}, "kernel": {"kernel"}}

    for rule in lines.stages:
        assert set(rule.expression.groupindex) in (set(), {"done", "total"})
    for report in lines.reports:
        assert report.says or wanted[report.tells] <= set(report.expression.groupindex)


def test_the_stages_of_an_engine_stand_in_the_order_in_which_it_prints_them():
    for lines in RULES.engines.values():
        order = [STAGES.index(rule.stage) for rule in lines.stages]
        assert order == sorted(order)


def test_most_rules_are_held_against_a_line_that_was_really_printed():
    seen = {reason for _, _, _, reason, _ in FAILURES}

    assert {rule.reason for name, rule in FAILURE_RULES if name == "vllm"} - seen <= {"TooFewNumaNodes"}
