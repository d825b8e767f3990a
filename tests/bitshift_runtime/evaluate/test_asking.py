import asyncio

from bitshift_core.api.catalogue import Item
from bitshift_runtime.evaluate.asking import Asked, ask_suite, request_of, shuffled
from bitshift_runtime.evaluate.config import SuiteConfig
from bitshift_runtime.evaluate.endpoint import Endpoint
from tests.fake_openai import FakeEngine, serving


def a_suite(count=6, **changes):
    items = tuple(Item(name=f"i{number}", prompt=f"Say {number}", expected=(str(number),)) for number in range(count))
    return SuiteConfig(**({"name": "numbers", "scorer": "Contains", "items": items} | changes))


def echo(prompt):
    return prompt.removeprefix("Say ")


async def ask(suite, candidate, parent, *, enough=lambda asked: False, seconds=10.0, pairs_in_flight=2):
    asked = Asked(suite, len(suite.items))
    async with (
        serving(candidate, parent),
        Endpoint("candidate", candidate.side, request_seconds=5) as ours,
        Endpoint("parent", parent.side, request_seconds=5) as theirs,
    ):
        deadline = asyncio.get_running_loop().time() + seconds
        await ask_suite(
            asked,
            suite.items,
            (ours, theirs),
            pairs_in_flight=pairs_in_flight,
            deadline=deadline,
            enough=enough,
            progress=lambda asked: None,
        )
    return asked


async def test_both_sides_are_asked_the_same_items_in_the_same_order():
    candidate, parent = FakeEngine(reply=echo), FakeEngine(reply=echo)

    asked = await ask(a_suite(), candidate, parent, pairs_in_flight=1)

    assert candidate.order == parent.order
    assert sorted(candidate.order) == [f"Say {number}" for number in range(6)]
    assert [pair.outcome for pair in asked.pairs] == [(1, 1)] * 6


async def test_what_the_candidate_loses_is_a_pair_of_one_and_zero():
    candidate, parent = FakeEngine(), FakeEngine(reply=echo)

    asked = await ask(a_suite(), candidate, parent)

    assert {pair.outcome for pair in asked.pairs} == {(1, 0)}


async def test_an_error_of_the_candidate_loses_the_item_and_one_of_the_parent_voids_it():
    candidate = FakeEngine(reply=echo, status=lambda prompt: 500 if prompt == "Say 1" else 200)
    parent = FakeEngine(reply=echo, status=lambda prompt: 500 if prompt == "Say 2" else 200)

    asked = await ask(a_suite(), candidate, parent)

    assert {pair.item for pair in asked.judged} == {"i0", "i1", "i3", "i4", "i5"}
    assert {pair.item: pair.outcome for pair in asked.judged}["i1"] == (1, 0)
    assert asked.failures("candidate") == ["HTTP 500"]
    assert asked.failures("parent") == ["HTTP 500"]


async def test_asking_ends_as_soon_as_the_evidence_is_enough():
    candidate, parent = FakeEngine(reply=echo), FakeEngine(reply=echo)

    asked = await ask(a_suite(50), candidate, parent, enough=lambda asked: len(asked.pairs) == 3)

    assert len(asked.pairs) == 3
    assert len(candidate.order) <= 5


async def test_the_deadline_ends_the_asking_and_keeps_what_is_there():
    candidate, parent = FakeEngine(reply=echo, answer_seconds=0.05), FakeEngine(reply=echo)

    asked = await ask(a_suite(200), candidate, parent, seconds=0.3)

    assert asked.out_of_time
    assert 0 < len(asked.pairs) < 200


def test_critical_items_are_asked_first_and_the_order_never_changes():
    items = [Item(name=f"i{number}", prompt="?", critical=number in (7, 13)) for number in range(20)]

    assert {item.name for item in shuffled("s", items)[:2]} == {"i7", "i13"}
    assert shuffled("s", items) == shuffled("s", items)
    assert {item.name for item in shuffled("s", items)} == {item.name for item in items}


def test_a_constrained_suite_asks_the_engine_to_enforce_its_schema():
    schema = {"type": "object"}
    suite = a_suite(scorer="JsonSchema", json_schema=schema, constrained=True, system_prompt="Be brief.", max_tokens=9)

    messages, parameters = request_of(suite, suite.items[0])

    assert [message["role"] for message in messages] == ["system", "user"]
    assert parameters["response_format"]["json_schema"]["schema"] == schema
    assert parameters["max_tokens"] == 9


async def test_agreement_counts_the_words_up_to_where_the_answers_part():
    candidate, parent = FakeEngine(reply=lambda prompt: "one two x y"), FakeEngine(reply=lambda prompt: "one two 3 4")

    asked = await ask(a_suite(2, scorer="Agreement"), candidate, parent)

    assert [pair.outcome for pair in asked.pairs] == [(2, 3), (2, 3)]
