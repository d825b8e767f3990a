"""Rounding weights to 4 bits and laying them out as AWQ's and GPTQ's checkpoints do.

Here: numbers and bits, in numpy. Not here: which tensors of a model, files (`checkpoints`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""Which of eight neighbouring values lies in which nibble, the lowest first. Source: AutoAWQ, `awq/utils/packing_utils.py`."""
PLAIN_ORDER = tuple(range(8))
GPTQ_ZERO_OFFSET = 1
"""GPTQ's first format stores a zero point less one. Source: AutoGPTQ, `qlinear_cuda.py`: `zeros = zeros + 1`."""
SHRINKING = np.linspace(1.0, 0.7, 13)
"""Shares of a group's range that are tried: clipping a few outliers often costs less than rounding all others coarsely."""
LARGEST = 15


@dataclass(frozen=True)
class Rounded:
    """Four-bit integers of shape (in, out), with a scale and a zero point for each group of inputs and each output."""

    integers: Integers
    scales: Floats
    zeros: Integers

    @property
    def group_size(self) -> int:
        """Return how many inputs share a scale."""
        return len(self.integers) // len(self.scales)

    def restored(self) -> Floats:
        """Return the weights that these integers stand for, of shape (in, out)."""
        scales, zeros = (np.repeat(each, self.group_size, axis=0) for each in (self.scales, self.zeros))
        return ((self.integers - zeros) * scales).astype(np.float32)


def rounded(weights: Floats, group_size: int, *, symmetric: bool) -> Rounded:
    """Return weights of shape (in, out) rounded to the nearest of 16 levels, each group within its best range."""
    inputs, outputs = weights.shape
    if inputs % group_size:
        raise ValueError(f"{inputs} inputs must be divisible by the group size {group_size}")
    groups = weights.reshape(-1, group_size, outputs)
    best, least = None, np.full((len(groups), 1, outputs), np.inf, dtype=np.float32)
    for share in SHRINKING:
        found = _rounded(groups, float(share), symmetric=symmetric)
        integers, scales, zeros = found
        error = (((integers - zeros) * scales - groups) ** 2).sum(axis=1, keepdims=True)
        better = error < least
        least = np.where(better, error, least)
        best = (
            found if best is None else tuple(np.where(better, new, old) for new, old in zip(found, best, strict=True))
        )
    integers, scales, zeros = best  # type: ignore[misc]
    return Rounded(
        integers.reshape(inputs, outputs).astype(np.int32),
        scales[:, 0].astype(np.float32),
        zeros[:, 0].astype(np.int32),
    )


def _rounded(groups: Floats, share: float, *, symmetric: bool) -> tuple[NDArray[np.float32], ...]:
    low, high = groups.min(axis=1, keepdims=True), groups.max(axis=1, keepdims=True)
    if symmetric:
        scales = np.maximum(np.maximum(-low / 8, high / 7) * share, 1e-8)
        zeros = np.full_like(scales, 8)
    else:
        low, high = np.minimum(low, 0) * share, np.maximum(high, 0) * share
        scales = np.maximum((high - low) / LARGEST, 1e-8)
        zeros = np.clip(np.round(-low / scales), 0, LARGEST)
    return np.clip(np.round(groups / scales) + zeros, 0, LARGEST), scales, zeros


def packed(values: Integers, order: tuple[int, ...] = PLAIN_ORDER) -> Integers:
    """Return eight 4-bit values of the last axis in each 32-bit integer; nibble `n` holds the value `order[n]`."""
    eights = values.astype(np.uint32).reshape(*values.shape[:-1], -1, 8)
    words = np.zeros(eights.shape[:-1], dtype=np.uint32)
    for nibble, which in enumerate(order):
        words |= (eights[..., which] & 15) << np.uint32(4 * nibble)
    return words.view(np.int32)


def awq_tensors(found: Rounded, order: tuple[int, ...] = AWQ_ORDER) -> dict[str, NDArray[np.generic]]:
    """Return a layer as AWQ's `gemm` version stores it: packed along the outputs."""
    return {
        "qweight": packed(found.integers, order),
        "qzeros": packed(found.zeros, order),
        "scales": found.scales.astype(np.float16),
    }


def gptq_tensors(found: Rounded) -> dict[str, NDArray[np.generic]]:
    """Return a layer as GPTQ's first format stores it: weights packed along the inputs, zero points along the outputs."""
    return {
        "qweight": np.ascontiguousarray(packed(np.ascontiguousarray(found.integers.T)).T),
        "qzeros": packed(found.zeros - GPTQ_ZERO_OFFSET),
        "scales": found.scales.astype(np.float16),
        "g_idx": (np.arange(len(found.integers)) // found.group_size).astype(np.int32),
    }
