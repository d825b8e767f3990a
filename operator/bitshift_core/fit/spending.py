"""What a vLLM replica spends on each GPU besides its KV cache, stage by stage.

Here: which sums apply to a need on a GPU. Not here: their formulas (`weights`, `overhead`), what is left (`capacity`).
"""

from dataclasses import dataclass

from . import overhead
from .engines import VllmBand
from .gpu import Gpu
from .need import Need
from .spread import Stage, stages_of
from .weights import ENGINE_DTYPES, HALF_PRECISION_BYTES, load_peak_bytes, vllm_weight_bytes


@dataclass(frozen=True)
class Spending:
    """The bytes of one stage on each of its GPUs."""

    stage: Stage
    weights: int
    activations: int
    libraries: int
    graphs: int
    inside_budget: int
    """Of all this, what the engine counts before it takes the rest for the KV cache."""
    outside_budget: int
    """What must be free beside the budget."""


@dataclass(frozen=True)
class Batch:
    """What the engine is told, or takes by default, of how much it does at once."""

    tokens: int
    sequences: int
    profiled_tokens: int


def batch_of(need: Need, band: VllmBand, gpu: Gpu | None) -> Batch:
    """Return the batch; what the need leaves at 0 is the engine's default for the card."""
    total, product = (gpu.usable_bytes, gpu.product) if gpu else (0, "")
    tokens = need.batched_tokens or overhead.default_batched_tokens(
        total, product, huge_tokens=band.huge_batched_tokens
    )
    sequences = need.concurrent_sequences or overhead.default_sequences(band, total, product)
    profiled = overhead.profiled_tokens(band, context_tokens=need.context_tokens, batched_tokens=tokens)
    return Batch(tokens, sequences, profiled)


def spending_of(need: Need, band: VllmBand, gpu: Gpu | None) -> tuple[Spending, ...]:
    """Return each stage's spending, the first stage first."""
    batch = batch_of(need, band, gpu)
    return tuple(
        _stage_spending(need, band, stage, batch, gpu) for stage in stages_of(need.facts.layers, need.pipeline_stages)
    )


def peak_while_loading(need: Need, band: VllmBand) -> int:
    """Return the most that a GPU holds before anything is profiled."""
    return load_peak_bytes(need, band) + overhead.CUDA_CONTEXT_BYTES


def _stage_spending(need: Need, band: VllmBand, stage: Stage, batch: Batch, gpu: Gpu | None) -> Spending:
    facts, gpus, stages = need.facts, max(need.gpus_per_stage, 1), max(need.pipeline_stages, 1)
    weights = vllm_weight_bytes(need, band, stage)
    activations = overhead.vllm_activation_bytes(
        facts,
        band,
        stage,
        tokens=batch.profiled_tokens,
        sequences=batch.sequences,
        gpus=gpus,
        element_bytes=ENGINE_DTYPES.get(need.dtype, HALF_PRECISION_BYTES),
    )
    if gpu is None:
        libraries = band.host_process_mib << 20
        return Spending(stage, weights, activations, libraries, 0, weights + activations + libraries, 0)
    libraries = overhead.vllm_non_torch_bytes(band, gpus=gpus, stages=stages, peer_access=gpu.has_peer_access)
    graphs = 0 if need.enforce_eager else overhead.vllm_graph_bytes(facts, band, stage, sequences=batch.sequences)
    inside = weights + libraries + (0 if band.activations_outside_budget else activations)
    inside += graphs if band.graphs_inside_budget else 0
    later = weights + activations + libraries + graphs - inside
    outside = max(0, later - activations) if band.counts_context else later + overhead.CUDA_CONTEXT_BYTES
    return Spending(stage, weights, activations, libraries, graphs, inside, outside)
