"""A Hugging Face `config.json` as the architecture facts that sizing needs.

Here: names of fields across model families, bounds. Not here: tensors (`checkpoint`), schemes' names (`schemes`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import ArtifactError, malformed
from .facts import AttentionKind, LayerGroup
from .fields import MAX_LAYERS, MAX_TOKENS, Fields
from .layers import merged
from .safetensors import json_object
from .schemes import kv_cache_dtype_of, scheme_of

MAX_CONFIG_BYTES = 8 << 20
TEXT_CONFIGS = ("text_config", "llm_config", "language_config", "thinker_config")
EVERY_NTH_LAYER_IS_FULL = {"gemma2": 2, "gemma3": 6, "gemma3_text": 6, "cohere2": 4, "gpt_oss": 2}
ALL_LAYERS_SLIDE = frozenset({"mistral", "mixtral", "phi3", "starcoder2"})
KIND_OF_LAYER_TYPE: dict[str, AttentionKind] = {
    "full_attention": "full",
    "attention": "full",
    "*": "full",
    "sliding_attention": "sliding",
    "chunked_attention": "sliding",
    "linear_attention": "linear",
    "mamba": "linear",
    "mamba2": "linear",
    "M": "linear",
}
TOWER_CONFIGS = ("vision_config", "audio_config", "vision_tower_config")
MAX_EXPERTS = 4_096
STATE_ELEMENT_BYTES, CONVOLUTION_ELEMENT_BYTES = 4, 2


@dataclass(frozen=True)
class ModelConfig:
    """What the configuration says; 0 and empty stand for unsaid."""

    architecture: str
    layers: int
    hidden_size: int
    intermediate_size: int
    attention_heads: int
    vocab_size: int
    context_tokens: int
    ties_output: bool
    scheme: str
    kv_cache_dtype: str
    dtype: str
    attention: tuple[LayerGroup, ...]
    notes: tuple[str, ...]
    fields: Fields
    quantization: Mapping[str, Any]
    kinds: tuple[str, ...]
    """Each layer's kind of attention, `none` where it has none."""
    experts: int
    experts_per_token: int
    expert_intermediate_size: int
    has_tower: bool
    tower_elements: int


def read_config(raw: bytes, quantization_file: bytes = b"") -> ModelConfig:
    """Return the configuration; `quantization_file` is ModelOpt's `hf_quant_config.json` where there is one."""
    whole = json_object(raw, "config.json")
    inner: dict[str, Any] = next((whole[name] for name in TEXT_CONFIGS if isinstance(whole.get(name), dict)), {})
    fields = Fields(whole | inner)
    architectures = whole.get("architectures")
    named = architectures[0] if isinstance(architectures, list) and architectures else whole.get("model_type")
    if not isinstance(named, str) or not named:
        raise ArtifactError("UnknownArchitecture", "config.json names neither `architectures` nor `model_type`.")
    layers = fields.integer("num_hidden_layers", "n_layer", "num_layers", "n_layers", limit=MAX_LAYERS)
    hidden = fields.integer("hidden_size", "n_embd", "d_model")
    if not layers or not hidden:
        raise malformed(f"config.json: {layers} layers of width {hidden}.")
    quantization = _quantization(whole | inner, quantization_file)
    attention, kinds, notes = attention_of(fields, layers=layers, hidden=hidden)
    experts = fields.integer("num_experts", "num_local_experts", "n_routed_experts", default=0, limit=MAX_EXPERTS)
    towers = [whole[name] for name in TOWER_CONFIGS if isinstance(whole.get(name), dict)]
    return ModelConfig(
        architecture=named[:64],
        layers=layers,
        hidden_size=hidden,
        intermediate_size=_intermediate(fields, hidden),
        attention_heads=fields.integer("num_attention_heads", "n_head", default=0),
        vocab_size=fields.integer("vocab_size", default=0),
        context_tokens=fields.integer(
            "max_position_embeddings", "n_positions", "seq_length", default=0, limit=MAX_TOKENS
        ),
        ties_output=fields.values.get("tie_word_embeddings") is True,
        scheme=scheme_of(quantization) if quantization else "",
        kv_cache_dtype=kv_cache_dtype_of(quantization),
        dtype=fields.text("torch_dtype") or fields.text("dtype"),
        attention=attention,
        notes=notes,
        fields=fields,
        quantization=quantization,
        kinds=kinds,
        experts=experts,
        experts_per_token=_experts_per_token(fields) if experts else 0,
        expert_intermediate_size=_expert_width(fields) if experts else 0,
        has_tower=bool(towers),
        tower_elements=sum(map(_tower_elements, towers)),
    )


