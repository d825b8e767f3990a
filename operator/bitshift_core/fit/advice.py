"""What would make a release fit: computed, not guessed.

Here: the largest context, the most sequences and the fewest GPUs that do fit. Not here: the verdict (`plan`).
"""

from collections.abc import Callable
from dataclasses import replace

from .need import Need

SMALLEST_CONTEXT, CONTEXT_STEP = 256, 256
MAX_GPUS = 64
Fits = Callable[[Need], bool]


def ways_out(need: Need, fits: Fits, *, most_gpus: int) -> str:
    """Return a sentence with every single change that makes it fit, and the one that always may."""
    ways = [f"`serving.contextTokens` {context} or less"] if (context := largest_context(need, fits)) else []
    if sequences := most_sequences(need, fits):
        ways.append(f"`serving.concurrentSequences` {sequences} or less")
    if gpus := fewest_gpus(need, fits, most_gpus):
        ways.append(f"`serving.gpusPerReplica` {gpus}")
    bits = "a rung with fewer bits"
    return f"It would fit with {', or '.join(ways)}; else choose {bits}." if ways else f"Choose {bits} or larger nodes."


def largest_context(need: Need, fits: Fits) -> int:
    """Return the largest context below the one asked for that fits, in steps of 256; 0 for none."""
    steps = (need.context_tokens - 1) // CONTEXT_STEP
    best = _largest(steps, lambda step: fits(replace(need, context_tokens=step * CONTEXT_STEP)))
    return best * CONTEXT_STEP


def most_sequences(need: Need, fits: Fits) -> int:
    """Return the most sequences below those asked for that fit; 0 for none."""
    return _largest(need.concurrent_sequences - 1, lambda count: fits(replace(need, concurrent_sequences=count)))


def fewest_gpus(need: Need, fits: Fits, most_gpus: int) -> int:
    """Return the next power of two of GPUs that fits and deals the heads out evenly; 0 for none or for CPU."""
    gpus = need.gpus_per_replica * 2
    while 0 < gpus <= min(most_gpus, MAX_GPUS):
        if need.facts.attention_heads % gpus == 0 and fits(replace(need, gpus_per_replica=gpus)):
            return gpus
        gpus *= 2
    return 0


def _largest(limit: int, holds: Callable[[int], bool]) -> int:
    """Return the largest number up to the limit for which it holds; what holds for more holds for less."""
    low, high = 0, max(limit, 0)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low
