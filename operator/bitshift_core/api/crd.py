"""The CRDs, made from the models: one source for fields, bounds, messages and `kubectl explain`.

Here: models → structural schemas → manifests as data. Not here: writing them to disk (`tests/crds.py`).
"""

from typing import Any, NamedTuple

from pydantic import BaseModel

from .base import GROUP, VERSION
from .catalogue import EvalSuiteSpec, RuntimeProfileSpec, RuntimeProfileStatus
from .v1alpha1 import ModelRevisionSpec, QuantizedModelSpec, QuantizedModelStatus

Schema = dict[str, Any]
REFUSED_BY_CRDS = ("title", "additionalProperties", "uniqueItems", "patternProperties", "readOnly", "$defs")


class Column(NamedTuple):
    """A column of `kubectl get`."""

    name: str
    type: str
    path: str
    priority: int = 0


class Resource(NamedTuple):
    """One kind: its names, its models and what `kubectl get` prints."""

    kind: str
    plural: str
    short_names: tuple[str, ...]
    scope: str
    spec: type[BaseModel]
    status: type[BaseModel] | None
    columns: tuple[Column, ...]
    description: str


AGE = Column("Age", "date", ".metadata.creationTimestamp")
RESOURCES = (
    Resource(
        "QuantizedModel",
        "quantizedmodels",
        ("qm",),
        "Namespaced",
        QuantizedModelSpec,
        QuantizedModelStatus,
        (
            Column("Ready", "string", ".status.conditions[?(@.type=='Ready')].status"),
            Column("Phase", "string", ".status.phase"),
            Column("Rung", "string", ".status.rung"),
            Column("Canary", "string", ".status.canary"),
            Column("Gates", "string", ".status.gates"),
            Column("Reason", "string", ".status.reason"),
            AGE,
            Column("Revision", "string", ".status.currentRevision", 1),
            Column("Message", "string", ".status.message", 1),
        ),
        "Moves a model's users to a quantized release while measured evidence says that it holds.",
    ),
    Resource(
        "ModelRevision",
        "modelrevisions",
        ("mrev",),
        "Namespaced",
        ModelRevisionSpec,
        None,
        (
            Column("Model", "string", ".spec.model"),
            Column("Rung", "string", ".spec.rung"),
            Column("Scheme", "string", ".spec.scheme"),
            Column("Context", "integer", ".spec.contextTokens"),
            AGE,
            Column("Artifact", "string", ".spec.artifact", 1),
            Column("Image", "string", ".spec.image", 1),
        ),
        "A sealed release: artifact, image, arguments and digests as one immutable unit.",
    ),
    Resource(
        "EvalSuite",
        "evalsuites",
        (),
        "Namespaced",
        EvalSuiteSpec,
        None,
        (
            Column("Scorer", "string", ".spec.scorer"),
            Column("Margin", "integer", ".spec.marginPoints"),
            AGE,
        ),
        "Prompts, a scorer and a margin for the quality gate.",
    ),
    Resource(
        "RuntimeProfile",
        "runtimeprofiles",
        (),
        "Cluster",
        RuntimeProfileSpec,
        RuntimeProfileStatus,
        (
            Column("Accepted", "string", ".status.conditions[?(@.type=='Accepted')].status"),
            Column("Image", "string", ".spec.image"),
            AGE,
            Column("Message", "string", ".status.conditions[?(@.type=='Accepted')].message", 1),
        ),
        "One engine: image, arguments as structure, probes, metric names, drain.",
    ),
)


def crd(resource: Resource) -> dict[str, Any]:
    """Return the CustomResourceDefinition of one kind."""
    properties: Schema = {"spec": structural(resource.spec)}
    if resource.status:
        properties["status"] = structural(resource.status)
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [_printed(column) for column in resource.columns],
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "description": resource.description,
                "required": ["spec"],
                "properties": properties,
            }
        },
    }
    if resource.status:
        version["subresources"] = {"status": {}}
    names: dict[str, Any] = {
        "kind": resource.kind,
        "plural": resource.plural,
        "singular": resource.kind.lower(),
        "listKind": f"{resource.kind}List",
        "categories": ["bitshift"],
    }
    if resource.short_names:
        names["shortNames"] = list(resource.short_names)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": resource.scope, "versions": [version]},
    }


def structural(model: type[BaseModel]) -> Schema:
    """Return a model's schema as an API server takes it: no references, no unions, no titles."""
    schema = model.model_json_schema(by_alias=True)
    found: Schema = _plain(schema, schema.get("$defs", {}))
    return found


def _plain(node: Any, definitions: Schema) -> Any:
    if isinstance(node, list):
        return [_plain(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[-1]]
        return _plain({**target, **{key: value for key, value in node.items() if key != "$ref"}}, definitions)
    if "anyOf" in node:
        (only,) = (choice for choice in node["anyOf"] if choice.get("type") != "null")
        rest = {key: value for key, value in node.items() if key not in ("anyOf", "default")}
        return _plain({**only, **rest}, definitions)
    if "const" in node:
        node = {**{key: value for key, value in node.items() if key != "const"}, "enum": [node["const"]]}
    kept = {key: value for key, value in node.items() if key not in REFUSED_BY_CRDS or _is_map(key, value)}
    if isinstance(kept.get("default"), dict | list) or kept.get("default", "") is None:
        kept.pop("default")  # written into every object otherwise: GitOps would see them as drift
    if "properties" in kept:
        kept["properties"] = {name: _plain(child, definitions) for name, child in kept["properties"].items()}
    return {key: value if key == "properties" else _plain(value, definitions) for key, value in kept.items()}


def _is_map(key: str, value: Any) -> bool:
    """A map of strings is the one use of `additionalProperties` that a CRD takes."""
    return key == "additionalProperties" and isinstance(value, dict)


def _printed(column: Column) -> dict[str, Any]:
    printed: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return printed | ({"priority": column.priority} if column.priority else {})
