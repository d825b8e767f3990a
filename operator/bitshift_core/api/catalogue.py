"""`EvalSuite` and `RuntimeProfile`: what answers are judged by, and how an engine is started, as data."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from .base import ApiObject, Name, Percent, Text, named_list, rules
from .v1alpha1 import Condition, EnvironmentVariable

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


class NodeRole(StrEnum):
    """What a pod of a replica that spans nodes does: answer, or compute for the one that answers."""

    LEADER = "Leader"
    WORKER = "Worker"


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
    QUANTIZATION = "Quantization"
    DTYPE = "Dtype"
    BATCHED_TOKENS = "BatchedTokens"
    TENSOR_PARALLEL = "TensorParallel"
    PIPELINE_PARALLEL = "PipelineParallel"
    NODES_PER_REPLICA = "NodesPerReplica"
    """Unset where a replica is one pod. An engine without an argument for it cannot span nodes; where the others are
    told, the variables `$(LWS_LEADER_ADDRESS)` and `$(LWS_WORKER_INDEX)` may stand in a `value`."""
    NODE_ROLE = "NodeRole"
    """Leader or Worker where a replica spans nodes, for `when`."""
    PREFIX_CACHING = "PrefixCaching"
    """Enabled or Disabled, for `when`; so is ChunkedPrefill."""
    CHUNKED_PREFILL = "ChunkedPrefill"
    ATTENTION_BACKEND = "AttentionBackend"
    LINEAR_BACKEND = "LinearBackend"
    MOE_BACKEND = "MoeBackend"
    SPECULATIVE_METHOD = "SpeculativeMethod"
    SPECULATIVE_TOKENS = "SpeculativeTokens"
    DRAFT_PATH = "DraftPath"
    SPECULATIVE_CONFIG = "SpeculativeConfig"
    """Method, tokens and draft as the one JSON object that vLLM takes."""
    LORA_MODULES = "LoraModules"
    """NAME=PATH of each adapter."""
    LORA_COUNT = "LoraCount"
    LORA_RANK = "LoraRank"
    """The highest rank of the adapters, or the next of the profile's `loraRanks`."""
    TOOL_CALL_PARSER = "ToolCallParser"
    REASONING_PARSER = "ReasoningParser"
    CHAT_TEMPLATE_PATH = "ChatTemplatePath"
    GUIDED_DECODING_BACKEND = "GuidedDecodingBackend"


EngineVersion = Annotated[str, Field(max_length=16, pattern=r"^\d{1,6}(\.\d{1,6}){0,3}$")]


class Argument(ApiObject):
    """One argument as structure, never as a text template; left out when its source is unset.

    Without a `flag` its value stands alone, as a positional argument or a word of the command.
    """

    flag: Annotated[str, Field(max_length=64, pattern="^(-.*)?$")] = ""
    source: ArgumentSource = ArgumentSource.VALUE
    value: Annotated[str | None, Field(max_length=512)] = None
    """For the source Value; a flag without a value is a switch."""
    aliases: Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=8)] = ()
    """Other spellings, recognised when a stable pod's own arguments are read."""
    when: ArgumentSource | None = None
    """Leaves the argument out unless this source has a value, too."""
    equals: Annotated[str | None, Field(max_length=64)] = None
    """With `when`: unless it has this value."""
    separator: Annotated[str | None, Field(min_length=1, max_length=1)] = None
    """Joins several values into one word; they are words of their own otherwise."""
    since: EngineVersion | None = None
    """The first version of the engine that knows the argument; a version that cannot be told counts as the newest."""
    until: EngineVersion | None = None
    """The first version that no longer knows it."""


class QuantizationMethod(ApiObject):
    """A method that the engine can be told by name, and the artifacts that it reads."""

    name: Annotated[str, Field(min_length=1, max_length=48)]
    schemes: Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(min_length=1, max_length=32)]
    """Schemes of artifacts as their facts name them; a last `*` stands for any ending."""


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
    schemes: Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=64)] = ()
    """Quantization schemes that the engine loads, a last `*` standing for any ending; any scheme when empty."""
    quantizations: Annotated[tuple[QuantizationMethod, ...], named_list(max_length=64)] = ()
    """Methods that `serving.quantization` may name; any when empty."""
    lora_ranks: Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(max_length=16)] = ()
    """Ranks that the engine makes room for, in order; any when empty."""
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
    """Slowest rate at which loading is still believed alive; the deadlines of loading and repacking come from it."""
    start_seconds: Annotated[int, Field(ge=1, le=86_400)] = 120
    """Deadline of each stage that no bytes tell: process start (besides loading), compilation, warming up."""
    note: Text = ""


class RuntimeProfileStatus(ApiObject):
    """Whether the profile can be used; `conditions` holds `Accepted` alone."""

    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            max_length=4,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = ()
