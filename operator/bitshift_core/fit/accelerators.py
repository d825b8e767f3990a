"""What kind of GPU it is, as kernels ask: a platform and a compute capability, or an AMD instruction set.

Here: labels and names of products → `Accelerator`. Not here: which kernels that gives (`kernels`), how many there are
and how much memory they have (`offers`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

MAJOR_LABEL, MINOR_LABEL = "nvidia.com/gpu.compute.major", "nvidia.com/gpu.compute.minor"
CPUID_LABEL = "feature.node.kubernetes.io/cpu-cpuid."
"""What node feature discovery writes before the name of each instruction set that it found."""
_CAPABILITY = re.compile(r"^(\d{1,2})\.(\d{1,2})")
_NOT_A_SIGN = re.compile(r"[^A-Za-z0-9]")


@dataclass(frozen=True)
class Accelerator:
    """One kind of GPU, or the host's CPU; what is not known of it is None or empty, never guessed."""

    platform: Literal["cuda", "rocm", "cpu"]
    capability: tuple[int, int] | None = None
    """NVIDIA's compute capability as numbers, so that 12.0 is more than 9.0."""
    family: str = ""
    """AMD's instruction set: gfx942."""
    product: str = ""
    instructions: frozenset[str] | None = None
    """What a CPU can do beyond the usual, as node feature discovery names it: AVX512F."""

    @property
    def words(self) -> str:
        """Return it in a person's words: `compute capability 7.5 (Tesla-T4)`."""
        if self.platform == "cpu":
            return "a CPU"
        name = self.product or "a GPU without a product label"
        if self.capability:
            return f"compute capability {self.capability[0]}.{self.capability[1]} ({name})"
        return f"{self.family} ({name})" if self.family else name


CPU = Accelerator("cpu")


def cpu(labels: Mapping[str, str]) -> Accelerator:
    """Return what node feature discovery's labels tell; without AVX among them it is no x86 CPU, or not labelled."""
    found = {name.removeprefix(CPUID_LABEL) for name, value in labels.items() if is_cpuid(name) and value == "true"}
    return replace(CPU, instructions=frozenset(found) if "AVX" in found else None)


def is_cpuid(label: str) -> bool:
    """Return whether a label tells an instruction set."""
    return label.startswith(CPUID_LABEL)


def nvidia(labels: Mapping[str, str], product: str, products: Mapping[str, str]) -> Accelerator:
    """Return what GPU feature discovery's labels tell, else what the product's name does."""
    major, minor = labels.get(MAJOR_LABEL, ""), labels.get(MINOR_LABEL, "0")
    if major.isdecimal() and minor.isdecimal():
        return Accelerator("cuda", (int(major), int(minor)), product=product)
    return Accelerator("cuda", capability_of(by_product(product, products)), product=product)


def amd(product: str, products: Mapping[str, str]) -> Accelerator:
    """Return what an AMD product's name tells."""
    found = by_product(product, products)
    return Accelerator("rocm", family=found if found.startswith("gfx") else "", product=product)


def by_product(product: str, products: Mapping[str, str]) -> str:
    """Return what the table says of the longest of its names that is part of the product's; '' for none.

    A digit may not follow: the A10 is not part of the A100.
    """
    plain = _NOT_A_SIGN.sub("", product)
    found = [name for name in products if re.search(rf"{re.escape(name)}(?!\d)", plain, re.IGNORECASE)]
    return products[max(found, key=len)] if found else ""


def capability_of(text: str) -> tuple[int, int] | None:
    """Return `9.0`, or DRA's `9.0.0`, as two numbers."""
    found = _CAPABILITY.match(text)
    return (int(found[1]), int(found[2])) if found else None
