"""How a quantized matrix is stored: its packed integers, scales, zeros and indices.

Here: shapes and types for each method. Not here: which modules are quantized (`recipes`), names of schemes (`schemes`).
Layouts: AutoGPTQ and AutoAWQ `qlinear`/`gemm` modules, compressed-tensors `compressors`, transformers `integrations`
(fp8, mxfp4, bitsandbytes), NVIDIA ModelOpt's unified checkpoint.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .roles import Tensor
from .safetensors import DTYPE_BITS

Layout = Literal["plain", "gptq", "awq", "compressed", "float8", "int8", "bitsandbytes", "nvfp4", "mxfp4", "mxfp8"]
INT_BITS = 32
NF4_BLOCK, NESTED_BLOCK = 64, 256
NVFP4_GROUP, MX_GROUP = 16, 32


@dataclass(frozen=True)
class Packing:
    """One way of storing a matrix; `group` is inputs per scale, 0 for one scale per output, -1 for one in all."""

    layout: Layout = "plain"
    dtype: str = "BF16"
    """Of the matrix where it is plain, else of its scales."""
    bits: int = 16
    group: int = 0
    has_zeros: bool = True
    double: bool = False
    """Whether scales are quantized themselves (NF4)."""


@dataclass(frozen=True)
class Matrix:
    """A linear layer; `copies` counts experts that are stored as one."""

    name: str
    outputs: int
    inputs: int
    copies: int = 1


def stored(matrix: Matrix, packing: Packing) -> Iterator[Tensor]:
    """Return the tensors that hold the matrix."""
    rows, columns = matrix.outputs, matrix.inputs
    groups = -(-columns // packing.group) if packing.group > 0 else 1
    scales = 1 if packing.group < 0 else rows * groups
    match packing.layout:
        case "gptq":
            yield _tensor(matrix, "qweight", "I32", rows * _words(columns, packing.bits))
            yield _tensor(matrix, "scales", "F16", rows * groups)
            yield _tensor(matrix, "qzeros", "I32", groups * _words(rows, packing.bits))
            yield _tensor(matrix, "g_idx", "I32", columns)
        case "awq":
            yield _tensor(matrix, "qweight", "I32", columns * _words(rows, packing.bits))
            yield _tensor(matrix, "scales", "F16", rows * groups)
            yield _tensor(matrix, "qzeros", "I32", groups * _words(rows, packing.bits))
        case "compressed":
            yield _tensor(matrix, "weight_packed", "I32", rows * _words(columns, packing.bits))
            yield _tensor(matrix, "weight_scale", packing.dtype, scales)
            if packing.has_zeros:
                yield _tensor(matrix, "weight_zero_point", "I32", groups * _words(rows, packing.bits))
        case "float8" | "int8":
            yield _tensor(matrix, "weight", "F8_E4M3" if packing.layout == "float8" else "I8", rows * columns)
            blocks = -(-rows // packing.group) * groups if packing.group > 0 else scales
            yield _tensor(matrix, "weight_scale", packing.dtype, blocks)
        case "bitsandbytes":
            yield from _bitsandbytes(matrix, packing)
        case "nvfp4":
            yield _tensor(matrix, "weight", "U8", rows * -(-columns // 2))
            yield _tensor(matrix, "weight_scale", "F8_E4M3", rows * -(-columns // NVFP4_GROUP))
            yield _tensor(matrix, "weight_scale_2", "F32", 1)
        case "mxfp4":
            yield _tensor(matrix, "weight_blocks", "U8", rows * -(-columns // MX_GROUP) * (MX_GROUP // 2))
            yield _tensor(matrix, "weight_scales", "U8", rows * -(-columns // MX_GROUP))
        case "mxfp8":
            yield _tensor(matrix, "weight", "F8_E4M3", rows * columns)
            yield _tensor(matrix, "weight_scale", "U8", rows * -(-columns // MX_GROUP))
        case _:
            yield _tensor(matrix, "weight", packing.dtype, rows * columns)


def _bitsandbytes(matrix: Matrix, packing: Packing) -> Iterator[Tensor]:
    elements = matrix.outputs * matrix.inputs
    if packing.bits == 8:
        yield _tensor(matrix, "weight", "I8", elements)
        yield _tensor(matrix, "SCB", "F32", matrix.outputs)
        return
    blocks = -(-elements // NF4_BLOCK)
    yield _tensor(matrix, "weight", "U8", -(-elements // 2))
    yield _tensor(matrix, "weight.absmax", "U8" if packing.double else "F32", blocks)
    if packing.double:
        yield _tensor(matrix, "weight.nested_absmax", "F32", -(-blocks // NESTED_BLOCK))


def _words(elements: int, bits: int) -> int:
    return -(-elements * bits // INT_BITS)


def _tensor(matrix: Matrix, suffix: str, dtype: str, elements: int) -> Tensor:
    whole = elements * matrix.copies
    size = -(-whole * DTYPE_BITS[dtype] // 8)
    return Tensor(f"{matrix.name}.{suffix}", dtype, (matrix.copies, elements), whole, size)
