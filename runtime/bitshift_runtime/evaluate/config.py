"""What a gate's Job is told: whom to ask, what, and by which measure; one JSON file that the operator mounts.

Here: the file's shape and reading it. Not here: asking (`endpoint`), judging (`bitshift_core.evidence`).
"""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from bitshift_core.api.base import ApiObject
from bitshift_core.api.catalogue import EvalSuiteSpec, Item
from bitshift_core.api.v1alpha1 import LoadGate
from bitshift_core.artifact.facts import ArtifactFacts
from bitshift_core.evidence.numeric import NumericCheck

MAX_ITEMS = 100_000
"""Items that a suite from a file may hold; more would not end within any deadline."""


class ConfigError(Exception):
    """The Job was told something that it cannot carry out; the sentence says what to mend."""


class SideConfig(ApiObject):
    """One endpoint: where it listens, which name it serves, and which variable holds its key."""

    url: Annotated[str, Field(pattern="^https?://")]
    model: Annotated[str, Field(min_length=1, max_length=256)]
    api_key_env: str = ""


class SuiteConfig(EvalSuiteSpec):
    """An EvalSuite with its name and the margin it is judged by here."""

    name: Annotated[str, Field(min_length=1, max_length=253)]


class GateConfig(ApiObject):
    """One gate's whole assignment."""

    gate: str
    revision: str
    candidate: SideConfig
    parent: SideConfig | None = None
    suites: tuple[SuiteConfig, ...] = ()
    error_rate_ppm: int = 50_000
    max_seconds: int = 1_800
    pairs_in_flight: Annotated[int, Field(ge=1, le=16)] = 2
    """Low and the same on both sides: a fuller batch changes greedy text and would be taken for quantization."""
    request_seconds: Annotated[int, Field(ge=1, le=3_600)] = 120
    load: LoadGate = LoadGate()
    numeric: NumericCheck = NumericCheck()
    candidate_facts: ArtifactFacts | None = None
    parent_facts: ArtifactFacts | None = None
    context_tokens: int | None = None


def read_config(path: Path, gate: str) -> GateConfig:
    """Return the assignment in `path`, refused when it is another gate's."""
    try:
        config = GateConfig.model_validate_json(path.read_text())
    except OSError as error:
        raise ConfigError(f"The gate's configuration {path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        raise ConfigError(f"The gate's configuration {path} is not usable: {_first(error)}.") from error
    if config.gate != gate:
        raise ConfigError(f"The configuration {path} is for the gate '{config.gate}', not for '{gate}'.")
    return config


def items_of(suite: SuiteConfig, directory: Path) -> tuple[Item, ...]:
    """Return a suite's items: its own, else the JSON lines of its ConfigMap, mounted as DIRECTORY/NAME/KEY."""
    if suite.items or suite.config_map is None:
        return suite.items
    path = directory / suite.config_map.name / suite.config_map.key
    try:
        lines = [line for line in path.read_text().splitlines() if line.strip()]
    except OSError as error:
        raise ConfigError(
            f"Suite '{suite.name}': key '{suite.config_map.key}' of ConfigMap '{suite.config_map.name}' "
            f"cannot be read: {error.strerror}."
        ) from error
    if len(lines) > MAX_ITEMS:
        raise ConfigError(f"Suite '{suite.name}' holds {len(lines)} items; at most {MAX_ITEMS} are read.")
    return _unique(suite.name, tuple(_item(suite.name, number, line) for number, line in enumerate(lines, start=1)))


def _item(suite: str, number: int, line: str) -> Item:
    try:
        content: Any = json.loads(line)
        return Item.model_validate({"name": f"item-{number}"} | content)
    except (ValueError, TypeError) as error:
        detail = _first(error) if isinstance(error, ValidationError) else "it is not a JSON object"
        raise ConfigError(f"Suite '{suite}': line {number} is not an item: {detail}.") from error


def _unique(suite: str, items: tuple[Item, ...]) -> tuple[Item, ...]:
    names: set[str] = set()
    for item in items:
        if item.name in names:
            raise ConfigError(f"Suite '{suite}': the item '{item.name}' is there twice; names must be unique.")
        names.add(item.name)
    return items


def _first(error: ValidationError) -> str:
    """Return where and why, without the value: it may hold a prompt."""
    first = error.errors(include_input=False, include_url=False)[0]
    return f"`{'.'.join(str(part) for part in first['loc'])}` {first['msg'][0].lower()}{first['msg'][1:]}"
