"""The itemised sum of one replica on one kind of GPU, or on a host.

Here: which items make the sum for which engine. Not here: their formulas (`weights`, `pages`, `overhead`), nodes.
"""

from dataclasses import dataclass, replace
from math import ceil

from ..api.v1alpha1 import SizeItem
from . import overhead
from .engines import Band, Chosen, LlamaCppBand, VllmBand
from .gpu import Gpu
from .kv_cache import cached_layers, half_bits_of, llamacpp_kv_cache_bytes, shape_of, vllm_kv_cache_bytes
from .need import Need
from .spending import Spending, batch_of, peak_while_loading, spending_of
from .units import MIB, ceil_div
from .weights import draft_need, llamacpp_host_bytes, llamacpp_weight_bytes

__all__ = ["Gpu", "SizeSum", "size_of"]


@dataclass(frozen=True)
class SizeSum:
    """The items and their total: bytes that each GPU, or the host, must have; and what else must hold the replica."""

    items: tuple[SizeItem, ...]
    low_bytes: int = 0
    """The least and the most that the items without their margin are expected to take."""
    high_bytes: int = 0
    host_bytes: int = 0
    """Of host memory beside the GPUs."""
    disk_bytes: int = 0
    """Of the download."""

    @property
    def needed_bytes(self) -> int:
        """Return the total."""
        return sum(item.bytes for item in self.items)


def size_of(need: Need, chosen: Chosen, gpu: Gpu | None) -> SizeSum:
    """Return what one replica needs of each such GPU, or of host memory where there is none."""
    is_known = chosen.is_known and need.facts.is_sure
    if isinstance(chosen.band, LlamaCppBand):
        return _llamacpp(need, chosen.band, is_known=is_known, on_gpu=gpu is not None)
    return _vllm(need, chosen.band, is_known=is_known, gpu=gpu)


def _llamacpp(need: Need, band: LlamaCppBand, *, is_known: bool, on_gpu: bool) -> SizeSum:
    facts, gpus = need.facts, need.gpus_per_stage
    tokens, sequences = need.context_tokens, need.concurrent_sequences
    kv_cache = llamacpp_kv_cache_bytes(
        facts.attention,
        context_tokens=tokens,
        sequences=sequences,
        half_bits=half_bits_of(need.kv_cache_dtype, facts.kv_cache_dtype),
        batch_tokens=band.batch_tokens,
    )
    offloaded = facts.layers if need.gpu_layers < 0 else min(need.gpu_layers, facts.layers)
    on_gpus = ceil_div(kv_cache * offloaded, facts.layers) if on_gpu else kv_cache
    compute = overhead.llamacpp_compute_bytes(facts, band, context_tokens=tokens, sequences=sequences)
    process = overhead.llamacpp_process_bytes(facts, band)
    weights = llamacpp_weight_bytes(facts, gpus=gpus, gpu_layers=need.gpu_layers)
    items: tuple[SizeItem, ...] = (
        SizeItem(name="weights", bytes=weights, detail=facts.scheme),
        SizeItem(name="kv-cache", bytes=ceil_div(on_gpus, max(gpus, 1)), detail=_kv_detail(need)),
        SizeItem(name="activations", bytes=compute, detail="compute buffer, masks and logits"),
        SizeItem(
            name="other",
            bytes=overhead.CUDA_CONTEXT_BYTES if on_gpu else process,
            detail="CUDA context" if on_gpu else "the server's own memory",
        ),
    )
    host = llamacpp_host_bytes(facts, gpu_layers=need.gpu_layers) + process + kv_cache - on_gpus if on_gpu else 0
    if need.draft:
        items = _with_draft(items, _llamacpp(draft_need(need), band, is_known=is_known, on_gpu=on_gpu).items)
    margin = band.margin_bytes(_total(items), is_known=is_known)
    return _sum(need, items, band, margin, "spread of what was measured", is_known=is_known, host_bytes=host)


def _with_draft(items: tuple[SizeItem, ...], drafts: tuple[SizeItem, ...]) -> tuple[SizeItem, ...]:
    """Return the items of a model and of the one that guesses for it, in one process.

    Every slot has a context of its own for the draft, as long as its own. Source: llama.cpp, `tools/server`.
    """
    of_draft = {item.name: item.bytes for item in drafts if item.name in ("weights", "kv-cache", "activations")}
    return tuple(item.model_copy(update={"bytes": item.bytes + of_draft.get(item.name, 0)}) for item in items)


