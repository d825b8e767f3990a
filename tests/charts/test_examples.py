from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from bitshift_core.api.base import API_VERSION
from bitshift_core.api.v1alpha1 import QuantizedModelSpec

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "crds" / "examples").glob("*.yaml"))


def unknown_fields(given, understood, path="spec"):
    """Yield what a model leaves out: the API server would drop or refuse it."""
    if isinstance(given, dict) and isinstance(understood, BaseModel):
        names = {field.alias: name for name, field in type(understood).model_fields.items()}
        for key, value in given.items():
            if key not in names:
                yield f"{path}.{key}"
            else:
                yield from unknown_fields(value, getattr(understood, names[key]), f"{path}.{key}")
    elif isinstance(given, list):
        for position, (one, other) in enumerate(zip(given, understood, strict=True)):
            yield from unknown_fields(one, other, f"{path}[{position}]")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_understood_field_by_field(path):
    manifest = yaml.safe_load(path.read_text(encoding="utf-8"))

    assert (manifest["apiVersion"], manifest["kind"]) == (API_VERSION, "QuantizedModel")
    assert list(unknown_fields(manifest["spec"], QuantizedModelSpec.model_validate(manifest["spec"]))) == []


def test_the_three_ways_to_begin_are_shown():
    assert [path.stem for path in EXAMPLES] == ["adopt", "first", "ladder"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_begins_with_a_comment_that_says_when_it_is_the_right_one(path):
    assert path.read_text(encoding="utf-8").startswith("# ")
