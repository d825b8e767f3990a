"""The itemised sum of one replica on one kind of GPU, or on a host.

Here: which items make the sum for which engine. Not here: their formulas (`weights`, `kv_cache`, `overhead`), nodes.
"""

from dataclasses import dataclass

from ..api.v1alpha1 import SizeItem
from . import overhead
from .engines import Chosen, LlamaCppBand, VllmBand
from .kv_cache import half_bits_of, llamacpp_kv_cache_bytes, vllm_kv_cache_bytes
from .need import Need
from .units import MIB, ceil_div
from .weights import llamacpp_weight_bytes, vllm_weight_bytes


@dataclass(frozen=True)
class Gpu:
    """One kind of GPU; its bytes are the driver's figure, which GPU feature discovery labels nodes with."""

    total_bytes: int
    product: str = ""

    @property
    def usable_bytes(self) -> int:
        """Return what CUDA offers of it: firmware keeps 0.3 to 0.7 GiB that labels do not know of."""
        return max(0, self.total_bytes - self.total_bytes // 125 - 288 * MIB)


@dataclass(frozen=True)
class SizeSum:
    """The items and their total: bytes that each GPU, or the host, must have."""

    items: tuple[SizeItem, ...]

    @property
    def needed_bytes(self) -> int:
        """Return the total."""
        return sum(item.bytes for item in self.items)


def size_of(need: Need, chosen: Chosen, gpu: Gpu | None) -> SizeSum:
    """Return what one replica needs of each such GPU, or of host memory where there is none."""
    if isinstance(chosen.band, LlamaCppBand):
        return _llamacpp(need, chosen.band, is_known=chosen.is_known, on_gpu=gpu is not None)
    return _vllm(need, chosen.band, is_known=chosen.is_known, gpu=gpu)


def _llamacpp(need: Need, band: LlamaCppBand, *, is_known: bool, on_gpu: bool) -> SizeSum:
    facts, gpus = need.facts, need.gpus_per_replica
    tokens, sequences = need.context_tokens, need.concurrent_sequences
    half_bits = half_bits_of(need.kv_cache_dtype, facts.kv_cache_dtype)
    kv_cache = llamacpp_kv_cache_bytes(
        facts.attention,
        context_tokens=tokens,
        sequences=sequences,
        half_bits=half_bits,
        batch_tokens=band.batch_tokens,
    )
    compute = overhead.llamacpp_compute_bytes(facts, band, context_tokens=tokens, sequences=sequences)
    process = overhead.CUDA_CONTEXT_BYTES if on_gpu else overhead.llamacpp_process_bytes(facts, band)
    items = (
        SizeItem(name="weights", bytes=llamacpp_weight_bytes(facts, gpus=gpus), detail=facts.scheme),
        SizeItem(name="kv-cache", bytes=ceil_div(kv_cache, max(gpus, 1)), detail=_kv_detail(need)),
        SizeItem(name="activations", bytes=compute, detail="compute buffer, masks and logits"),
        SizeItem(name="other", bytes=process, detail="CUDA context" if on_gpu else "the server's own memory"),
    )
    return _with_margin(items, band.margin_bytes(_total(items), is_known=is_known), "spread of what was measured")


def _vllm(need: Need, band: VllmBand, *, is_known: bool, gpu: Gpu | None) -> SizeSum:
    """Return the sum whose margin holds what `--gpu-memory-utilization` keeps out of the budget."""
    gpus, sequences = max(need.gpus_per_replica, 1), need.concurrent_sequences
    graphs = overhead.vllm_graph_bytes(band, sequences=sequences) if gpu else 0
    items = _vllm_items(need, band, gpus=gpus, gpu=gpu, graphs=graphs)
    margin = band.margin_bytes(_total(items), is_known=is_known)
    if gpu is None:
        return _with_margin(items, margin, "spread of what was measured")
    outside = overhead.vllm_warm_up_bytes(need.facts, sequences=sequences) + overhead.CUDA_CONTEXT_BYTES
    if not band.graphs_inside_budget:
        outside += graphs
    budget = _total(items) + margin - (0 if band.graphs_inside_budget else graphs)
    percent = need.memory_utilization_percent or band.memory_utilization_percent
    whole = max(ceil_div(budget * 100, percent), budget + outside)
    return _with_margin(items, whole - _total(items), f"what vLLM leaves free at {percent} % and the spread of logs")


def _vllm_items(need: Need, band: VllmBand, *, gpus: int, gpu: Gpu | None, graphs: int) -> tuple[SizeItem, ...]:
    facts, sequences = need.facts, need.concurrent_sequences
    product, total_bytes = (gpu.product, gpu.total_bytes) if gpu else ("", 0)
    batched = need.batched_tokens or overhead.default_batched_tokens(total_bytes, product)
    kv_cache = vllm_kv_cache_bytes(
        facts.attention,
        context_tokens=need.context_tokens,
        sequences=sequences,
        gpus=gpus,
        half_bits=half_bits_of(need.kv_cache_dtype, facts.kv_cache_dtype),
        block_tokens=band.block_tokens,
        batched_tokens=batched,
    )
    activations = overhead.vllm_activation_bytes(facts, band, batched_tokens=batched, sequences=sequences, gpus=gpus)
    weights = vllm_weight_bytes(facts, gpus=gpus) + band.weights_extra_mib * MIB
    libraries = overhead.vllm_non_torch_bytes(band, gpus=gpus) if gpu else band.host_process_mib * MIB
    return (
        SizeItem(name="weights", bytes=weights, detail=facts.scheme + (f" over {gpus} GPUs" if gpus > 1 else "")),
        SizeItem(name="kv-cache", bytes=kv_cache, detail=_kv_detail(need)),
        SizeItem(name="activations", bytes=activations, detail=f"{batched} tokens in a batch"),
        SizeItem(name="other", bytes=graphs + libraries, detail="CUDA graphs and libraries" if graphs else "libraries"),
    )


def _kv_detail(need: Need) -> str:
    return f"{need.concurrent_sequences} x {need.context_tokens} tokens, {need.kv_cache_dtype or 'auto'}"


def _total(items: tuple[SizeItem, ...]) -> int:
    return sum(item.bytes for item in items)


def _with_margin(items: tuple[SizeItem, ...], margin_bytes: int, detail: str) -> SizeSum:
    return SizeSum((*items, SizeItem(name="margin", bytes=margin_bytes, detail=detail)))
