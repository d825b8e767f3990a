"""What one replica of a release has to hold, as asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..artifact.facts import ArtifactFacts

PLAIN_SCHEMES = frozenset({"BF16", "F16", "F32"})


@dataclass(frozen=True)
class Need:
    """An artifact, an engine, and the serving needs that the replicas must meet at once."""

    facts: ArtifactFacts
    runtime: str
    engine_version: str
    context_tokens: int
    concurrent_sequences: int
    gpus_per_replica: int
    """0 serves on CPU and sizes against the node's memory."""
    kv_cache_dtype: str = "auto"
    replicas: int = 1
    cpu_millis: int = 0
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, str], ...] = ()
    memory_utilization_percent: float = 0
    """vLLM's `--gpu-memory-utilization` where it is set; 0 takes the engine's default."""
    batched_tokens: int = 0
    """vLLM's `--max-num-batched-tokens` where it is set; 0 takes the engine's default for the GPU."""
    dtype: str = ""
    """vLLM's `--dtype` where it is set; the checkpoint's own otherwise."""
    pipeline_stages: int = 1
    """Groups of layers, one after the other; the GPUs of one group are always on one node."""
    nodes_per_replica: int = 1
    """Pods of a replica, each with the same number of whole stages; they may lie on different nodes."""
    expert_parallel: bool = False
    """Whether whole experts are dealt out to GPUs instead of each being split."""
    data_parallel: int = 1
    """Copies of all but the experts, which all of them share; `gpus_per_replica` are those of one copy."""
    quantization: str = ""
    """The engine's own method for a checkpoint that is not quantized, done while loading: `fp8`, `bitsandbytes` …"""
    block_tokens: int = 0
    """vLLM's `--block-size` where it is set; 0 takes the engine's."""
    kv_cache_bytes: int = 0
    """vLLM's `--kv-cache-memory-bytes` where it is set; without it, it takes a share of all memory that it finds."""
    enforce_eager: bool = False
    speculative_tokens: int = 0
    """Tokens that are guessed ahead, by the artifact's own draft layers or by `draft`."""
    draft: ArtifactFacts | None = None
    loads_own_draft: bool = True
    """Whether guesses come from the artifact's draft layers, where it has any and no `draft` is named."""
    adapters: int = 0
    """LoRA adapters that are held at once, each of `adapter_rank`."""
    adapter_rank: int = 16
    prefix_caching: bool | None = None
    """Whether what sequences begin with is kept for others; None leaves it to the engine."""
    gpu_layers: int = -1
    """llama.cpp's `--n-gpu-layers`: layers on GPUs, the rest in host memory; -1 for all."""

    @property
    def guesses_with_own_layers(self) -> bool:
        """Return whether the artifact's own draft layers are loaded."""
        return self.speculative_tokens > 0 and self.draft is None and self.loads_own_draft

    @property
    def gpus_per_stage(self) -> int:
        """Return the GPUs that tensors are split over."""
        return self.gpus_per_replica // max(self.pipeline_stages, 1)

    @property
    def gpus_per_pod(self) -> int:
        """Return the GPUs that one pod asks for, all of one node."""
        return self.gpus_per_replica // self.nodes_per_replica

    @property
    def pods(self) -> int:
        """Return how many pods the replicas are: one for each node that they span."""
        return self.replicas * self.nodes_per_replica
