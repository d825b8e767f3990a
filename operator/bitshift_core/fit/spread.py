"""How a replica is spread: layers over pipeline stages, heads and matrices over the GPUs of each.

Here: which stage has how many layers. Not here: bytes (`weights`, `pages`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..artifact.facts import LayerGroup
from .units import ceil_div


@dataclass(frozen=True)
class Stage:
    """One stage of a pipeline: the first embeds, the last samples."""

    layers: int
    of_layers: int
    is_first: bool
    is_last: bool

    def part(self, amount: int) -> int:
        """Return this stage's part of what all layers have, rounded up."""
        return ceil_div(amount * self.layers, self.of_layers)

    def attention(self, groups: Sequence[LayerGroup]) -> tuple[LayerGroup, ...]:
        """Return the groups with this stage's share of layers; kinds alternate, so each stage has some of all."""
        if self.layers == self.of_layers:
            return tuple(groups)
        return tuple(group.model_copy(update={"layers": self.part(group.layers)}) for group in groups)


def stages_of(layers: int, stages: int) -> tuple[Stage, ...]:
    """Return the stages as vLLM deals layers out: evenly, what is left over to those before the last.

    Source: vLLM, `distributed/utils.py`, get_pp_indices.
    """
    stages = max(1, min(stages, layers))
    counts = [layers // stages] * stages
    for left in range(layers % stages):
        counts[max(0, stages - 2 - left)] += 1
    return tuple(
        Stage(count, layers, is_first=index == 0, is_last=index == stages - 1) for index, count in enumerate(counts)
    )
