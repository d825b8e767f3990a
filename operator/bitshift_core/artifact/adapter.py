"""What is known of a LoRA adapter: which base it was trained on, as far as its own shapes tell.

Here: `adapter_config.json` and the tensors' shapes → facts. Not here: reading them (`bitshift_runtime.artifact`),
holding them against a base (`rollout.agreement`).
"""

import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field

from ..api.base import ApiObject
from .errors import ArtifactError, malformed, unsupported
from .roles import Tensor
from .safetensors import json_object

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
READS_HIDDEN = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "qkv_proj", "query_key_value", "c_attn")
"""Modules whose input is as wide as the model: the width of their A matrices is the base's hidden size."""
_LAYER = re.compile(r"\.(?:layers|h|blocks)\.(\d{1,5})\.")
MAX_RANK = 65_536


class AdapterFacts(ApiObject):
    """A LoRA adapter's identity and shape; 0 and empty stand for what it does not tell."""

    base: Annotated[str, Field(max_length=256)] = ""
    """The base as its makers called it; names differ between copies of one model, so it is told and never compared."""
    rank: Annotated[int, Field(ge=1, le=MAX_RANK)]
    hidden_size: Annotated[int, Field(ge=0)] = 0
    layers: Annotated[int, Field(ge=0)] = 0
    """One more than the highest layer that it changes: the base has at least so many."""
    target_modules: Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=64)] = ()
    weights_digest: Annotated[str, Field(max_length=71, pattern=r"^(sha256:[0-9a-f]{64})?$")] = ""
    pinned_uri: Annotated[str, Field(max_length=640)] = ""
    """Where exactly these bytes lie, where the address asked for may come to mean others."""


def adapter_facts(config: bytes, tensors: Iterable[Tensor], weights_digest: str) -> AdapterFacts:
    """Return an adapter's facts; what is no LoRA is refused by its own name."""
    said = json_object(config, CONFIG_FILE)
    kind = str(said.get("peft_type") or "LORA").upper()
    if kind != "LORA":
        raise unsupported(f"{CONFIG_FILE} names the method {kind[:32]!r}; engines serve LORA.")
    shapes = [(tensor.name, tensor.shape) for tensor in tensors if len(tensor.shape) == 2]
    downwards = [(name, shape) for name, shape in shapes if ".lora_A." in name or ".lora_embedding_A" in name]
    rank = _rank(said, [shape for _, shape in downwards])
    widths = {shape[1] for name, shape in downwards if any(f".{module}." in name for module in READS_HIDDEN)}
    if len(widths) > 1:
        raise malformed(f"{WEIGHTS_FILE} is made for models of several widths: {sorted(widths)[:4]}.")
    layers = [int(found[1]) + 1 for name, _ in shapes if (found := _LAYER.search(name))]
    return AdapterFacts(
        base=str(said.get("base_model_name_or_path") or "")[:256],
        rank=rank,
        hidden_size=next(iter(widths), 0),
        layers=max(layers, default=0),
        target_modules=_modules(said),
        weights_digest=weights_digest,
    )


def _rank(said: dict[str, Any], downwards: list[tuple[int, ...]]) -> int:
    """Return the highest rank that any module has: single modules may differ from `r`."""
    named = said.get("r")
    ranks = [shape[0] for shape in downwards] + ([named] if isinstance(named, int) else [])
    if not ranks or not 1 <= max(ranks) <= MAX_RANK:
        raise ArtifactError("MalformedArtifact", f"{CONFIG_FILE} names no rank `r` that can be believed.")
    return max(ranks)


def _modules(said: dict[str, Any]) -> tuple[str, ...]:
    named = said.get("target_modules")
    listed = named if isinstance(named, list) else [named] if isinstance(named, str) else []
    return tuple(str(each)[:64] for each in listed[:64])
