"""What a release asks of nodes: everything that its engine is told and that memory depends on.

Here: a release's words → `Need`. Not here: where the words come from (`releases`, `options`), what they cost (`fit`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..api.catalogue import ArgumentSource
from ..api.v1alpha1 import Toggle
from ..artifact.facts import ArtifactFacts
from ..fit.need import PLAIN_SCHEMES, Need
from ..fit.units import GIB
from .engine import pairs_of
from .options import Options
from .releases import Resolved

LOOKS_UP = ("ngram", "suffix", "lookahead", "prompt_lookup")
"""Methods that guess from the text itself, in any engine's words: nothing is loaded for them."""
UTILIZATION = ("--gpu-memory-utilization", "--mem-fraction-static")
EAGER = ("--enforce-eager", "--disable-cuda-graph")
BLOCKS = ("--block-size", "--page-size")
EXPERT_PARALLEL = ("--enable-expert-parallel", "--ep-size", "--ep", "--expert-parallel-size")
KV_CACHE = ("--kv-cache-memory-bytes", "--kv-cache-memory")
KV_CACHE_GIB = "VLLM_CPU_KVCACHE_SPACE"
"""vLLM's older way of saying it on CPUs, and the one that it takes where both are said."""
GPU_LAYERS = ("--n-gpu-layers", "--gpu-layers", "-ngl")


@dataclass(frozen=True)
class Said:
    """What `extraArgs` and `env` say of memory: engines' own words, which no field of the spec has."""

    memory_utilization_percent: float = 0
    enforce_eager: bool = False
    block_tokens: int = 0
    expert_parallel: bool = False
    gpu_layers: int = -1
    kv_cache_bytes: int = 0


def need_of(resolved: Resolved, facts: ArtifactFacts) -> Need:
    """Return what a release asks of nodes."""
    options, said = resolved.options, said_in(resolved.extra_args, {each.name: each.value for each in resolved.env})
    method = _word(options, ArgumentSource.SPECULATIVE_METHOD)
    quantization = _word(options, ArgumentSource.QUANTIZATION)
    return Need(
        facts=facts,
        runtime=resolved.runtime,
        engine_version=resolved.image_version,
        context_tokens=resolved.context_tokens,
        concurrent_sequences=resolved.concurrent_sequences,
        gpus_per_replica=resolved.gpus_per_replica,
        kv_cache_dtype=resolved.kv_cache_dtype or "auto",
        replicas=resolved.replicas,
        cpu_millis=resolved.cpu_millis or 0,
        node_selector=resolved.node_selector,
        tolerations=resolved.tolerations,
        memory_utilization_percent=said.memory_utilization_percent,
        batched_tokens=resolved.batched_tokens,
        dtype=resolved.dtype,
        pipeline_stages=_number(options, ArgumentSource.PIPELINE_PARALLEL, 1),
        nodes_per_replica=resolved.nodes_per_replica,
        expert_parallel=said.expert_parallel,
        quantization=quantization if facts.scheme in PLAIN_SCHEMES else "",
        block_tokens=said.block_tokens,
        enforce_eager=said.enforce_eager,
        speculative_tokens=_number(options, ArgumentSource.SPECULATIVE_TOKENS, 0),
        draft=resolved.draft,
        loads_own_draft=not _looks_up(method),
        adapters=_number(options, ArgumentSource.LORA_COUNT, 0),
        adapter_rank=_number(options, ArgumentSource.LORA_RANK, 16),
        prefix_caching=_toggle(_word(options, ArgumentSource.PREFIX_CACHING)),
        gpu_layers=said.gpu_layers,
        kv_cache_bytes=said.kv_cache_bytes,
    )


def said_in(extra_args: Sequence[str], env: Mapping[str, str] | None = None) -> Said:
    """Return what extra arguments and variables say of memory; what cannot be understood counts as unsaid.

    The engine will refuse it. The last of a flag's occurrences counts, as it does for engines' parsers, and `_` may
    stand for `-`.
    """
    found = {_plain(flag): value for flag, value in pairs_of(extra_args)}
    expert = _first(found, EXPERT_PARALLEL)
    return Said(
        memory_utilization_percent=round(100 * _share(_first(found, UTILIZATION)), 3),
        enforce_eager=any(flag in found for flag in EAGER),
        block_tokens=_whole(_first(found, BLOCKS), 0),
        expert_parallel=EXPERT_PARALLEL[0] in found or _whole(expert, 1) > 1,
        gpu_layers=_whole(_first(found, GPU_LAYERS), -1),
        kv_cache_bytes=_whole((env or {}).get(KV_CACHE_GIB, ""), 0) * GIB or _whole(_first(found, KV_CACHE), 0),
    )


def _plain(flag: str) -> str:
    return flag.replace("_", "-")


def _first(found: Mapping[str, str], flags: Sequence[str]) -> str:
    return next((found[flag] for flag in flags if flag in found), "")


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        return 0
    return share if 0 < share <= 1 else 0


def _whole(text: str, unsaid: int) -> int:
    return int(text) if text.isdecimal() else unsaid


def _looks_up(method: str) -> bool:
    return any(word in method.lower() for word in LOOKS_UP)


def _toggle(word: str) -> bool | None:
    return None if not word else word == Toggle.ENABLED


def _word(options: Options, source: ArgumentSource) -> str:
    return next(iter(options.get(source, ())), "")


def _number(options: Options, source: ArgumentSource, unsaid: int) -> int:
    return _whole(_word(options, source), unsaid)
