"""The tensors that a checkpoint of a configuration would hold, where its own headers cannot be read.

Here: modules of transformer families and their sizes, named as transformers names them, so that headers and blueprints
are grouped by the same rules. Not here: how a matrix is stored (`packing`), which ones are quantized (`recipes`).
Sources: transformers `models/*/modeling_*.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from .config import ModelConfig
from .fields import MAX_LAYERS, Fields
from .packing import Matrix, stored
from .recipes import Recipe, recipe_of
from .roles import Tensor
from .safetensors import DTYPE_BITS

DTYPES = {"float32": "F32", "float": "F32", "float16": "F16", "half": "F16", "bfloat16": "BF16"}
NOT_GATED = frozenset({"phi", "gpt2", "gpt_neox", "gptj", "opt", "bloom", "mpt", "falcon", "starcoder2", "nemotron"})
TIED_UNSAID = ("gemma", "gpt2", "opt", "bloom", "falcon", "cohere", "starcoder2")
UNSTATED_TOWER_ELEMENTS = 430_000_000
"""SigLIP-so400m has 0.41 billion, Pixtral's tower 0.43, Qwen's 0.46 to 0.67."""


@dataclass(frozen=True)
class Widths:
    """The widths that all layers share."""

    fields: Fields
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int


def blueprint(config: ModelConfig) -> tuple[tuple[Tensor, ...], tuple[str, ...]]:
    """Return the tensors and what could only be guessed."""
    fields = config.fields
    dtype = DTYPES.get(config.dtype, "BF16")
    recipe = recipe_of(config.quantization, dtype)
    heads = max(config.attention_heads, 1)
    widths = Widths(
        fields,
        config.hidden_size,
        heads,
        fields.integer("num_key_value_heads", "num_kv_heads", "multi_query_group_num", default=heads),
        fields.integer("head_dim", default=config.hidden_size // heads),
    )
    tensors = tuple(_model(config, widths, recipe, dtype))
    notes = ("Tensors were worked out from config.json: no header was read.", *recipe.notes)
    if config.has_tower and not config.tower_elements:
        notes += ("config.json does not describe its vision or audio tower; 0.43 billion parameters are assumed.",)
    return tensors, notes


def _model(config: ModelConfig, widths: Widths, recipe: Recipe, dtype: str) -> Iterator[Tensor]:
    vocabulary, hidden = config.vocab_size, config.hidden_size
    yield from stored(Matrix("model.embed_tokens", vocabulary, hidden), recipe.packing_of("model.embed_tokens"))
    if not (config.ties_output or _is_tied_unsaid(config)):
        yield from stored(Matrix("lm_head", vocabulary, hidden), recipe.packing_of("lm_head"))
    yield _vector("model.norm.weight", hidden, dtype)
    for layer, kind in enumerate(config.kinds):
        name = f"model.layers.{layer}"
        for matrix in (*_attention(widths, name, kind), *_mlp(config, widths, layer)):
            yield from stored(matrix, recipe.packing_of(matrix.name))
        yield _vector(f"{name}.input_layernorm.weight", hidden, dtype)
        yield _vector(f"{name}.post_attention_layernorm.weight", hidden, dtype)
        if config.experts and not _is_dense(config, layer):
            yield _vector(f"{name}.mlp.gate.weight", hidden * config.experts, dtype)
    drafts = config.fields.integer("mtp_num_hidden_layers", "num_nextn_predict_layers", default=0, limit=MAX_LAYERS)
    kind = next((kind for kind in reversed(config.kinds) if kind not in ("none", "linear")), "none")
    for layer in range(drafts):
        for matrix in (*_attention(widths, f"mtp.layers.{layer}", kind), *_mlp(config, widths, config.layers - 1)):
            name = matrix.name.replace(f"model.layers.{config.layers - 1}.", f"mtp.layers.{layer}.")
            yield from stored(replace(matrix, name=name), recipe.plain)
        yield _vector(f"mtp.layers.{layer}.fc.weight", 2 * hidden * hidden, dtype)
    if config.has_tower:
        yield _vector("vision_tower.weight", config.tower_elements or UNSTATED_TOWER_ELEMENTS, dtype)


def _attention(widths: Widths, name: str, kind: str) -> Iterator[Matrix]:
    if kind == "linear":
        yield from _recurrent(widths, name)
    elif kind == "mla":
        yield from _latent(widths, f"{name}.self_attn")
    elif kind != "none":
        hidden, head_dim = widths.hidden, widths.head_dim
        is_gated = widths.fields.values.get("attn_output_gate", _has_delta_rule(widths.fields)) is True
        queries, keys = widths.heads * head_dim, widths.kv_heads * head_dim
        values = widths.kv_heads * widths.fields.integer("v_head_dim", default=head_dim)
        yield Matrix(f"{name}.self_attn.q_proj", queries * (2 if is_gated else 1), hidden)
        yield Matrix(f"{name}.self_attn.k_proj", keys, hidden)
        yield Matrix(f"{name}.self_attn.v_proj", values, hidden)
        yield Matrix(f"{name}.self_attn.o_proj", hidden, queries)


def _latent(widths: Widths, name: str) -> Iterator[Matrix]:
    fields, hidden = widths.fields, widths.hidden
    latent, rotary = fields.integer("kv_lora_rank", default=0), fields.integer("qk_rope_head_dim", default=64)
    content, value = fields.integer("qk_nope_head_dim", default=128), fields.integer("v_head_dim", default=128)
    rank = fields.integer("q_lora_rank", default=0)
    if rank:
        yield Matrix(f"{name}.q_a_proj", rank, hidden)
    yield Matrix(f"{name}.{'q_b_proj' if rank else 'q_proj'}", widths.heads * (content + rotary), rank or hidden)
    yield Matrix(f"{name}.kv_a_proj_with_mqa", latent + rotary, hidden)
    yield Matrix(f"{name}.kv_b_proj", widths.heads * (content + value), latent)
    yield Matrix(f"{name}.o_proj", hidden, widths.heads * value)


def _recurrent(widths: Widths, name: str) -> Iterator[Matrix]:
    fields, hidden = widths.fields, widths.hidden
    inner, convolved = recurrent_widths(fields)
    heads = fields.integer("linear_num_value_heads", "mamba_num_heads", "mamba_n_heads", default=0)
    if _has_delta_rule(fields):
        yield Matrix(f"{name}.linear_attn.in_proj_qkvz", convolved + inner, hidden)
        yield Matrix(f"{name}.linear_attn.in_proj_ba", 2 * heads, hidden)
        yield Matrix(f"{name}.linear_attn.out_proj", hidden, inner)
    else:
        yield Matrix(f"{name}.mixer.in_proj", convolved + inner + heads, hidden)
        yield Matrix(f"{name}.mixer.out_proj", hidden, inner)


def _mlp(config: ModelConfig, widths: Widths, layer: int) -> Iterator[Matrix]:
    fields, hidden, name = widths.fields, widths.hidden, f"model.layers.{layer}.mlp"
    if config.experts and not _is_dense(config, layer):
        width = config.expert_intermediate_size
        for part, (outputs, inputs) in _projections(fields, width, hidden):
            yield Matrix(f"{name}.experts.{part}", outputs, inputs, copies=config.experts)
        shared, name = shared_width(fields, width), f"{name}.shared_experts"
    else:
        shared = fields.integer("intermediate_size", "n_inner", "ffn_dim", default=4 * hidden)
        shared = fields.integer("dense_intermediate_size", "intermediate_size_mlp", default=shared) or shared
    for part, (outputs, inputs) in _projections(fields, shared, hidden) if shared else ():
        yield Matrix(f"{name}.{part}", outputs, inputs)


def _projections(fields: Fields, width: int, hidden: int) -> Iterator[tuple[str, tuple[int, int]]]:
    if is_gated(fields):
        yield "gate_proj", (width, hidden)
    yield "up_proj", (width, hidden)
    yield "down_proj", (hidden, width)


def is_gated(fields: Fields) -> bool:
    """Return whether the MLP multiplies by a gate, as nearly all do."""
    return fields.text("model_type") not in NOT_GATED and fields.text("mlp_hidden_act") != "relu2"


def shared_width(fields: Fields, expert_width: int) -> int:
    """Return the width of the experts that every token passes; some families count them instead."""
    counted = fields.integer("n_shared_experts", "num_shared_experts", default=0, limit=MAX_LAYERS)
    return fields.integer("shared_expert_intermediate_size", default=counted * expert_width)


def recurrent_widths(fields: Fields) -> tuple[int, int]:
    """Return the inner width of a recurrent layer and the width that its convolution passes."""
    heads = fields.integer("linear_num_value_heads", "mamba_num_heads", "mamba_n_heads", default=0)
    inner = heads * fields.integer("linear_value_head_dim", "mamba_head_dim", "mamba_d_head", default=0)
    groups = fields.integer("linear_num_key_heads", "n_groups", "mamba_n_groups", default=1)
    state = fields.integer("linear_key_head_dim", "ssm_state_size", "mamba_d_state", default=0)
    return inner, 2 * groups * state + inner


def _has_delta_rule(fields: Fields) -> bool:
    return bool(fields.integer("linear_num_value_heads", default=0))


def _is_tied_unsaid(config: ModelConfig) -> bool:
    """Return whether the output is the embedding in a family whose configurations need not say so."""
    is_said = config.fields.values.get("tie_word_embeddings") is not None
    return not is_said and config.fields.text("model_type").startswith(TIED_UNSAID)


def _is_dense(config: ModelConfig, layer: int) -> bool:
    fields = config.fields
    listed = fields.values.get("mlp_only_layers")
    step = fields.integer("decoder_sparse_step", "interleave_moe_layer_step", default=1, limit=MAX_LAYERS) or 1
    return (
        layer < fields.integer("first_k_dense_replace", default=0)
        or (isinstance(listed, list) and layer in listed)
        or (layer + 1) % step != 0
    )


def _vector(name: str, elements: int, dtype: str) -> Tensor:
    return Tensor(name, dtype, (elements,), elements, elements * DTYPE_BITS[dtype] // 8)
