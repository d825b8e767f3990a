"""`EvalSuite` and `RuntimeProfile`: what answers are judged by, and how an engine is started, as data."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from .base import ApiObject, Name, Percent, Text, named_list, rules

Path = Annotated[str, Field(min_length=1, max_length=253, pattern="^/")]


class Scorer(StrEnum):
    """How one answer is scored: against what was expected, or only against the parent's answer."""

    CONTAINS = "Contains"
    """Any of `expected` occurs in the answer, letters' case aside."""
    REGEX = "Regex"
    JSON_SCHEMA = "JsonSchema"
    """The answer is JSON that satisfies `schema`; asked for with `response_format` when `constrained`."""
    AGREEMENT = "Agreement"
    """Nothing is expected: how far the answer drifts from the parent's own, token by token."""


class Item(ApiObject):
    """One prompt and what its answer is held to."""

    name: Name
    prompt: Annotated[str, Field(min_length=1, max_length=16_384)]
    expected: Annotated[tuple[Annotated[str, Field(max_length=1024)], ...], Field(max_length=16)] = ()
    critical: bool = False
    """Lost by the candidate while the parent holds it, it fails the suite at once."""


class ConfigMapItems(ApiObject):
    """Items as JSON lines in a ConfigMap of the same namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    key: Annotated[str, Field(min_length=1, max_length=253)] = "items.jsonl"


class EvalSuiteSpec(ApiObject):
    """Prompts, a scorer and a margin."""

    model_config = ApiObject.model_config | {
        "json_schema_extra": rules(
            (
                "has(self.items) && size(self.items) > 0 || has(self.configMap)",
                "must have at least one item in `items` or name a `configMap` that holds them",
            ),
            (
                "self.scorer != 'JsonSchema' || has(self.jsonSchema)",
                "must give `jsonSchema` for the scorer 'JsonSchema'",
            ),
        )
    }

    scorer: Scorer
    items: Annotated[tuple[Item, ...], named_list(max_length=512)] = ()
    config_map: ConfigMapItems | None = None
    json_schema: Annotated[
        dict[str, Any] | None,
        Field(json_schema_extra={"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
    ] = None
    constrained: bool = False
    """True asks the engine to enforce `jsonSchema`: tests the engine and truncation rather than the weights."""
    system_prompt: Annotated[str, Field(max_length=16_384)] = ""
    max_tokens: Annotated[int, Field(ge=1, le=8_192)] = 64
    margin_points: Annotated[int, Field(ge=1, le=100)] = 3
    """Largest tolerated drop against the parent, in percentage points; for Agreement, of agreeing answers."""
    floor_percent: Percent = 20
    """A parent that scores below this makes the suite uninformative: it can refuse nothing and pass nothing."""


class ArgumentSource(StrEnum):
    """Where an engine argument's value comes from."""

    VALUE = "Value"
    MODEL_PATH = "ModelPath"
    SERVED_MODEL_NAME = "ServedModelName"
    PORT = "Port"
    CONTEXT_TOKENS = "ContextTokens"
    TOTAL_CONTEXT_TOKENS = "TotalContextTokens"
    """Context of all sequences together (llama.cpp divides its context among its slots)."""
    CONCURRENT_SEQUENCES = "ConcurrentSequences"
    KV_CACHE_DTYPE = "KvCacheDtype"
    GPUS_PER_REPLICA = "GpusPerReplica"
    API_KEY_ENV = "ApiKeyEnv"
    """The value `$(BITSHIFT_API_KEY)`, which the kubelet fills from the Secret."""


class Argument(ApiObject):
    """One argument as structure, never as a text template; left out when its source is unset."""

    flag: Annotated[str, Field(min_length=1, max_length=64, pattern="^-")]
    source: ArgumentSource = ArgumentSource.VALUE
    value: Annotated[str | None, Field(max_length=512)] = None
    """For the source Value; a flag without a value is a switch."""
    aliases: Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=8)] = ()
    """Other spellings, recognised when a stable pod's own arguments are read."""


class EnvironmentVariable(ApiObject):
    """A literal variable of the engine's container."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    value: Annotated[str, Field(max_length=1024)] = ""


class MetricNames(ApiObject):
    """The engine's own metrics that Bitshift reads."""

    requests_running: Annotated[str, Field(max_length=128)] = ""
    requests_waiting: Annotated[str, Field(max_length=128)] = ""
    kv_cache_used_ratio: Annotated[str, Field(max_length=128)] = ""


class RuntimeProfileSpec(ApiObject):
    """One engine: image, arguments, probes, metric names, drain."""

    image: Annotated[str, Field(min_length=1, max_length=512)]
    image_substrings: Annotated[
        tuple[Annotated[str, Field(min_length=2, max_length=128)], ...], Field(max_length=16)
    ] = ()
    """A stable whose container image contains one of these runs this engine."""
    formats: Annotated[
        tuple[Annotated[str, Field(pattern="^(gguf|safetensors)$")], ...], Field(min_length=1, max_length=2)
    ]
    schemes: Annotated[tuple[Annotated[str, Field(max_length=32)], ...], Field(max_length=64)] = ()
    """Quantization schemes that the engine loads; any when empty."""
    command: Annotated[tuple[Annotated[str, Field(max_length=512)], ...], Field(max_length=16)] = ()
    """Replaces the image's entrypoint; empty leaves it as its makers ship it."""
    args: Annotated[tuple[Argument, ...], Field(max_length=64)] = ()
    env: Annotated[tuple[EnvironmentVariable, ...], Field(max_length=64)] = ()
    port: Annotated[int, Field(ge=1, le=65_535)] = 8080
    health_path: Path = "/health"
    metrics_path: Path = "/metrics"
    endpoints: Annotated[tuple[Path, ...], Field(min_length=1, max_length=8)] = (
        "/v1/chat/completions",
        "/v1/completions",
    )
    """The exact paths that carry users' requests; an overlay route is made of them."""
    writable_directories: Annotated[tuple[Path, ...], Field(max_length=8)] = ("/tmp",)
    metrics: MetricNames = MetricNames()
    pre_stop_seconds: Annotated[int, Field(ge=0, le=600)] = 5
    """Pause before SIGTERM, so that gateways stop sending before the engine stops listening."""
    load_bytes_per_second: Annotated[int, Field(ge=1_000_000, le=1_000_000_000_000)] = 100_000_000
    """Slowest rate at which loading is still believed alive; the start deadline comes from it."""
    start_seconds: Annotated[int, Field(ge=1, le=86_400)] = 120
    """Start deadline besides loading: process start, compile, graph capture."""
    note: Text = ""
