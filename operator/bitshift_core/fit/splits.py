"""Whether quantized matrices can be cut for so many GPUs: in whole groups of scales, and in tiles that a kernel takes.

Here: the parts that each GPU gets, what is wrong with one, and the shape of what engines make of it. Not here: which
engine minds since when (`kernels.yaml`), the sentence (`kernels`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field

from ..api.base import ApiObject
from ..artifact.facts import ArtifactFacts
from .need import Need

GROUP_SIZES = (16, 32, 64, 128, 256)
TILE, WIDE_TILE = 64, 128
"""Marlin multiplies 64 outputs by 128 inputs at a time, or 128 by 64."""
PACKED_BITS = 32
Role = Literal["block", "expert"]


class ShapeRule(ApiObject):
    """What becomes of matrices that are cut so that groups straddle GPUs, or that a kernel's tiles do not divide."""

    first_version: Annotated[str, Field(alias="from", pattern=r"^\d+(\.\d+)*$")]
    schemes: Annotated[tuple[str, ...], Field(min_length=1)]
    role: Role = "block"
    straddling: Literal["none", "fallback"] | None = None
    """None where nobody minds."""
    untiled: Literal["none", "fallback"] | None = None
    """For Marlin's kernels alone; None where they are padded."""
    kernel: str = ""
    """What runs them instead, where something does."""
    source: Annotated[str, Field(min_length=10)]

    @cached_property
    def version(self) -> tuple[int, ...]:
        """Return the first version as numbers."""
        return tuple(map(int, self.first_version.split(".")))


@dataclass(frozen=True)
class Cut:
    """One GPU's part of a matrix; `of_inputs` is the whole one's where inputs are what is cut."""

    name: str
    inputs: int
    outputs: int
    of_inputs: int

    @property
    def is_tiled(self) -> bool:
        """Return whether Marlin takes it as it is."""
        narrow = self.outputs % TILE == 0 and self.inputs % WIDE_TILE == 0
        return narrow or (self.outputs % WIDE_TILE == 0 and self.inputs % TILE == 0)


def group_size_of(facts: ArtifactFacts, role: Role) -> int:
    """Return how many inputs share a scale, told from packed integers and scales; 0 for a whole column, or unknown."""
    bits = 8 if facts.scheme.endswith(("int8", "w8a16")) else 4
    packed = sum(_elements(facts, role, "weight", "I32")) * PACKED_BITS // bits
    scales = sum(_elements(facts, role, "scale", ""))
    if not packed or not scales:
        return 0
    ratio = packed / scales
    return next((size for size in GROUP_SIZES if abs(ratio / size - 1) < 0.1), 0)


def cuts_of(need: Need, role: Role) -> Iterator[Cut]:
    """Yield the parts that each GPU of a stage gets, of matrices whose sizes the facts tell."""
    facts, gpus, hidden = need.facts, max(need.gpus_per_stage, 1), need.facts.hidden_size
    if role == "expert":
        width, parts = facts.expert_intermediate_size, 1 if need.expert_parallel else gpus
        if width and width % parts == 0:
            yield Cut("the experts' down projection", width // parts, hidden, width)
            yield Cut("the experts' up projection", hidden, 2 * width // parts, 0)
        return
    full = next((group for group in facts.attention if group.kind in ("full", "sliding")), None)
    heads = facts.attention_heads * full.value_dim if full else 0
    if heads and heads % gpus == 0:
        yield Cut("attention's output projection", heads // gpus, hidden, heads)
    if not facts.experts and facts.intermediate_size and facts.intermediate_size % gpus == 0:
        yield Cut("the down projection", facts.intermediate_size // gpus, hidden, facts.intermediate_size)
        yield Cut("the up projection", hidden, 2 * facts.intermediate_size // gpus, 0)


def straddling(need: Need, role: Role) -> tuple[Cut, int] | None:
    """Return the first part that holds no whole groups, and the group; padding cannot mend what two GPUs share."""
    group = group_size_of(need.facts, role)
    cuts = (cut for cut in cuts_of(need, role) if group and cut.of_inputs and cut.inputs % group)
    found = next(cuts, None)
    return (found, group) if found and found.inputs < found.of_inputs else None


def untiled(need: Need, role: Role) -> Cut | None:
    """Return the first part that Marlin does not take as it is."""
    return next((cut for cut in cuts_of(need, role) if not cut.is_tiled), None)


def fewer_gpus(need: Need, cut: Cut, group: int) -> int:
    """Return the most GPUs below those asked for that each get whole groups."""
    gpus = range(need.gpus_per_stage - 1, 0, -1)
    heads = need.facts.attention_heads or 1
    return next((count for count in gpus if cut.of_inputs % (count * group) == 0 and heads % count == 0), 1)


def _elements(facts: ArtifactFacts, role: Role, part: str, dtype: str) -> Iterator[int]:
    for group in facts.tensors:
        if group.role == role and group.part == part and dtype in ("", group.dtype):
            yield group.elements
