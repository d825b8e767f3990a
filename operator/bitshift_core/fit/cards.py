"""What CUDA or ROCm itself offers of each card: less than its marketing size, and less than its label.

Here: the totals that engines and `cudaMemGetInfo` printed. The firmware keeps the rest, with ECC some per cent more, so
the share differs from card to card. Not here: nodes and their labels (`placement`).
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from .units import GIB, MIB

_WORD = re.compile(r"[A-Z0-9]+")
AMD = frozenset({"AMD", "INSTINCT", "RADEON"})
AMD_KEEPS_BYTES = 20 * MIB
LABEL_TOLERANCE_PERCENT = 8
"""A label this far from the card's size is a slice of it, or another card of that name."""


@dataclass(frozen=True)
class Card:
    """One product: the words that all occur in its name, its marketing size and the total that software sees."""

    words: str
    marketed_gib: int
    seen_gib: float
    source: str


LLMD = "llm-d-planner pull request 205: free and total memory in startup logs"
TORCH = "`total capacity` in torch's out-of-memory messages in public issues"
CARDS = (
    Card("H100 80GB", 80, 79.19, LLMD),
    Card("H100", 80, 79.19, LLMD),
    Card("H200", 141, 139.72, "vllm-project/vllm issue 13074: the same HBM3e as the H20 of 141 GB"),
    Card("H20 141GB", 141, 139.72, "vllm-project/vllm issue 13074"),
    Card("H20 3E", 141, 139.72, "vllm-project/vllm issue 13074"),
    Card("H20", 96, 95.0, "vllm-project/recipes: H20 of 96 GB"),
    Card("A100 80GB", 80, 79.25, TORCH),
    Card("A100 40GB", 40, 39.39, "vllm-project/vllm issue 12330: 39.39 to 39.50"),
    Card("A100", 40, 39.39, "vllm-project/vllm issue 12330: 39.39 to 39.50"),
    Card("A100", 80, 79.25, TORCH),
    Card("B200", 180, 178.35, "unslothai/unsloth issue 3411"),
    Card("L40S", 48, 44.42, "vLLM 0.10 log on an L40S"),
    Card("L4", 24, 22.04, TORCH),
    Card("A10", 24, 22.06, TORCH),
    Card("A40", 48, 44.42, TORCH),
    Card("A6000", 48, 47.53, "aphrodite-engine pull request 1320"),
    Card("T4", 16, 14.74, "vLLM 0.7.2 log on a T4"),
    Card("RTX 3090", 24, 23.58, "vllm-project/vllm issue 10517"),
    Card("RTX 4090", 24, 23.55, "vllm-project/vllm issue 13061: 23.08 GiB at 0.98"),
    Card("RTX 5090", 32, 31.4, "vllm-project/recipes pull request 810"),
    Card("RTX PRO 6000", 96, 95.59, "vllm-project/recipes pull request 831"),
    Card("MI300X", 192, 191.98, "vllm-project/recipes issue 273"),
)


def seen_bytes(product: str, labelled_bytes: int) -> int:
    """Return what software sees of such a card; 0 where the product is not known or the label speaks of a part of it.

    Without a label the product's name decides, and where it names cards of several sizes, the smallest.
    """
    words = words_of(product)
    if "MIG" in words:
        return 0
    named = [card for card in CARDS if words_of(card.words) <= words]
    most = max((len(words_of(card.words)) for card in named), default=0)
    fitting = [card for card in named if _agrees(card, labelled_bytes)] if labelled_bytes else named
    closest = [card for card in fitting if len(words_of(card.words)) == most] or fitting
    return min((int(card.seen_gib * GIB) for card in closest), default=0)


def likely_bytes(labelled_bytes: int, product: str = "") -> int:
    """Return what remains of a label whose card is not known: NVIDIA's firmware keeps 0.3 to 0.7 GiB, AMD's hardly any.

    Of an MI300X of 192 GiB ROCm reports 191.98, of an MI50 of 32 GiB 31.98.
    """
    if AMD & words_of(product):
        return max(0, labelled_bytes - AMD_KEEPS_BYTES)
    return max(0, labelled_bytes - labelled_bytes // 125 - 288 * MIB)


def _agrees(card: Card, labelled_bytes: int) -> bool:
    return abs(labelled_bytes - card.marketed_gib * GIB) * 100 <= LABEL_TOLERANCE_PERCENT * card.marketed_gib * GIB


@lru_cache(maxsize=1024)
def words_of(name: str) -> frozenset[str]:
    """Return the words of a product's name, whatever stands between them."""
    return frozenset(_WORD.findall(name.upper()))
