import json

import pytest

from bitshift_core.evidence.report import Verdict
from bitshift_runtime.evaluate.command import run_gate
from bitshift_runtime.evaluate.config import GateConfig
from bitshift_runtime.evaluate.delivery import scores
from tests.fake_openai import FakeEngine, serving

NUMBERS = [{"name": f"i{number}", "prompt": f"Say {number}", "expected": [str(number)]} for number in range(150)]


def a_suite(**changes):
    return {"name": "numbers", "scorer": "Contains", "marginPoints": 5, "items": NUMBERS} | changes


def echo(prompt):
    return prompt.removeprefix("Say ")


def damaged(every):
    return lambda prompt: "" if int(echo(prompt)) % every == 0 else echo(prompt)


async def gate(tmp_path, candidate, parent, *suites, **changes):
    async with serving(candidate, parent):
        config = GateConfig.model_validate(
            {"gate": "quality", "revision": "r1", "suites": suites or (a_suite(),)}
            | {"candidate": candidate.side.as_json(), "parent": parent.side.as_json()}
            | changes
        )
        return await run_gate(config, tmp_path)


@pytest.mark.long
async def test_a_candidate_as_good_as_its_parent_passes_before_all_items_are_asked(tmp_path):
    report, (asked,) = await gate(tmp_path, FakeEngine(reply=echo), FakeEngine(reply=echo))

    assert report.verdict is Verdict.PASSED
    assert len(asked.pairs) < 150
    assert report.suites[0].items == len(asked.pairs)


async def test_a_damaged_candidate_fails_and_the_next_suite_is_not_asked(tmp_path):
    candidate, parent = FakeEngine(reply=damaged(2)), FakeEngine(reply=echo)

    report, done = await gate(tmp_path, candidate, parent, a_suite(), a_suite(name="second"))

    assert report.verdict is Verdict.FAILED
    assert [asked.suite.name for asked in done] == ["numbers"]
    assert "lost" in report.message
    assert "1 more suite was not asked" in report.message


async def test_too_few_items_are_inconclusive_and_say_what_they_could_certify(tmp_path):
    suite = a_suite(items=NUMBERS[:12])

    report, _ = await gate(tmp_path, FakeEngine(reply=echo), FakeEngine(reply=echo), suite)

    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.suites[0].certifiable_margin_points > 5
    assert report.suites[0].missing_items > 0


async def test_a_parent_below_the_floor_passes_nothing_and_is_soon_left_alone(tmp_path):
    report, (asked,) = await gate(tmp_path, FakeEngine(), FakeEngine(), a_suite(floorPercent=60))

    assert report.verdict is Verdict.INCONCLUSIVE
    assert "floor" in report.message
    assert len(asked.pairs) < 60


async def test_a_lost_critical_item_fails_at_once(tmp_path):
    items = [item | {"critical": item["name"] == "i77"} for item in NUMBERS]
    candidate = FakeEngine(reply=lambda prompt: "no" if prompt == "Say 77" else echo(prompt))

    report, (asked,) = await gate(tmp_path, candidate, FakeEngine(reply=echo), a_suite(items=items))

    assert report.verdict is Verdict.FAILED
    assert "'i77'" in report.message
    assert len(asked.pairs) == 1


async def test_an_agreeing_candidate_passes_and_a_drifting_one_fails(tmp_path):
    suite = a_suite(scorer="Agreement", marginPoints=10)
    parent = FakeEngine(reply=lambda prompt: f"{prompt} and then some more words follow here")
    drifting = FakeEngine(reply=lambda prompt: f"{prompt} or else")

    same, _ = await gate(tmp_path, FakeEngine(reply=parent.reply), parent, suite)
    other, _ = await gate(tmp_path, drifting, parent, suite)

    assert same.verdict is Verdict.PASSED
    assert other.verdict is Verdict.FAILED


@pytest.mark.long
async def test_time_that_runs_out_is_inconclusive_and_said(tmp_path):
    slow = FakeEngine(reply=echo, answer_seconds=0.2)

    report, _ = await gate(tmp_path, slow, FakeEngine(reply=echo), maxSeconds=1)

    assert report.verdict is Verdict.INCONCLUSIVE
    assert "ran out" in report.message
    assert "maxSeconds" in report.message


async def test_a_candidate_that_answers_with_errors_loses_and_the_report_says_how(tmp_path):
    report, _ = await gate(tmp_path, FakeEngine(reply=echo, status=lambda prompt: 500), FakeEngine(reply=echo))

    assert report.verdict is Verdict.FAILED
    assert "HTTP 500" in report.message


async def test_a_parent_without_answers_is_not_held_against_the_candidate(tmp_path):
    parent = FakeEngine(reply=echo, status=lambda prompt: 503)

    report, _ = await gate(tmp_path, FakeEngine(reply=echo), parent, a_suite(items=NUMBERS[:30]))

    assert report.verdict is Verdict.INCONCLUSIVE


async def test_a_suite_at_fault_is_named_and_nothing_is_asked(tmp_path):
    candidate = FakeEngine()

    report, done = await gate(tmp_path, candidate, FakeEngine(), a_suite(items=[{"name": "a", "prompt": "?"}]))

    assert (report.verdict, done) == (Verdict.INCONCLUSIVE, ())
    assert "expects nothing" in report.message
    assert candidate.order == []


async def test_items_may_come_from_a_mounted_config_map(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "items.jsonl").write_text("\n".join(json.dumps(item) for item in NUMBERS))
    suite = a_suite(items=[], configMap={"name": "mine"})

    report, _ = await gate(tmp_path, FakeEngine(reply=echo), FakeEngine(reply=echo), suite)

    assert report.verdict is Verdict.PASSED


async def test_a_broken_line_of_items_is_named_without_its_text(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "items.jsonl").write_text('{"name": "a", "prompt": "?"}\n{"name": "B", "prompt": "secret"}')

    report, _ = await gate(tmp_path, FakeEngine(), FakeEngine(), a_suite(items=[], configMap={"name": "mine"}))

    assert "line 2" in report.message
    assert "secret" not in report.message


async def test_neither_report_nor_scores_nor_progress_hold_a_text(tmp_path, capsys):
    items = [{"name": f"i{n}", "prompt": f"Say {n} secretly", "expected": [f"word{n}"]} for n in range(40)]
    parent = FakeEngine(reply=lambda prompt: f"word{prompt.split()[1]} whispered")

    report, (asked,) = await gate(tmp_path, FakeEngine(), parent, a_suite(items=items))

    told = report.to_json() + scores(asked) + capsys.readouterr().out
    assert not any(text in told for text in ("secret", "word1", "whispered", "I do not know"))
    assert json.loads(scores(asked).splitlines()[0])["parent"] == 1


async def test_without_a_parent_there_is_nothing_to_compare_with(tmp_path):
    async with serving(candidate := FakeEngine()):
        config = GateConfig.model_validate(
            {"gate": "quality", "revision": "r1", "suites": [a_suite()], "candidate": candidate.side.as_json()}
        )
        report, _ = await run_gate(config, tmp_path)

    assert report.verdict is Verdict.INCONCLUSIVE
