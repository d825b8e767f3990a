"""One artifact's size as a person asks for it: weights by part, KV cache, the sum, and whether nodes hold it.

Pure: facts, options and nodes → answers. Not here: reading them (`reading`), how it looks (`tables`), the sums (`fit`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bitshift_core.api.v1alpha1 import SizeItem
from bitshift_core.artifact.facts import ArtifactFacts
from bitshift_core.fit.advice import most_sequences
from bitshift_core.fit.capacity import Capacity
from bitshift_core.fit.engines import EngineConstants
from bitshift_core.fit.kernels import KernelTable
from bitshift_core.fit.need import Need
from bitshift_core.fit.placement import Node
from bitshift_core.fit.plan import Fit, plan_release
from bitshift_core.fit.sums import Gpu, size_of
from bitshift_core.rollout.releases import DEFAULT_SEQUENCES

SMALLEST_CONTEXT = 2_048
MOST_SEQUENCES = 4_096
RUNTIME_OF_FORMAT = {"gguf": "llamacpp", "safetensors": "vllm"}


@dataclass(frozen=True)
class Asked:
    """What a person said of serving it; what is unset follows from the artifact."""

    runtime: str | None = None
    engine_version: str = ""
    context_tokens: int | None = None
    sequences: int | None = None
    kv_cache_dtype: str | None = None
    gpus_per_replica: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    """What else a person said, by the need's own names: stages, a method, adapters, guesses …"""


@dataclass(frozen=True)
class Sizing:
    """What one replica needs, and what nodes have to say to it."""

    facts: ArtifactFacts
    need: Need
    items: tuple[SizeItem, ...]
    kv_sequence_bytes: int
    caveat: str
    capacity_bytes: int = 0
    """What each GPU, or a node's memory, offers; 0 where no node was named."""
    fit: Fit | None = None
    most_sequences: int = 0
    """The most that fit at this context; 0 where none does, or no node was named."""

    @property
    def needed_bytes(self) -> int:
        """Return the sum."""
        return sum(item.bytes for item in self.items)

    @property
    def kv_token_bytes(self) -> int:
        """Return what a token takes on average: less than in a full layer where some layers keep a window."""
        return self.kv_sequence_bytes // self.need.context_tokens

    @property
    def where(self) -> str:
        """Return what the sum is of."""
        return "GPU" if self.need.gpus_per_replica else "host memory"


def need_of(facts: ArtifactFacts, asked: Asked, *, gpus: int, draft: ArtifactFacts | None = None) -> Need:
    """Return the need over all GPUs of a node; without any, a GGUF file is for a CPU, a checkpoint for one GPU."""
    runtime = asked.runtime or RUNTIME_OF_FORMAT[facts.format]
    gpus = gpus or (0 if runtime == "llamacpp" else 1)
    return Need(
        facts=facts,
        runtime=runtime,
        engine_version=asked.engine_version,
        context_tokens=asked.context_tokens or facts.context_tokens or SMALLEST_CONTEXT,
        concurrent_sequences=asked.sequences or DEFAULT_SEQUENCES,
        gpus_per_replica=gpus if asked.gpus_per_replica is None else asked.gpus_per_replica,
        kv_cache_dtype=asked.kv_cache_dtype or "auto",
        draft=draft,
        **asked.more,
    )


def sized(need: Need, nodes: Sequence[Node], engines: EngineConstants, kernels: KernelTable | None = None) -> Sizing:
    """Return the sizing of one replica, on the nodes where there are any."""
    chosen = engines.choose(need.runtime, need.engine_version)
    gpu = (nodes[0].gpu if nodes else Gpu(0)) if need.gpus_per_replica else None
    one_sequence = size_of(replace(need, concurrent_sequences=1), chosen, gpu)
    kv_bytes = sum(item.bytes for item in one_sequence.items if item.name == "kv-cache")
    if not nodes:
        items = size_of(need, chosen, gpu).items
        return Sizing(need.facts, need, items, kv_bytes, chosen.caveat)
    fit = plan_release(need, nodes, engines, kernels=kernels)
    more = replace(need, concurrent_sequences=MOST_SEQUENCES + 1)
    most = most_sequences(more, lambda other: plan_release(other, nodes, engines, kernels=kernels).verdict == "Fits")
    capacity = capacity_bytes(fit, nodes, need)
    return Sizing(need.facts, need, fit.items, kv_bytes, chosen.caveat, capacity, fit, most)


