"""What of its GPUs a node offers to pods, by the name that a pod asks for: whole cards, MIG slices, shared cards.

Here: allocatable resources and labels → `Offer`. Not here: devices that are claimed (`devices`), other resources of a
node (`placement`).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from .quantities import whole
from .units import GIB, MIB

NVIDIA_GPU, AMD_GPU = "nvidia.com/gpu", "amd.com/gpu"
SHARED = ".shared"
MEMORY_LABEL, PRODUCT_LABEL = "nvidia.com/gpu.memory", "nvidia.com/gpu.product"
REPLICAS_LABEL, SHARING_LABEL = "nvidia.com/gpu.replicas", "nvidia.com/gpu.sharing-strategy"
AMD_MEMORY_LABELS = ("amd.com/gpu.vram", "beta.amd.com/gpu.vram")
AMD_PRODUCT_LABELS = ("amd.com/gpu.product-name", "beta.amd.com/gpu.product-name")
MIG_NAME_IS_AT_MOST_PERCENT = 95
"""A slice has a little less than its name says: 4,864 MiB in a 1g.5gb, 9,984 in a 1g.10gb."""

Sharing = Literal["", "time-slicing", "mps"]
_MIG = re.compile(r"^nvidia\.com/mig-(\d+)g\.(\d+)gb")


@dataclass(frozen=True)
class Offer:
    """One kind of GPU of one node, under the name that pods ask for."""

    resource: str
    """`nvidia.com/gpu`, `nvidia.com/mig-3g.40gb`, `amd.com/gpu`; a device class where devices are claimed."""
    count: int
    free: int
    memory_bytes: int
    """Of each, by the driver's figure; 0 where nothing tells."""
    product: str = ""
    sharing: Sharing = ""
    is_slice: bool = False
    """A MIG slice: nothing can be split over several of them."""
    claim_driver: str = ""
    """The DRA driver whose devices pods claim; '' where a device plugin counts them."""
    memory_label: str = MEMORY_LABEL
    product_label: str = PRODUCT_LABEL
    capability: tuple[int, int] | None = None
    """What a device's attribute says of itself; labels say it of a node."""

    @property
    def platform(self) -> Literal["cuda", "rocm"]:
        """Return whose GPUs they are."""
        return "rocm" if "amd.com" in (self.resource + self.claim_driver) else "cuda"

    def refusal(self, gpus: int) -> str:
        """Return why a sum of bytes says nothing here, as the end of a sentence; '' where it holds."""
        if self.sharing == "time-slicing":
            return "shares its GPUs in time: each pod may take the whole memory, so no sum of ours would hold"
        if self.sharing == "mps" and not self.memory_bytes:
            return f"shares its GPUs by MPS without `{REPLICAS_LABEL}`: what each pod may take is not known"
        if self.sharing == "mps" and gpus > 1:
            return "shares its GPUs by MPS, which gives a pod one part at most"
        if self.is_slice and gpus > 1:
            return "offers MIG slices, over which a model cannot be split"
        return ""


def is_gpu(resource: str) -> bool:
    """Return whether a resource's name is one under which pods ask for GPUs or slices of them."""
    return resource.startswith((NVIDIA_GPU, AMD_GPU)) or bool(_MIG.match(resource))


def offers_of(allocatable: Mapping[str, str], taken: Mapping[str, int], labels: Mapping[str, str]) -> tuple[Offer, ...]:
    """Return what the node offers beside whole cards that nobody shares: those are the node's own fields."""
    return tuple(_offers(allocatable, taken, labels))


def _offers(allocatable: Mapping[str, str], taken: Mapping[str, int], labels: Mapping[str, str]) -> Iterator[Offer]:
    for resource, quantity in allocatable.items():
        count = whole(quantity)
        free = max(0, count - taken.get(resource, 0))
        if not count:
            continue
        if resource == NVIDIA_GPU + SHARED:
            yield Offer(resource, count, free, memory_of(labels), labels.get(PRODUCT_LABEL, ""), sharing_of(labels))
        elif found := _MIG.match(resource):
            yield _slice(resource, int(found[2]), count, free, labels)
        elif resource == AMD_GPU:
            memory_label, memory = _first(labels, AMD_MEMORY_LABELS)
            product_label, product = _first(labels, AMD_PRODUCT_LABELS)
            yield Offer(
                resource,
                count,
                free,
                whole(f"{memory}i") if memory else 0,
                product,
                memory_label=memory_label,
                product_label=product_label,
            )


def _slice(resource: str, named_gib: int, count: int, free: int, labels: Mapping[str, str]) -> Offer:
    """Return a slice under the mixed strategy, which has labels of its own."""
    plain = resource.removesuffix(SHARED)
    named = named_gib * GIB * MIG_NAME_IS_AT_MOST_PERCENT // 100
    return Offer(
        resource,
        count,
        free,
        whole(labels.get(f"{plain}.memory")) * MIB or named,
        labels.get(f"{plain}.product", labels.get(PRODUCT_LABEL, "")),
        "time-slicing" if resource.endswith(SHARED) or whole(labels.get(f"{plain}.replicas")) > 1 else "",
        is_slice=True,
        memory_label=f"{plain}.memory",
        product_label=f"{plain}.product",
    )


def sharing_of(labels: Mapping[str, str]) -> Sharing:
    """Return how whole cards are shared; a plugin too old to say so knew nothing but time-slicing."""
    said = labels.get(SHARING_LABEL, "")
    if said == "mps":
        return "mps"
    shared = labels.get(PRODUCT_LABEL, "").endswith("-SHARED") or whole(labels.get(REPLICAS_LABEL)) > 1
    return "time-slicing" if said == "time-slicing" or (said in ("", "mps") and shared) else ""


def memory_of(labels: Mapping[str, str]) -> int:
    """Return what a pod may take of a whole card: MPS gives each an equal part, and enforces it."""
    total = whole(labels.get(MEMORY_LABEL)) * MIB
    if sharing_of(labels) != "mps":
        return total
    parts = whole(labels.get(REPLICAS_LABEL))
    return total // parts if parts else 0


def is_mig(labels: Mapping[str, str]) -> bool:
    """Return whether `nvidia.com/gpu` means slices here: under the single strategy it does."""
    return labels.get("nvidia.com/mig.strategy") == "single" and "-MIG-" in labels.get(PRODUCT_LABEL, "")


def _first(labels: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, str]:
    """Return the first label that is there, and its value; AMD's labeller once wrote the value into the name."""
    for name in names:
        if name in labels:
            return name, labels[name]
        for label in labels:
            if label.startswith(f"{name}."):
                return label, label.removeprefix(f"{name}.")
    return names[0], ""
