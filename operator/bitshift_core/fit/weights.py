"""How many bytes of weights each GPU holds.

Here: what is split and what is replicated, and what an engine adds or drops while it loads. Not here: bytes of a
tensor (`artifact`: they come from the file, never from a scheme's name).
"""

from ..artifact.facts import ArtifactFacts, TensorGroup
from .units import ceil_div

SPLIT_ROLES = frozenset({"embedding", "output", "block"})
HALF_PRECISION_BYTES = 2
ABSORBED_HEAD_DIMS = 256
"""Non-rotary key plus value width of a head under latent attention: 128 + 128 in every DeepSeek-like model."""


def vllm_weight_bytes(facts: ArtifactFacts, *, gpus: int) -> int:
    """Return the bytes on each GPU under tensor parallelism: matrices split, norms, routers and towers replicated.

    Llama-3.1-8B in BF16 on one GPU: 14.96 GiB of tensors + 32 MiB of rotary tables = 14.99 GiB, as vLLM prints.
    """
    stored = sum(
        ceil_div(_loaded_bytes(group, facts), gpus) if group.role in SPLIT_ROLES else _loaded_bytes(group, facts)
        for group in facts.tensors
        if group.role != "draft"
    )
    return stored + _rotary_table_bytes(facts) + ceil_div(_absorbed_bytes(facts), gpus)


def llamacpp_weight_bytes(facts: ArtifactFacts, *, gpus: int) -> int:
    """Return the bytes in host memory, or on the fullest GPU: layers are dealt out whole, the embedding stays behind.

    On CPU every tensor is mapped; what is repacked for the CPU is read once and its mapping reclaimed.
    """
    if not gpus:
        return facts.weight_bytes
    held = ("block", "other", "output", *(("embedding",) if facts.ties_output_to_embedding else ()))
    on_gpus = sum(group.bytes for group in facts.tensors if group.role in held)
    return ceil_div(on_gpus * ceil_div(facts.layers, gpus), facts.layers)


def _loaded_bytes(group: TensorGroup, facts: ArtifactFacts) -> int:
    """Return the bytes once loaded: vLLM's `--dtype auto` halves a checkpoint that was saved in 32 bits."""
    return group.bytes // 2 if facts.scheme == "F32" and group.dtype == "F32" else group.bytes


def _rotary_table_bytes(facts: ArtifactFacts) -> int:
    """Return the cosines and sines that vLLM keeps for every trained position, however short the context is set."""
    widths = (group.key_dim - group.value_dim if group.kind == "mla" else group.key_dim for group in facts.attention)
    return facts.context_tokens * max(widths, default=0) * HALF_PRECISION_BYTES


def _absorbed_bytes(facts: ArtifactFacts) -> int:
    """Return the absorbed up-projections that latent attention keeps beside the stored one."""
    per_latent = facts.attention_heads * ABSORBED_HEAD_DIMS * HALF_PRECISION_BYTES
    return sum(group.layers * group.value_dim * per_latent for group in facts.attention if group.kind == "mla")
