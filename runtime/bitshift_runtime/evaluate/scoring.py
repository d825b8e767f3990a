"""What one answer is worth against what was expected of it: 1 or 0.

Here: the scorers, and what is wrong with a suite itself; pure. Not here: how far two answers agree, and what many
scores add up to (`bitshift_core.evidence.paired`).
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jsonschema.exceptions import SchemaError
from jsonschema.validators import Draft202012Validator, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from bitshift_core.api.catalogue import Item, Scorer

# A letter or digit of a script that separates words; Thai, Lao, Chinese, Japanese and Korean do not.
WORD_CHARACTER = r"[^\W_\u0E00-\u0EFF\u1100-\u11FF\u2E80-\uD7FF\uF900-\uFAFF]"
FENCED = re.compile(r"\A\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)
WORD = re.compile(r"\w+|[^\w\s]")


def score(scorer: Scorer, item: Item, answer: str, schema: Mapping[str, Any] | None = None) -> float:
    """Return 1 when an answer holds what its item expects, else 0."""
    match scorer:
        case Scorer.CONTAINS:
            return float(any(occurs(expected, answer) for expected in item.expected))
        case Scorer.REGEX:
            return float(any(re.search(pattern, answer) for pattern in item.expected))
        case Scorer.JSON_SCHEMA:
            return float(satisfies(schema or {}, item.expected, answer))
        case Scorer.AGREEMENT:
            raise ValueError("Agreement has no expected answer: it compares two (`evidence.paired.agreement`).")


def occurs(expected: str, answer: str) -> bool:
    """Say whether a text occurs in an answer as whole words, letters' case aside: 7 does not occur in 17."""
    pattern = re.escape(expected.strip().casefold())
    if not pattern:
        return False
    return re.search(f"(?<!{WORD_CHARACTER}){pattern}(?!{WORD_CHARACTER})", answer.casefold()) is not None


def satisfies(schema: Mapping[str, Any], expected: Sequence[str], answer: str) -> bool:
    """Say whether an answer is JSON of the schema and holds the members of any expected object, if there are some."""
    try:
        value = parse(answer)
        valid = validator(schema).is_valid(value)
        return valid and (not expected or any(holds(json.loads(text), value) for text in expected))
    except (ValueError, RecursionError, Unresolvable):
        return False


def validator(schema: Mapping[str, Any]) -> Any:
    """Return the schema's validator; what a schema refers to is never fetched from anywhere."""
    return validator_for(schema, default=Draft202012Validator)(schema, registry=Registry())


def parse(answer: str) -> Any:
    """Return the value an answer spells, in a code fence or not; NaN and Infinity are not JSON."""
    fenced = FENCED.match(answer)
    return json.loads(fenced.group(1) if fenced else answer, parse_constant=_refuse)


def holds(expected: Any, value: Any) -> bool:
    """Say whether a value holds what is expected; an object may hold more."""
    if isinstance(expected, dict):
        return isinstance(value, dict) and all(key in value and holds(expected[key], value[key]) for key in expected)
    if isinstance(expected, str) and isinstance(value, str):
        return expected.casefold() == value.strip().casefold()
    return type(expected) is type(value) and bool(expected == value)


def words(text: str) -> list[str]:
    """Return a text's words and signs, the tokens by which two answers are compared: they need no tokenizer."""
    return WORD.findall(text)


def fault(scorer: Scorer, items: Sequence[Item], schema: Mapping[str, Any] | None) -> str:
    """Return what is wrong with a suite itself, empty when nothing is: found before anything is asked."""
    if scorer is Scorer.JSON_SCHEMA:
        return _fault_of_schema(schema) or _fault_of_values(items)
    if scorer is Scorer.AGREEMENT:
        return ""
    for item in items:
        if not item.expected:
            return f"item '{item.name}' expects nothing"
        if scorer is Scorer.REGEX and (wrong := _fault_of_patterns(item)):
            return wrong
    return ""


def _fault_of_schema(schema: Mapping[str, Any] | None) -> str:
    if schema is None:
        return "it has no `jsonSchema`"
    try:
        validator_for(schema, default=Draft202012Validator).check_schema(dict(schema))
    except SchemaError as error:
        return f"its `jsonSchema` is none: {error.message[:200]}"
    elsewhere = next((target for target in _references(schema) if not target.startswith("#")), "")
    return f"its `jsonSchema` refers to {elsewhere[:200]}, and nothing is ever fetched" if elsewhere else ""


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        yield from (value for key, value in schema.items() if key == "$ref" and isinstance(value, str))
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from _references(part)


def _fault_of_values(items: Sequence[Item]) -> str:
    for item in items:
        for text in item.expected:
            try:
                json.loads(text)
            except ValueError:
                return f"item '{item.name}' expects something that is not JSON"
    return ""


def _fault_of_patterns(item: Item) -> str:
    for pattern in item.expected:
        try:
            re.compile(pattern)
        except re.error as error:
            return f"item '{item.name}' has a pattern that does not compile: {error}"
    return ""


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
