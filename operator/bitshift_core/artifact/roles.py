"""Which part of a model a tensor is, told from its name and shape, in both formats."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .facts import TensorGroup, TensorPart, TensorRole

_EMBEDDING = re.compile(r"(^|\.)(token_embd|embed_tokens|wte|word_embeddings|tok_embeddings|embed_in)\.")
_OUTPUT = re.compile(r"(^|\.)(lm_head|embed_out)\.|^output\.")
_TOWER = re.compile(r"(^|\.)(visual|vision\w*|audio\w*|multi_modal_projector|mm_projector)\.|^(v|a|mm)\.")
_REPLICATED = re.compile(
    r"\.(gate|router|shared_expert_gate)\.|(ffn_gate_inp|\.gate_inp)"  # routers; not `gate_proj`
    r"|(kv_a_proj|q_a_proj|attn_kv_a|attn_q_a)"  # the down-projections of latent attention
)
_LAYER = re.compile(r"(^|\.)(blk|layers|h|blocks|layer)\.(\d{1,6})\.")
_EXPERT = re.compile(r"\.(experts|block_sparse_moe\.experts)\.|_exps\.")
_SCALE = re.compile(
    r"(scales?|_scale_inv|_scale_2|_scale_3|_blocks_scale|absmax|quant_map|quant_state\.\w+|SCB|weight_shape|shape)$"
)
_ZERO = re.compile(r"(qzeros|zero_points?|_zero)$")
_INDEX = re.compile(r"(g_idx|perm)$")
_DRAFT = re.compile(r"(^|\.)(mtp|nextn|eagle)\.")


@dataclass(frozen=True)
class Tensor:
    """One tensor of either format."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    elements: int
    bytes: int


def role_of(name: str, shape: Sequence[int], *, layers: int) -> TensorRole:
    """Return the tensor's role; what is not known to be split is counted as replicated, the larger sum."""
    layer = _LAYER.search(name)
    if _DRAFT.search(name) or (layer and not _TOWER.search(name) and int(layer[3]) >= layers):
        return "draft"
    if _TOWER.search(name):
        return "tower"
    if _EMBEDDING.search(name):
        return "embedding"
    if _OUTPUT.search(name):
        return "output"
    if layer and _EXPERT.search(name):
        return "expert"
    if layer and not _REPLICATED.search(name) and (len(shape) > 1 or part_of(name) != "weight"):
        return "block"
    return "other"


def part_of(name: str) -> TensorPart:
    """Return what of a quantized matrix the tensor holds, told from the suffixes that quantizers give them."""
    if _ZERO.search(name):
        return "zero"
    if _INDEX.search(name):
        return "index"
    return "scale" if _SCALE.search(name) else "weight"


def grouped(tensors: Iterable[Tensor], *, layers: int) -> tuple[TensorGroup, ...]:
    """Return the tensors summed by role, part and stored type, largest first."""
    sums: dict[tuple[TensorRole, TensorPart, str], list[int]] = {}
    for tensor in tensors:
        role = role_of(tensor.name, tensor.shape, layers=layers)
        total = sums.setdefault((role, part_of(tensor.name), tensor.dtype), [0, 0, 0])
        for index, amount in enumerate((1, tensor.elements, tensor.bytes)):
            total[index] += amount
    groups = (
        TensorGroup(role=role, part=part, dtype=dtype, count=count, elements=elements, bytes=size)
        for (role, part, dtype), (count, elements, size) in sums.items()
    )
    return tuple(sorted(groups, key=lambda group: (-group.bytes, group.role, group.part, group.dtype)))


def majority_dtype(groups: Iterable[TensorGroup]) -> str:
    """Return the stored type that most bytes of the blocks have; of all tensors where no block was recognised."""
    known = tuple(groups)
    blocks = tuple(group for group in known if group.role in ("block", "expert")) or known
    sums: dict[str, int] = {}
    for group in blocks:
        sums[group.dtype] = sums.get(group.dtype, 0) + group.bytes
    return max(sums, key=lambda dtype: (sums[dtype], dtype)) if sums else ""
