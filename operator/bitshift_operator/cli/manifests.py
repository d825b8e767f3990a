"""QuantizedModels in YAML files, held against what the API server would hold them against.

Here: several documents, bounds, unknown fields, the rules between fields; every problem of a file at once, each with
its value and what must be. Not here: reading the artifacts that they name (`reading`).
"""

import difflib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from bitshift_core.api.base import API_VERSION
from bitshift_core.api.crd import structural
from bitshift_core.api.v1alpha1 import QuantizedModelSpec

from .access import Refusal
from .rules import Unsupported, holds

MAX_FILE_BYTES, MAX_VALUES, MAX_DEPTH = 1 << 20, 50_000, 40
SHOWN_PROBLEMS = 12
KIND = "QuantizedModel"
_SUBJECT = re.compile(r"^(Input|String|Tuple|Dictionary|Value) should")
_PLACE = re.compile(r"\s*in \"<byte string>\",")


@dataclass(frozen=True)
class Document:
    """One QuantizedModel and where it was found."""

    source: str
    namespace: str
    name: str
    spec: QuantizedModelSpec


class _Loader(yaml.SafeLoader):
    """YAML as the API server reads it: a key that occurs twice is a mistake, and dates are text."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # PyYAML's own table
        first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping, unless a key stands in it twice."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen and key.value != "<<":
                raise yaml.constructor.ConstructorError(None, None, f"`{key.value}` is said twice", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def models_in(path: Path) -> tuple[Document, ...]:
    """Return all QuantizedModels of a file; what else is in it is somebody else's."""
    documents = list(_documents(path))
    ours = [
        (number, each) for number, each in enumerate(documents, start=1) if isinstance(each, dict) and _is_ours(each)
    ]
    if not ours:
        kinds = ", ".join(sorted({str(each.get("kind")) for each in documents if isinstance(each, dict)})) or "nothing"
        raise Refusal(f"{path} has no {KIND} of {API_VERSION}; it has {kinds}.")
    read = [_read(path, number if len(documents) > 1 else 0, each) for number, each in ours]
    problems = [problem for _, found in read for problem in found]
    if problems:
        more = len(problems) - SHOWN_PROBLEMS
        shown = problems[:SHOWN_PROBLEMS] + ([f"… and {more} more"] if more > 0 else [])
        raise Refusal("\n".join((f"{path} is not what the API server would accept:", *(f"- {each}" for each in shown))))
    return tuple(document for document, _ in read if document)


def _documents(path: Path) -> Iterator[Any]:
    with nullcontext(sys.stdin.buffer) if str(path) == "-" else path.open("rb") as file:
        raw = file.read(MAX_FILE_BYTES + 1)
    if len(raw) > MAX_FILE_BYTES:
        raise Refusal(f"{path} has more than {MAX_FILE_BYTES} bytes, which no API server takes.")
    try:
        for document in yaml.load_all(raw, _Loader):  # a SafeLoader
            yield _bounded(document)
    except RecursionError:
        raise Refusal(f"{path} is nested too deeply.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise Refusal(f"{path} cannot be read as YAML: {_one_line(error)}.") from None


def _bounded(document: Any) -> Any:
    """Return the document, unless its aliases would unfold to more than any object has."""
    seen, waiting = 0, [(document, 0)]
    while waiting:
        value, depth = waiting.pop()
        inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
        seen += 1 + len(inner)
        if seen > MAX_VALUES or depth > MAX_DEPTH:
            raise ValueError(f"it unfolds to more than {MAX_VALUES} values, or {MAX_DEPTH} levels")
        waiting.extend((each, depth + 1) for each in inner)
    return document


@cache
def _schema() -> dict[str, Any]:
    return structural(QuantizedModelSpec)


def _is_ours(document: Mapping[str, Any]) -> bool:
    return document.get("kind") == KIND and document.get("apiVersion") == API_VERSION


def _read(path: Path, number: int, document: Mapping[str, Any]) -> tuple[Document | None, list[str]]:
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    source = f"{path}, document {number}" if number else str(path)
    where = f"{KIND} '{name}'" + (f" (document {number})" if number else "")
    if not isinstance(name, str) or not isinstance(metadata, dict):
        return None, [f"document {number or 1}: `metadata.name` is missing; it must be given."]
    given = document.get("spec")
    if not isinstance(given, dict):
        return None, [f"{where}: `spec` is missing; it must be given."]
    schema = _schema()
    problems = list(_unknown(given, schema, "spec"))
    spec: QuantizedModelSpec | None = None
    try:
        spec = QuantizedModelSpec.model_validate_json(json.dumps(given, default=str), strict=True)
    except ValidationError as error:
        problems += list(_problems(error))
    problems += list(_broken_rules(given, schema, "spec"))
    if problems or spec is None:
        return None, [f"{where}: {each}" for each in problems]
    return Document(source, str(metadata.get("namespace") or ""), name, spec), []


def _problems(error: ValidationError) -> Iterator[str]:
    """Yield each error, but not that a list is too short because of those of its items."""
    found = error.errors()
    for each in found:
        inside = [other for other in found if other is not each and other["loc"][: len(each["loc"])] == each["loc"]]
        if not inside:
            yield _problem(each)


def _problem(error: Any) -> str:
    """Return pydantic's error as field, value, and what must be."""
    where = "spec" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"])
    if error["type"] == "missing":
        return f"`{where}` is missing; it must be given."
    must = _SUBJECT.sub("must", error["msg"]).removesuffix(" after validation, not 0")
    return f"`{where}` is {_shown(error['input'])}: {must}."


def _unknown(given: Any, schema: Mapping[str, Any], where: str) -> Iterator[str]:
    """Yield fields that the schema does not have, each with the nearest that it has."""
    if isinstance(given, dict) and "properties" in schema:
        for key, value in given.items():
            if key in schema["properties"]:
                yield from _unknown(value, schema["properties"][key], f"{where}.{key}")
            else:
                near = difflib.get_close_matches(str(key), schema["properties"], n=1)
                meant = f"did you mean `{near[0]}`?" if near else f"it has {', '.join(sorted(schema['properties']))}."
                yield f"`{where}.{key}` is no field of `{where}`: {meant}"
    elif isinstance(given, list) and "items" in schema:
        for position, each in enumerate(given):
            yield from _unknown(each, schema["items"], f"{where}[{position}]")


def _broken_rules(given: Any, schema: Mapping[str, Any], where: str) -> Iterator[str]:
    """Yield what contradicts the schema's CEL rules and its lists that are maps."""
    for rule in schema.get("x-kubernetes-validations", ()):
        with suppress(Unsupported):  # left to the API server
            if not holds(rule["rule"], given, schema):
                yield f"`{where}`{'' if isinstance(given, dict) else f' is {_shown(given)}:'} {rule['message']}."
    if isinstance(given, dict):
        for key, value in given.items():
            yield from _broken_rules(value, schema.get("properties", {}).get(key, {}), f"{where}.{key}")
    elif isinstance(given, list):
        for key in schema.get("x-kubernetes-list-map-keys", ()):
            names = [each.get(key) for each in given if isinstance(each, dict)]
            yield from (
                f"`{where}` has {names.count(name)} entries with the {key} '{name}': each must have its own."
                for name in dict.fromkeys(names)
                if names.count(name) > 1
            )
        for position, each in enumerate(given):
            yield from _broken_rules(each, schema.get("items", {}), f"{where}[{position}]")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _one_line(error: Exception) -> str:
    return " ".join(_PLACE.sub(" at", str(error)).split())[:300].rstrip(".")
