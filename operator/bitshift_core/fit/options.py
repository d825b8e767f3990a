"""One release on each kind of node: how much it needs there, whether it has kernels, how many pods find a seat.

Here: `Kind` → `Option`, and the options that one pod template can use together. Not here: kinds (`fleet`), the verdict
(`plan`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from .capacity import DOES_NOT_DIVIDE, undivided
from .engines import Chosen, VllmBand
from .fleet import Kind
from .kernels import NO_KERNEL, Kernel, KernelTable, sentences, worst
from .need import Need
from .sums import Gpu, SizeSum, size_of

SHARED_GPUS = "SharedGPUs"
UNBOUNDED, TOO_SMALL = "UnboundedKVCache", "KVCacheTooSmall"


@dataclass(frozen=True)
class Known:
    """What plans rest on besides nodes: constants of the engine, and kernels."""

    chosen: Chosen
    kernels: KernelTable = field(default_factory=KernelTable)
    supports: dict[tuple[str, int, int], tuple[Kernel, ...]] = field(default_factory=dict)
    """What was found out in this plan, by KV cache, GPUs and kind: asked for again with every context that is tried."""

    def support(self, need: Need, kind: Kind) -> tuple[Kernel, ...]:
        """Return what runs the release there; of all that may be tried, the KV cache and a split have other kernels."""
        key = (need.kv_cache_dtype, need.gpus_per_stage, id(kind))
        if key not in self.supports:
            accelerator = kind.accelerator(self.kernels.products)
            self.supports[key] = self.kernels.support(need, accelerator)
        return self.supports[key]


@dataclass(frozen=True)
class Option:
    """A release on one kind of node."""

    need: Need
    kind: Kind
    size: SizeSum
    capacity_bytes: int
    """What each GPU offers, or the largest host."""
    kernels: tuple[Kernel, ...] = ()
    refusal: tuple[str, str] | None = None
    """Why it is not for this release at all, however much memory it has."""

    @property
    def needed_bytes(self) -> int:
        """Return what each GPU, or the host, must have."""
        return self.size.needed_bytes

    @property
    def holds(self) -> bool:
        """Return whether one GPU, or the largest host, is large enough."""
        return self.refusal is None and 0 < self.needed_bytes <= self.capacity_bytes

    @cached_property
    def now(self) -> Sequence[int]:
        """Return how many pods each node takes beside what runs there."""
        return self.kind.seats_now(self.need, self.needed_bytes) if self.holds else (0,) * len(self.kind.nodes)

    @cached_property
    def empty(self) -> int:
        """Return how many pods all nodes would take if nothing else ran there."""
        return self.kind.seats_empty(self.need, self.needed_bytes) if self.holds else 0

    @cached_property
    def most_gpus(self) -> int:
        """Return the GPUs of the node that has most."""
        return max(self.kind.counts, default=0)


@dataclass(frozen=True)
class Together:
    """The options that one pod template can use: GPUs under one name, or the hosts."""

    resource: str
    options: tuple[Option, ...]

    @cached_property
    def now(self) -> int:
        """Return how many pods find a seat now."""
        return sum(sum(option.now) for option in self.options)

    @cached_property
    def empty(self) -> int:
        """Return how many pods would find a seat if nothing else ran."""
        return sum(option.empty for option in self.options)

    @property
    def largest(self) -> Option:
        """Return the option with the most memory among those that may be used at all."""
        return max(self.options, key=lambda option: (option.refusal is None, option.capacity_bytes))

    def is_enough(self) -> bool:
        """Return whether all pods would find a seat if nothing else ran."""
        return self.empty >= self.options[0].need.pods


def options_for(need: Need, kinds: Sequence[Kind], known: Known) -> Iterator[Option]:
    """Yield the release on every kind of node that the scheduler would consider."""
    sizes: dict[Gpu | None, SizeSum] = {}
    for kind in kinds:
        gpu = gpu_of(kind)
        if gpu not in sizes:
            sizes[gpu] = size_of(need, known.chosen, gpu)
        kernels = known.support(need, kind)
        yield Option(need, kind, sizes[gpu], _capacity(kind, gpu), kernels, _refusal(need, kind, kernels, known))


def together(options: Sequence[Option]) -> list[Together]:
    """Return the options by the name that pods ask for; the most promising first, then the smallest GPU that holds."""
    by_name: dict[str, list[Option]] = {}
    for option in options:
        by_name.setdefault(option.kind.offer.resource if option.kind.offer else "", []).append(option)
    found = [Together(name, tuple(members)) for name, members in by_name.items()]
    return sorted(found, key=_promise)


def _promise(group: Together) -> tuple[bool, bool, bool, int]:
    pods = group.options[0].need.pods
    holding = [option.capacity_bytes for option in group.options if option.holds]
    smallest = min(holding) if holding else -group.largest.capacity_bytes
    return group.now < pods, group.empty < pods, not holding, smallest


def _capacity(kind: Kind, gpu: Gpu | None) -> int:
    if gpu is None:
        return max(node.memory_allocatable_bytes for node in kind.nodes)
    return gpu.usable_bytes


def _refusal(need: Need, kind: Kind, kernels: Sequence[Kernel], known: Known) -> tuple[str, str] | None:
    offer = kind.offer
    if offer and (shared := offer.refusal(need.gpus_per_pod)):
        return SHARED_GPUS, f"{kind.nodes[0].name} {shared}."
    if isinstance(known.chosen.band, VllmBand) and need.gpus_per_replica and (why := undivided(need)):
        return DOES_NOT_DIVIDE, why
    if need.runtime == "vllm" and not need.gpus_per_replica and not need.kv_cache_bytes:
        return UNBOUNDED, _unbounded(need, kind, known)
    if (
        need.kv_cache_bytes
        and (one := sequences_bytes(replace(need, concurrent_sequences=1), kind, known)) > need.kv_cache_bytes
    ):
        return TOO_SMALL, _too_small(need, one)
    if worst(kernels) == "none":
        return NO_KERNEL, " ".join(sentences(kernels))
    return None


def gpu_of(kind: Kind) -> Gpu | None:
    """Return the GPU that such nodes offer; None for hosts."""
    return Gpu(kind.offer.memory_bytes, kind.offer.product) if kind.offer else None


def sequences_bytes(need: Need, kind: Kind, known: Known) -> int:
    """Return the KV cache that the sequences take, whatever the engine is told to take."""
    items = size_of(replace(need, kv_cache_bytes=0), known.chosen, gpu_of(kind)).items
    return next(item.bytes for item in items if item.name == "kv-cache")


def _too_small(need: Need, one: int) -> str:
    """Return why vLLM would end at its start. Source: vLLM, `v1/core/kv_cache_utils.py`, `max seq len`."""
    return (
        f"Its KV cache may have {need.kv_cache_bytes} bytes, and one sequence of {need.context_tokens:,} tokens takes "
        f"{one}: raise `--kv-cache-memory-bytes` to that or more, or lower `serving.contextTokens`."
    )


def _unbounded(need: Need, kind: Kind, known: Known) -> str:
    """Return how to bound what vLLM takes of a host. Source: vLLM, `v1/worker/cpu_worker.py`."""
    enough = sequences_bytes(need, kind, known)
    return (
        "On CPUs vLLM takes nine tenths of the node's memory unless it is told how much its KV cache may have: add "
        f"`--kv-cache-memory-bytes {enough}` to `serving.extraArgs`, which holds {need.concurrent_sequences} sequences "
        f"of {need.context_tokens:,} tokens, or say more."
    )
