"""What would make a release fit: computed, not guessed.

Here: the largest context, the most sequences, the fewest GPUs and the smaller cache that do fit. Not here: the verdict
(`plan`), which rung to prefer (`words`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from .kernels import EXACT_KV_CACHES
from .need import Need
from .units import MIB

SMALLEST_CONTEXT, CONTEXT_STEP = 256, 256
MAX_GPUS, MAX_NODES = 64, 16
MOST_SEQUENCES = 4_096
SMALLER_KV_CACHE = {"vllm": "fp8", "llamacpp": "q8_0"}
Fits = Callable[[Need], bool]


@dataclass(frozen=True)
class Ways:
    """Each change that alone makes a release fit; 0 and '' where it does not."""

    context_tokens: int = 0
    sequences: int = 0
    gpus: int = 0
    kv_cache_dtype: str = ""
    kv_cache_bytes: int = 0
    """Of what the engine is told to take for its cache."""


def ways_of(need: Need, fits: Fits, *, most_gpus: int) -> Ways:
    """Return every single change that makes it fit."""
    least = replace(need, context_tokens=SMALLEST_CONTEXT, concurrent_sequences=1)
    context, sequences = (largest_context(need, fits), most_sequences(need, fits)) if fits(least) else (0, 0)
    return Ways(context, sequences, fewest_gpus(need, fits, most_gpus), smaller_kv_cache(need, fits))


def ways_out(need: Need, found: Ways) -> str:
    """Return a sentence with every single change that makes it fit, and the one that always may."""
    ways = [f"`serving.contextTokens` {found.context_tokens} or less"] if found.context_tokens else []
    if found.sequences:
        ways.append(f"`serving.concurrentSequences` {found.sequences} or less")
    if found.gpus:
        ways.append(f"`serving.gpusPerReplica` {found.gpus}")
    if found.kv_cache_dtype:
        ways.append(f"`serving.kvCacheDtype` {found.kv_cache_dtype}")
    if found.kv_cache_bytes:
        ways.append(f"`--kv-cache-memory-bytes` {found.kv_cache_bytes} or less")
    bits = "a rung with fewer bits"
    if not ways:
        return f"Choose {bits} or larger nodes."
    held = f"{found.sequences} of {need.concurrent_sequences} sequences of {need.context_tokens:,} tokens fit. "
    return f"{held if found.sequences else ''}It would fit with {', or '.join(ways)}; else choose {bits}."


def longest_context(need: Need, fits: Fits) -> int:
    """Return the longest context, at most what the model was trained for, that fits the sequences asked for."""
    more = max(0, need.facts.context_tokens - need.context_tokens) // CONTEXT_STEP
    asked = need.context_tokens
    return asked + CONTEXT_STEP * _largest(
        more, lambda step: fits(replace(need, context_tokens=asked + step * CONTEXT_STEP))
    )


def largest_context(need: Need, fits: Fits) -> int:
    """Return the largest context below the one asked for that fits, in steps of 256; 0 for none."""
    steps = (need.context_tokens - 1) // CONTEXT_STEP
    best = _largest(steps, lambda step: fits(replace(need, context_tokens=step * CONTEXT_STEP)))
    return best * CONTEXT_STEP


def most_sequences(need: Need, fits: Fits) -> int:
    """Return the most sequences below those asked for that fit; 0 for none."""
    return _largest(need.concurrent_sequences - 1, lambda count: fits(replace(need, concurrent_sequences=count)))


def most_sequences_held(need: Need, fits: Fits) -> int:
    """Return the most sequences at the context asked for that fit, those asked for or more."""
    more = MOST_SEQUENCES - need.concurrent_sequences
    asked = need.concurrent_sequences
    return asked + _largest(more, lambda extra: fits(replace(need, concurrent_sequences=asked + extra)))


def smaller_bound(need: Need, fits: Fits, *, missing_bytes: int) -> int:
    """Return a cache with which it fits, where the engine is told how large its cache is; 0 for none.

    A fourth more than what is missing is left out, for margins are shares of the sum.
    """
    bound_bytes = (need.kv_cache_bytes - missing_bytes * 5 // 4) // MIB * MIB
    return bound_bytes if bound_bytes > 0 and fits(replace(need, kv_cache_bytes=bound_bytes)) else 0


def fewest_gpus(need: Need, fits: Fits, most_gpus: int) -> int:
    """Return the next power of two of GPUs that fits and deals the heads out evenly; 0 for none or for CPU."""
    gpus = need.gpus_per_replica * 2
    while 0 < gpus <= min(most_gpus, MAX_GPUS):
        if need.facts.attention_heads % gpus == 0 and fits(replace(need, gpus_per_replica=gpus)):
            return gpus
        gpus *= 2
    return 0


def smaller_kv_cache(need: Need, fits: Fits) -> str:
    """Return a cache type of half the bytes with which it fits; '' for none."""
    smaller = SMALLER_KV_CACHE.get(need.runtime, "")
    if not smaller or need.kv_cache_dtype not in EXACT_KV_CACHES:
        return ""
    return smaller if fits(replace(need, kv_cache_dtype=smaller)) else ""


def spanning(need: Need, *, most_gpus: int) -> str:
    """Return how a replica with more GPUs than any node has would lie over nodes."""
    nodes = need.gpus_per_replica // most_gpus if most_gpus else 0
    if not 1 < nodes <= MAX_NODES or need.gpus_per_replica % most_gpus:
        return ""
    return (
        f" With `serving.nodesPerReplica` {nodes} it would have {most_gpus} GPUs on each of {nodes} nodes, where the "
        "engine can span nodes and the cluster serves LeaderWorkerSets."
    )


def _largest(limit: int, holds: Callable[[int], bool]) -> int:
    """Return the largest number up to the limit for which it holds; what holds for more holds for less."""
    low, high = 0, max(limit, 0)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low