def _quantization(values: Mapping[str, Any], quantization_file: bytes) -> dict[str, Any]:
    found = values.get("quantization_config") or values.get("compression_config")
    if not found and quantization_file:
        found = json_object(quantization_file, "hf_quant_config.json").get("quantization")
    return found if isinstance(found, dict) else {}


def _intermediate(fields: Fields, hidden: int) -> int:
    used = _experts_per_token(fields)
    if used and fields.integer("num_experts", "num_local_experts", "n_routed_experts", default=0):
        return used * _expert_width(fields) + fields.integer("shared_expert_intermediate_size", default=0)
    return fields.integer("intermediate_size", "n_inner", "ffn_dim", default=4 * hidden)


def _experts_per_token(fields: Fields) -> int:
    return fields.integer("num_experts_per_tok", "num_experts_per_token", "moe_topk", default=0, limit=MAX_EXPERTS)


def _expert_width(fields: Fields) -> int:
    return fields.integer("moe_intermediate_size", "intermediate_size", default=0)


def _tower_elements(values: Mapping[str, Any]) -> int:
    """Return the parameters of a transformer of that size: four projections, an MLP of two; 0 where it is not one."""
    fields = Fields(values)
    layers = fields.integer("num_hidden_layers", "depth", "num_layers", default=0, limit=MAX_LAYERS)
    width = fields.integer("hidden_size", "embed_dim", default=0)
    inner = fields.integer("intermediate_size", default=4 * width)
    return layers * (4 * width * width + 2 * width * inner)


def attention_of(
    fields: Fields, *, layers: int, hidden: int
) -> tuple[tuple[LayerGroup, ...], tuple[str, ...], tuple[str, ...]]:
    """Return layers by the shape of their cache, each layer's kind, and what could not be told (it counts as full)."""
    kinds = _kinds(fields, layers)
    unknown = sorted({kind for kind in kinds if kind not in KIND_OF_LAYER_TYPE and kind != "-"})
    notes = [f"Layers of the unknown kind {name[:40]!r} are sized as full attention." for name in unknown]
    shapes = {kind: _shape(fields, kind, hidden) for kind in {KIND_OF_LAYER_TYPE.get(name, "full") for name in kinds}}
    if "linear" in shapes and not shapes["linear"].state_bytes:
        notes.append("The state of the linear layers is not described in config.json and counts as nothing.")
    found = tuple(None if name == "-" else shapes[KIND_OF_LAYER_TYPE.get(name, "full")] for name in kinds)
    named = tuple(shape.kind if shape else "none" for shape in found)
    return merged(shape for shape in found if shape), named, tuple(notes)


def _kinds(fields: Fields, layers: int) -> tuple[str, ...]:
    """Return each layer's kind in the configuration's own words (`-` has no cache at all)."""
    for name in ("layer_types", "layers_block_type", "hybrid_override_pattern"):
        listed = fields.values.get(name)
        if isinstance(listed, list | str) and len(listed) == layers and all(isinstance(kind, str) for kind in listed):
            return tuple(listed)
    every = fields.integer("full_attention_interval", default=0, limit=MAX_LAYERS)
    if every:
        return tuple("full_attention" if (layer + 1) % every == 0 else "linear_attention" for layer in range(layers))
    every = _full_attention_every(fields)
    return tuple(
        "full_attention" if every and (layer + 1) % every == 0 else "sliding_attention" for layer in range(layers)
    )


