import pytest

from bitshift_core.api.catalogue import Item, Scorer
from bitshift_runtime.evaluate.scoring import fault, occurs, satisfies, score, words

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}


@pytest.mark.parametrize(
    ("expected", "answer", "is_there"),
    [
        ("Paris", "The capital is PARIS.", True),
        ("7", "3 + 4 = 7", True),
        ("7", "3 + 14 = 17", False),
        ("cat", "They concatenate", False),
        ("Straße", "die STRASSE dort", True),
        ("C++", "I like C++.", True),
        ("巴黎", "法国的首都是巴黎。", True),
        ("Москва", "Столица: Москва!", True),
        ("Москва", "москвабад", False),
        ("", "anything", False),
    ],
)
def test_an_expected_text_occurs_only_as_whole_words(expected, answer, is_there):
    assert occurs(expected, answer) is is_there


def test_any_of_the_expected_texts_is_enough():
    item = Item(name="a", prompt="?", expected=("Kyiv", "Kiev"))

    assert score(Scorer.CONTAINS, item, "It is Kiev.") == 1
    assert score(Scorer.CONTAINS, item, "It is Lviv.") == 0


def test_a_pattern_is_searched_for_in_the_whole_answer():
    item = Item(name="a", prompt="?", expected=(r"^\d{3}-\d{4}$",))

    assert score(Scorer.REGEX, item, "555-1234") == 1
    assert score(Scorer.REGEX, item, "call 555-1234") == 0


@pytest.mark.parametrize(
    ("answer", "is_valid"),
    [
        ('{"name": "Anna", "age": 31}', True),
        ('```json\n{"name": "Anna", "age": 31}\n```', True),
        (' {"name": "anna ", "age": 31, "more": 1}', True),
        ('{"name": "Anna", "age": 32}', False),
        ('{"name": "Anna", "age": 31.5}', False),
        ('{"name": "Anna", "age": true}', False),
        ('{"name": "Anna"', False),
        ('Sure! {"name": "Anna", "age": 31}', False),
        ('{"name": "Anna", "age": NaN}', False),
        ("[" * 100_000, False),
        ("", False),
    ],
)
def test_an_answer_must_be_json_of_the_schema_with_the_expected_values(answer, is_valid):
    assert satisfies(PERSON, ('{"name": "Anna", "age": 31}',), answer) is is_valid


def test_a_schema_that_refers_elsewhere_is_never_fetched():
    schema = {"properties": {"a": {"$ref": "http://127.0.0.1:9/schema.json"}}}

    assert "http://127.0.0.1:9/schema.json" in fault(Scorer.JSON_SCHEMA, [], schema)
    assert not satisfies(schema, (), '{"a": 1}')


def test_answers_are_compared_by_words_and_signs():
    assert words("It's 5 o'clock, sir.") == ["It", "'", "s", "5", "o", "'", "clock", ",", "sir", "."]


@pytest.mark.parametrize(
    ("scorer", "item", "schema", "word"),
    [
        (Scorer.CONTAINS, Item(name="a", prompt="?"), None, "expects nothing"),
        (Scorer.REGEX, Item(name="a", prompt="?", expected=("(",)), None, "does not compile"),
        (Scorer.JSON_SCHEMA, Item(name="a", prompt="?"), None, "no `jsonSchema`"),
        (Scorer.JSON_SCHEMA, Item(name="a", prompt="?"), {"type": "nonsense"}, "is none"),
        (Scorer.JSON_SCHEMA, Item(name="a", prompt="?", expected=("{",)), PERSON, "not JSON"),
    ],
)
def test_a_suite_at_fault_is_named_before_anything_is_asked(scorer, item, schema, word):
    assert word in fault(scorer, [item], schema)


def test_a_sound_suite_has_no_fault():
    assert fault(Scorer.AGREEMENT, [Item(name="a", prompt="?")], None) == ""
    assert fault(Scorer.JSON_SCHEMA, [Item(name="a", prompt="?", expected=('{"age": 1}',))], PERSON) == ""