def _vllm(need: Need, band: VllmBand, *, is_known: bool, gpu: Gpu | None) -> SizeSum:
    """Return the sum whose margin holds what `--gpu-memory-utilization` keeps out of the budget."""
    if gpu is None:
        need = replace(need, block_tokens=need.block_tokens or band.host_block_tokens)
    spendings = spending_of(need, band, gpu)
    caches = tuple(_kv_cache_bytes(need, band, spending, gpu) for spending in spendings)
    spending, cache = max(zip(spendings, caches, strict=True), key=lambda pair: pair[0].inside_budget + pair[1])
    items = _vllm_items(need, band, spending, cache, gpu)
    margin = band.margin_bytes(_total(items), is_known=is_known)
    host = band.host_process_mib * MIB * max(need.gpus_per_pod, 1) + _largest_file_bytes(need)
    if gpu is None:
        detail = "spread of what was measured"
        return _sum(need, items, band, margin, detail, is_known=is_known, host_bytes=0)
    budget = spending.inside_budget + cache + margin
    percent = need.memory_utilization_percent or band.memory_utilization_percent
    whole = max(ceil(budget * 100 / percent), budget + spending.outside_budget, peak_while_loading(need, band))
    detail = f"what vLLM leaves free at {percent} % and the spread of logs"
    return _sum(need, items, band, whole - _total(items), detail, is_known=is_known, host_bytes=host)


def _kv_cache_bytes(need: Need, band: VllmBand, spending: Spending, gpu: Gpu | None) -> int:
    layers = spending.stage.attention(cached_layers(need))
    needed = vllm_kv_cache_bytes(layers, shape_of(need, band), need, batch_of(need, band, gpu).tokens)
    return need.kv_cache_bytes or needed


def _vllm_items(need: Need, band: VllmBand, spending: Spending, cache: int, gpu: Gpu | None) -> tuple[SizeItem, ...]:
    gpus = max(need.gpus_per_replica, 1)
    scheme = f"{need.quantization}, made while loading" if need.quantization else need.facts.scheme
    held = f" and {need.adapters} adapters" if need.adapters else ""
    held += " and a draft model" if need.draft else ""
    spread = scheme + held + (f" over {gpus} GPUs" if gpus > 1 else "")
    batch = batch_of(need, band, gpu)
    batched = batch.profiled_tokens
    where = "inside the engine's budget" if band.graphs_inside_budget else "beside the engine's budget"
    graphs = (SizeItem(name="graphs", bytes=spending.graphs, detail=f"CUDA graphs, {where}"),)
    return (
        SizeItem(name="weights", bytes=spending.weights, detail=spread),
        SizeItem(name="kv-cache", bytes=cache, detail=_kv_detail(need)),
        SizeItem(name="activations", bytes=spending.activations, detail=f"{batched} tokens in a batch"),
        *(graphs if spending.graphs else ()),
        SizeItem(name="other", bytes=spending.libraries, detail="libraries"),
    )


def _kv_detail(need: Need) -> str:
    return f"{need.concurrent_sequences} x {need.context_tokens} tokens, {need.kv_cache_dtype or 'auto'}"


def _largest_file_bytes(need: Need) -> int:
    """Return what is mapped at once while weights go to the GPUs: one file after the other."""
    return max(file.size_bytes for file in need.facts.files)


def _total(items: tuple[SizeItem, ...]) -> int:
    return sum(item.bytes for item in items)


def _sum(
    need: Need, items: tuple[SizeItem, ...], band: Band, margin: int, detail: str, *, is_known: bool, host_bytes: int
) -> SizeSum:
    total = _total(items)
    spread = band.margin_bytes(total, is_known=is_known)
    return SizeSum(
        (*items, SizeItem(name="margin", bytes=margin, detail=detail)),
        low_bytes=max(0, total - spread),
        high_bytes=total + spread,
        host_bytes=host_bytes,
        disk_bytes=sum(file.size_bytes for file in need.facts.files),
    )
