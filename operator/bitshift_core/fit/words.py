"""Why this rung: what it saves against the parent in what the user cares for, what it costs, and in which money.

Here: numbers of two plans → one sentence each. Not here: the plans (`plan`), published losses (`published`), which rung
is tried first: that is the ladder's order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..api.v1alpha1 import Price, Scenario
from ..artifact.facts import ArtifactFacts
from .advice import CONTEXT_STEP
from .engines import EngineConstants
from .need import Need
from .plan import Fit
from .published import Loss, loss_sentence
from .sums import Gpu, size_of
from .units import gib

HOURS_PER_MONTH = 730
SAME_PERCENT = 1


@dataclass(frozen=True)
class Holds:
    """What one replica holds on one kind of GPU, or of host memory."""

    weight_bytes: int
    """Of each GPU, or of the host: what every token's step reads of a dense model."""
    needed_bytes: int
    sequences: int
    """At the context asked for; 0 where not one fits."""
    context_tokens: int
    """At the sequences asked for; 0 where none fits."""


def why_this_rung(
    scenario: Scenario,
    need: Need,
    fit: Fit,
    *,
    parent: ArtifactFacts | None,
    engines: EngineConstants,
    losses: Sequence[Loss] = (),
    price: Price | None = None,
) -> str:
    """Return what the rung saves for the scenario, what it costs in answers, and what it costs to run."""
    said = []
    if parent is not None and fit.offered_bytes:
        both = (need, replace(need, facts=parent))
        mine, theirs = (holds(each, engines, fit.gpu, fit.offered_bytes) for each in both)
        said.append(_saved(scenario, need, fit, mine, theirs))
    said.append(loss_sentence(need.facts.scheme, losses) if _is_quantized(need.facts) else "")
    said.append(cost_sentence(need, price))
    return " ".join(sentence for sentence in said if sentence)


def holds(need: Need, engines: EngineConstants, gpu: Gpu | None, offered_bytes: int) -> Holds:
    """Return what one replica of a release would hold on such a GPU, or in so much host memory."""
    chosen = engines.choose(need.runtime, need.engine_version)

    def fits(asked: Need) -> bool:
        return size_of(asked, chosen, gpu).needed_bytes <= offered_bytes

    size = size_of(need, chosen, gpu)
    longest = need.facts.context_tokens or need.context_tokens
    return Holds(
        weight_bytes=next((item.bytes for item in size.items if item.name == "weights"), 0),
        needed_bytes=size.needed_bytes,
        sequences=_most(4_096, lambda count: fits(replace(need, concurrent_sequences=count))),
        context_tokens=_most(
            longest // CONTEXT_STEP, lambda step: fits(replace(need, context_tokens=step * CONTEXT_STEP))
        )
        * CONTEXT_STEP,
    )


def cost_sentence(need: Need, price: Price | None) -> str:
    """Return GPUs for each replica, and money where the user gave a price; '' on CPU."""
    gpus = need.gpus_per_replica
    if not gpus:
        return ""
    each = f"{gpus} GPU" if gpus == 1 else f"{gpus} GPUs"
    if price is None:
        return f"It takes {each} for each replica."
    hourly = gpus * price.gpu_hour_cents / 100
    monthly = hourly * need.replicas * HOURS_PER_MONTH
    replicas = "1 replica" if need.replicas == 1 else f"{need.replicas} replicas"
    return (
        f"It takes {each} for each replica, {hourly:,.2f} {price.currency} an hour; {replicas} for a month cost "
        f"{monthly:,.0f} {price.currency}."
    )


def _saved(scenario: Scenario, need: Need, fit: Fit, mine: Holds, theirs: Holds) -> str:
    match scenario:
        case Scenario.MEMORY:
            where = "of each GPU" if need.gpus_per_replica else "of memory"
            return _compared("For memory", gib(mine.needed_bytes), gib(theirs.needed_bytes), f"needed {where}",
                             mine.needed_bytes, theirs.needed_bytes)  # fmt: skip
        case Scenario.CONTEXT:
            return _compared("For context", f"{mine.context_tokens:,}", f"{theirs.context_tokens:,}",
                             f"tokens in each of {need.concurrent_sequences} sequences", mine.context_tokens,
                             theirs.context_tokens)  # fmt: skip
        case Scenario.THROUGHPUT:
            return _compared("For throughput", f"{mine.sequences:,}", f"{theirs.sequences:,}",
                             f"sequences of {need.context_tokens:,} tokens at once", mine.sequences,
                             theirs.sequences)  # fmt: skip
        case Scenario.LATENCY:
            read = _compared("For latency", gib(mine.weight_bytes), gib(theirs.weight_bytes),
                             "of weights read for each step", mine.weight_bytes, theirs.weight_bytes)  # fmt: skip
            kernel = fit.kernels[0] if fit.kernels else None
            slower = kernel is not None and kernel.runs in ("fallback", "emulation")
            return f"{read} The kernel is not a native one, so long prompts gain nothing." if slower else read


def _compared(start: str, mine: str, theirs: str, what: str, ours: int, other: int) -> str:
    if not other:
        return f"{start}: {mine} {what}; the parent does not fit there at all."
    percent = round(100 * (ours - other) / other)
    if abs(percent) < SAME_PERCENT:
        return f"{start} it changes nothing: {mine} {what}, as the parent."
    return f"{start}: {mine} {what}, where the parent has {theirs} ({percent:+d} %)."


def _is_quantized(facts: ArtifactFacts) -> bool:
    return facts.scheme not in ("F32", "F16", "BF16")


def _most(limit: int, holds: Callable[[int], bool]) -> int:
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low
