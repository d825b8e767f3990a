"""What a replica can do on a GPU: how large its KV cache becomes, how many sequences fit, and whether it starts at all.

Here: the pool that vLLM takes, with its band, and the ways in which a start fails. Not here: what each item takes
(`spending`, `pages`), nodes (`placement`).
"""

from dataclasses import dataclass

from ..artifact.families import is_known as is_known_family
from .engines import Chosen, VllmBand
from .gpu import Gpu
from .kv_cache import cached_layers, shape_of
from .need import Need
from .pages import Pages, pages_of
from .spending import Batch, Spending, batch_of, peak_while_loading, spending_of
from .units import MIB, gib

WIDEST_BAND_PERCENT = 15
FP8_BLOCK = 128
DOES_NOT_DIVIDE = "DoesNotDivide"


@dataclass(frozen=True)
class Estimate:
    """A number and the band that it is expected in."""

    low: int
    likely: int
    high: int


@dataclass(frozen=True)
class Capacity:
    """The KV cache of one replica, as its engine would print it, and why it would not start."""

    weights: Estimate
    """Of the first stage on each GPU: what vLLM prints as `Model loading took`."""
    pool: Estimate
    """Bytes on each GPU of the first stage: what vLLM prints as `Available KV cache memory`."""
    tokens: Estimate
    """What vLLM prints as `GPU KV cache size`, of the stage with the least room."""
    sequences: int
    """Whole contexts that surely fit at once."""
    reason: str = ""
    message: str = ""

    @property
    def starts(self) -> bool:
        """Return whether the engine would start."""
        return not self.reason


@dataclass(frozen=True)
class _Room:
    """One stage's pages and the pool that is left for them."""

    pages: Pages
    pool: Estimate
    sure: int
    """What is left when items take a third of what they may be off, all of it where the version is not known."""

    def blocks(self, pool_bytes: int) -> int:
        return max(pool_bytes, 0) // max(self.pages.page_bytes, 1)


def capacity_of(need: Need, chosen: Chosen, gpu: Gpu) -> Capacity:
    """Return what vLLM makes of that GPU; engines that were not measured are taken to do the same, in a wider band."""
    assert isinstance(chosen.band, VllmBand)
    band, batch = chosen.band, batch_of(need, chosen.band, gpu)
    spending = spending_of(need, band, gpu)
    percent = need.memory_utilization_percent or band.memory_utilization_percent
    budget = int(gpu.usable_bytes * percent / 100)
    rooms = tuple(_room(need, chosen, one, budget) for one in spending)
    least = min(rooms, key=lambda room: room.blocks(room.pool.likely))
    context = need.context_tokens or need.facts.context_tokens
    tokens = Estimate(
        *(_printed(least, pool, context, batch, band) for pool in (least.pool.low, least.pool.likely, least.pool.high))
    )
    surely = least.pages.sequences_in(least.blocks(least.sure), context, batch.tokens) if context else 0
    reason, message = _why_not(need, band, gpu, budget, spending, least, batch)
    weights = spending[0].weights
    share = band.weights_percent * (1 if need.facts.is_sure else 2) / 100
    within = Estimate(int(weights * (1 - share)), weights, int(weights * (1 + share)))
    return Capacity(within, rooms[0].pool, tokens, int(surely), reason, message)


def undivided(need: Need) -> str:
    """Return what cannot be split over so many GPUs; the engine refuses it before it loads anything.

    Sources: vLLM, `config/parallel.py` (heads), `layers/quantization/fp8.py` (blocks of an expert's width).
    """
    facts, gpus = need.facts, max(need.gpus_per_stage, 1)
    if facts.attention_heads % gpus:
        return f"{facts.attention_heads} attention heads cannot be split over {gpus} GPUs."
    width = facts.expert_intermediate_size
    if facts.scheme.endswith("fp8-block") and width and not need.expert_parallel and width % (gpus * FP8_BLOCK):
        return f"Experts {width} wide cannot be split over {gpus} GPUs in blocks of {FP8_BLOCK}; whole experts can."
    return ""


def _room(need: Need, chosen: Chosen, spending: Spending, budget: int) -> _Room:
    assert isinstance(chosen.band, VllmBand)
    likely = budget - spending.inside_budget
    widest = abs(likely) * WIDEST_BAND_PERCENT // 100
    is_known = chosen.is_known and is_known_family(need.facts.architecture)
    spread = _spread(chosen.band, spending, budget, is_known=is_known, is_sure=need.facts.is_sure)
    told = need.memory_utilization_percent and need.concurrent_sequences and need.batched_tokens
    within = min(spread, widest) if told and is_known else widest
    pages = pages_of(spending.stage.attention(cached_layers(need)), shape_of(need, chosen.band))
    sure = likely - spread // (3 if is_known else 1)
    return _Room(pages, Estimate(likely - within, likely, likely + within), sure)


def _spread(band: VllmBand, spending: Spending, budget: int, *, is_known: bool, is_sure: bool) -> int:
    """Return how far the items together may be off: a little of the weights, more of what only a profile tells."""
    if not is_known:
        return band.margin_bytes(budget, is_known=False)
    weights = spending.weights * band.weights_percent * (1 if is_sure else 2) / 100
    profiled = (spending.inside_budget - spending.weights) * band.profile_percent / 100
    return int(weights + profiled) + band.margin_mib * MIB // 2


def _printed(room: _Room, pool_bytes: int, context: int, batch: Batch, band: VllmBand) -> int:
    """Return the tokens that are printed; where nobody says how long a context is, those of the pages."""
    by_concurrency = band.prints_concurrency and context > 0
    blocks = room.blocks(pool_bytes)
    return room.pages.printed_tokens(blocks, context, batch.tokens, by_concurrency=by_concurrency)


def _why_not(
    need: Need,
    band: VllmBand,
    gpu: Gpu,
    budget: int,
    spending: tuple[Spending, ...],
    least: _Room,
    batch: Batch,
) -> tuple[str, str]:
    """Return the reason and its sentence in the order in which a start would run into them; empty where it starts."""
    if why := undivided(need):
        return DOES_NOT_DIVIDE, why
    peak = peak_while_loading(need, band)
    if peak > gpu.usable_bytes:
        return "LoadDoesNotFit", f"Loading needs {gib(peak)} and the GPU offers {gib(gpu.usable_bytes)}."
    blocks = least.blocks(least.sure)
    needed = max(least.pages.blocks_for(max(need.context_tokens, 1), batch.tokens), 1)
    if blocks < needed:
        missing = needed * least.pages.page_bytes - least.sure
        what = f"one sequence of {need.context_tokens} tokens" if need.context_tokens else "a single page"
        return "KVCacheDoesNotFit", f"{gib(max(missing, 0))} are missing for {what} beside weights and activations."
    recurrent = any(kind.is_recurrent for kind in least.pages.kinds)
    if recurrent and not need.enforce_eager and blocks < batch.sequences:
        return "TooFewStates", f"{batch.sequences} sequences need a recurrent state each; {blocks} pages are left."
    outside = max(one.outside_budget for one in spending)
    if budget + outside > gpu.usable_bytes:
        return (
            "GraphsDoNotFit",
            f"{gib(outside)} are needed beside the budget of {gib(budget)}, of {gib(gpu.usable_bytes)} in all.",
        )
    return "", ""
