"""Layers of one cache shape counted together."""

from collections.abc import Iterable

from .errors import unsupported
from .facts import LayerGroup

MAX_GROUPS = 64


def merged(layers: Iterable[LayerGroup]) -> tuple[LayerGroup, ...]:
    """Return one group for each distinct shape, in order of first appearance."""
    counts: dict[LayerGroup, int] = {}
    for layer in layers:
        shape = layer.model_copy(update={"layers": 1})
        counts[shape] = counts.get(shape, 0) + layer.layers
    if len(counts) > MAX_GROUPS:
        raise unsupported(f"The model has {len(counts)} kinds of layers; at most {MAX_GROUPS} are believed.")
    return tuple(shape.model_copy(update={"layers": count}) for shape, count in counts.items())