def capacity_bytes(fit: Fit, nodes: Sequence[Node], need: Need) -> int:
    """Return what the node that the sum is about offers: the first that takes it, else the largest."""
    shown = [node for node in nodes if node.name in fit.node_names[:1]] or nodes
    if need.gpus_per_replica:
        return max((node.gpu.usable_bytes for node in shown), default=0)
    return max((node.memory_allocatable_bytes - node.memory_requested_bytes for node in shown), default=0)


def as_json(sizing: Sizing) -> dict[str, Any]:
    """Return all of it for programs."""
    facts, need, fit = sizing.facts, sizing.need, sizing.fit
    return {
        "format": facts.format,
        "architecture": facts.architecture,
        "scheme": facts.scheme,
        "files": len(facts.files),
        "fileBytes": sum(file.size_bytes for file in facts.files),
        "layers": facts.layers,
        "trainedContextTokens": facts.context_tokens,
        "weights": [
            {"part": each.role, "dtype": each.dtype, "tensors": each.count, "elements": each.elements}
            | {"bytes": each.bytes}
            for each in facts.tensors
        ],
        "serving": serving_json(need),
        "kvCache": {"bytesPerToken": sizing.kv_token_bytes, "bytesPerSequence": sizing.kv_sequence_bytes},
        "items": [item.as_json() for item in sizing.items],
        "neededBytes": sizing.needed_bytes,
        "offeredBytes": sizing.capacity_bytes or None,
        "missingBytes": max(0, sizing.needed_bytes - sizing.capacity_bytes) if fit else None,
        "verdict": fit.verdict if fit else None,
        "reason": fit.reason if fit else None,
        "headline": (fit.headline or None) if fit else None,
        "message": fit.message if fit else sizing.caveat,
        "engineKvCache": capacity_json(fit.held if fit else None),
        "mostSequences": sizing.most_sequences if fit else None,
        "notes": list(facts.notes),
    }


def capacity_json(held: Capacity | None) -> dict[str, Any] | None:
    """Return the pool that the engine itself will take, with its band; None where nobody can say."""
    if held is None:
        return None
    pool, tokens = ({"low": each.low, "likely": each.likely, "high": each.high} for each in (held.pool, held.tokens))
    return {"poolBytes": pool, "tokens": tokens, "sequences": held.sequences, "starts": held.starts}


def serving_json(need: Need) -> dict[str, Any]:
    """Return what the sum was worked out for."""
    return {
        "runtime": need.runtime,
        "engineVersion": need.engine_version or None,
        "contextTokens": need.context_tokens,
        "concurrentSequences": need.concurrent_sequences,
        "gpusPerReplica": need.gpus_per_replica,
        "kvCacheDtype": need.kv_cache_dtype,
        "replicas": need.replicas,
    } | _unusual(need)


def _unusual(need: Need) -> dict[str, Any]:
    """Return what else was asked for, as far as it is not what every need has."""
    said = {
        "pipelineStages": need.pipeline_stages if need.pipeline_stages > 1 else None,
        "nodesPerReplica": need.nodes_per_replica if need.nodes_per_replica > 1 else None,
        "quantization": need.quantization,
        "dtype": need.dtype,
        "batchedTokens": need.batched_tokens,
        "memoryUtilizationPercent": need.memory_utilization_percent,
        "prefixCaching": need.prefix_caching,
        "speculativeTokens": need.speculative_tokens,
        "draft": need.draft.architecture if need.draft else None,
        "adapters": need.adapters,
        "adapterRank": need.adapter_rank if need.adapters else None,
    }
    return {name: value for name, value in said.items() if value or value is False}
