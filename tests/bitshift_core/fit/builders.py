"""Models, nodes and constants for sizing tests; the models' numbers are those of their public configurations."""

from typing import Any

from bitshift_core.artifact.facts import ArtifactFacts, FileFact, LayerGroup, TensorGroup
from bitshift_core.fit.need import Need
from bitshift_core.fit.pages import Shape
from bitshift_core.fit.placement import Node
from bitshift_core.fit.units import GIB, MIB
from bitshift_operator.cluster.engines import load_engines
from bitshift_operator.cluster.kernels import load_kernels

H100 = {"nvidia.com/gpu.memory": "81559", "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
A100 = {"nvidia.com/gpu.memory": "81920", "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}
T4 = {"nvidia.com/gpu.memory": "15360", "nvidia.com/gpu.product": "Tesla-T4"}


constants, kernels = load_engines, load_kernels


def some_facts(**change: Any) -> ArtifactFacts:
    """Return Llama-3.1-8B in BF16."""
    facts = ArtifactFacts(
        format="safetensors",
        architecture="LlamaForCausalLM",
        scheme="BF16",
        files=(FileFact(name="model.safetensors", size_bytes=1),),
        context_tokens=131_072,
        layers=32,
        hidden_size=4096,
        intermediate_size=14_336,
        attention_heads=32,
        vocab_size=128_256,
        attention=(LayerGroup(kind="full", layers=32, kv_heads=8, key_dim=128, value_dim=128),),
        tensors=tensors(block=6_979_321_856, embedding=525_336_576, output=525_336_576, other=266_240),
    )
    return facts.model_copy(update=change)


def smollm(**change: Any) -> ArtifactFacts:
    """Return SmolLM2-135M in F16 as a GGUF file."""
    facts = some_facts(
        format="gguf",
        scheme="F16",
        context_tokens=8192,
        layers=30,
        hidden_size=576,
        intermediate_size=1536,
        attention_heads=9,
        vocab_size=49_152,
        attention=(LayerGroup(kind="full", layers=30, kv_heads=3, key_dim=64, value_dim=64),),
        tensors=tensors(block=106_168_320, embedding=28_311_552, other=70_272),
    )
    return facts.model_copy(update=change)


def tensors(**elements: int) -> tuple[TensorGroup, ...]:
    return tuple(
        TensorGroup(role=role, dtype="BF16", count=1, elements=count, bytes=2 * count)  # type: ignore[arg-type]
        for role, count in elements.items()
    )


def a_need(**change: Any) -> Need:
    need = {
        "facts": some_facts(),
        "runtime": "vllm",
        "engine_version": "0.19.0",
        "context_tokens": 8192,
        "concurrent_sequences": 16,
        "gpus_per_replica": 1,
    }
    return Need(**(need | change))


def a_cpu_need(**change: Any) -> Need:
    need = {"facts": smollm(), "runtime": "llamacpp", "engine_version": "b11669", "context_tokens": 1024}
    return a_need(**(need | {"concurrent_sequences": 4, "gpus_per_replica": 0} | change))


def a_shape(**change: Any) -> Shape:
    return Shape(**({"gpus": 1, "half_bits": 32, "scale_bytes": 0, "block_tokens": 16} | change))


def a_gpu_node(name: str = "gpu-1", *, labels: dict[str, str] | None = None, count: int = 8, free: int = 8) -> Node:
    labels = H100 if labels is None else labels
    return Node(
        name=name,
        labels=labels,
        gpu_count=count,
        gpu_free=free,
        gpu_memory_bytes=int(labels.get("nvidia.com/gpu.memory", "0")) * MIB,
        memory_allocatable_bytes=512 * GIB,
        memory_requested_bytes=0,
        cpu_allocatable_millis=64_000,
        cpu_requested_millis=0,
    )


def a_cpu_node(name: str = "cpu-1", *, memory_bytes: int = 4 * GIB, requested_bytes: int = 0, **change: Any) -> Node:
    node = {
        "labels": {},
        "gpu_count": 0,
        "gpu_free": 0,
        "gpu_memory_bytes": 0,
        "cpu_allocatable_millis": 2_000,
        "cpu_requested_millis": 0,
    }
    return Node(
        name=name,
        memory_allocatable_bytes=memory_bytes,
        memory_requested_bytes=requested_bytes,
        **(node | change),
    )