def _full_attention_every(fields: Fields) -> int:
    """Return that each nth layer is full, 0 for none: 1 where nothing slides."""
    family = fields.text("model_type")
    if not fields.values.get("sliding_window") or fields.values.get("use_sliding_window") is False:
        return 1
    if family in ALL_LAYERS_SLIDE:
        return 0
    default = EVERY_NTH_LAYER_IS_FULL.get(family, 1)
    return fields.integer("sliding_window_pattern", "_sliding_window_pattern", default=default, limit=MAX_LAYERS)


def _shape(fields: Fields, kind: AttentionKind, hidden: int) -> LayerGroup:
    if kind == "linear":
        return _recurrent_shape(fields)
    latent = fields.integer("kv_lora_rank", default=0)
    if latent:
        rotary = fields.integer("qk_rope_head_dim", default=64)
        return LayerGroup(kind="mla", layers=1, kv_heads=1, key_dim=latent + rotary, value_dim=latent)
    heads = fields.integer("num_attention_heads", "n_head")
    if not heads:
        raise malformed("config.json: 0 attention heads, and layers that attend.")
    kv_heads = fields.integer("num_key_value_heads", "num_kv_heads", "multi_query_group_num", default=heads)
    head_dim = fields.integer("head_dim", default=hidden // heads)
    window = fields.integer("sliding_window", "attention_chunk_size", default=0, limit=MAX_TOKENS)
    slides = kind == "sliding" and window > 0
    return LayerGroup(
        kind="sliding" if slides else "full",
        layers=1,
        kv_heads=kv_heads,
        key_dim=head_dim,
        value_dim=fields.integer("v_head_dim", default=head_dim),
        is_chunked=slides and not fields.values.get("sliding_window"),
        rotary_dim=min(head_dim, int(head_dim * _rotated_share(fields))),
        window_tokens=window if slides else 0,
    )


def _rotated_share(fields: Fields) -> float:
    """Return which part of a head is rotated; a quarter in families with a delta rule, where nothing else is said."""
    for name in ("rope_parameters", "rope_scaling"):
        nested = fields.values.get(name)
        if isinstance(nested, dict) and "partial_rotary_factor" in nested:
            return Fields(nested).share("partial_rotary_factor")
    has_delta_rule = fields.integer("linear_num_value_heads", default=0) > 0
    return fields.share("partial_rotary_factor", default=0.25 if has_delta_rule else 1.0)


def _recurrent_shape(fields: Fields) -> LayerGroup:
    """Return one layer's state for one sequence as vLLM keeps it: the SSM in 32 bits, the convolution in 16."""
    value_heads = fields.integer("linear_num_value_heads", "mamba_num_heads", "mamba_n_heads", default=0)
    value_dim = fields.integer("linear_value_head_dim", "mamba_head_dim", "mamba_d_head", default=0)
    key_heads = fields.integer("linear_num_key_heads", "n_groups", "mamba_n_groups", default=1)
    key_dim = fields.integer("linear_key_head_dim", "ssm_state_size", "mamba_d_state", default=0)
    kernel = fields.integer("linear_conv_kernel_dim", "conv_kernel", "mamba_d_conv", default=4, limit=4_096)
    column = (2 * key_heads * key_dim + value_heads * value_dim) * CONVOLUTION_ELEMENT_BYTES
    state = value_heads * value_dim * key_dim * STATE_ELEMENT_BYTES
    return LayerGroup(
        kind="linear",
        layers=1,
        state_bytes=state + column * max(kernel - 1, 0) if state else 0,
        draft_state_bytes=column if state else 0,
    )
