"""What a GGUF header says of the model: architecture, attention by layer, scheme, tokenizer, facts.

Here: the meaning of keys. Not here: the file format (`gguf`). Keys: gguf-py/gguf/constants.py; which layers slide
where the file does not say: llama.cpp, `set_swa_pattern` in each model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .digests import files_digest, text_digest, value_digest
from .errors import ArtifactError, malformed, unsupported
from .facts import MAX_NOTES, ArtifactFacts, FileFact, LayerGroup, believed
from .families import notes_on
from .ggml import FILE_TYPES
from .gguf import ArraySummary, GgufHeader, Value
from .layers import merged
from .roles import Tensor, grouped, majority_dtype

MAX_LAYERS = 4_096
MAX_WIDTH = 1 << 24
FLOAT_BYTES = 4
FULL_PRECISION = frozenset({"F32", "F16", "BF16", "F64"})
EVERY_NTH_LAYER_IS_FULL = {
    "gemma2": 2,
    "gemma3": 6,
    "gemma3n": 5,
    "gpt-oss": 2,
    "cohere2": 4,
    "llama4": 4,
    "olmo2": 4,
    "exaone4": 4,
}
TOKENIZER_KEYS = (
    "tokenizer.ggml.model",
    "tokenizer.ggml.pre",
    "tokenizer.ggml.tokens",
    "tokenizer.ggml.token_type",
    "tokenizer.ggml.scores",
    "tokenizer.ggml.merges",
    "tokenizer.ggml.bos_token_id",
    "tokenizer.ggml.eos_token_id",
    "tokenizer.ggml.add_bos_token",
    "tokenizer.ggml.add_eos_token",
    "tokenizer.ggml.add_space_prefix",
)


@dataclass(frozen=True)
class Keys:
    """The metadata as typed questions about one architecture."""

    metadata: Mapping[str, Value]
    architecture: str

    def integer(self, key: str, default: int | None = None, *, limit: int = MAX_WIDTH) -> int:
        """Return a bounded integer of the architecture; missing without a default is an error."""
        value = self.metadata.get(f"{self.architecture}.{key}", default)
        if value is None:
            raise unsupported(f"The architecture {self.architecture!r} has no `{self.architecture}.{key}`.")
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= limit:
            raise malformed(f"`{self.architecture}.{key}` is {_shown(value)}; an integer up to {limit} is believed.")
        return value

    def per_layer(self, key: str, layers: int, default: int) -> tuple[int, ...]:
        """Return one integer for each layer, whether the file gives one for all or an array."""
        value = self.metadata.get(f"{self.architecture}.{key}", default)
        if not isinstance(value, ArraySummary):
            return (self.integer(key, default),) * layers
        numbers = tuple(int(number) for number in value.values if isinstance(number, int))
        if len(numbers) < layers or not all(0 <= number <= MAX_WIDTH for number in numbers):
            raise malformed(f"`{self.architecture}.{key}` has {value.count} values for {layers} layers.")
        return numbers[:layers]


def facts_from_gguf(headers: Sequence[GgufHeader], files: Sequence[FileFact]) -> ArtifactFacts:
    """Return the facts of a GGUF model: one file, or the parts of a split one in order."""
    metadata = headers[0].metadata
    keys = Keys(metadata, _architecture(metadata))
    layers = keys.integer("block_count", limit=MAX_LAYERS)
    hidden = keys.integer("embedding_length")
    tensors = tuple(tensor for header in headers for tensor in header.tensors)
    if not (layers and hidden and tensors):
        raise unsupported(f"{files[0].name} holds no language model: {layers} layers, {len(tensors)} tensors.")
    _check_parts(metadata, headers, tensors)
    groups = grouped(tensors, layers=layers)
    scheme, notes = _scheme(metadata.get("general.file_type"), majority_dtype(groups))
    template = metadata.get("tokenizer.chat_template", "")
    return believed(
        format="gguf",
        architecture=keys.architecture,
        scheme=scheme,
        files=tuple(files),
        weights_digest=files_digest(files),
        tokenizer_digest=_tokenizer_digest(metadata),
        chat_template_digest=text_digest(template if isinstance(template, str) else ""),
        context_tokens=keys.integer("context_length", 0, limit=1 << 32),
        layers=layers,
        hidden_size=hidden,
        intermediate_size=_intermediate(keys, layers),
        attention_heads=max(keys.per_layer("attention.head_count", layers, 0)),
        experts=keys.integer("expert_count", 0, limit=4_096),
        experts_per_token=keys.integer("expert_used_count", 0, limit=4_096),
        expert_intermediate_size=keys.integer("expert_feed_forward_length", 0),
        vocab_size=_vocabulary(metadata, tensors, keys),
        attention=attention_of(keys, layers=layers, hidden=hidden),
        tensors=groups,
        notes=(notes_on(keys.architecture) + notes)[:MAX_NOTES],
    )


def _architecture(metadata: Mapping[str, Value]) -> str:
    name = metadata.get("general.architecture")
    if not isinstance(name, str) or not 0 < len(name) <= 64:
        raise ArtifactError("UnknownArchitecture", "The file does not name its `general.architecture`.")
    if name == "clip":
        raise ArtifactError("UnknownArchitecture", "The file is a vision projector (`clip`), not a language model.")
    return name


def _check_parts(metadata: Mapping[str, Value], headers: Sequence[GgufHeader], tensors: Sequence[Tensor]) -> None:
    parts, total = metadata.get("split.count", 1), metadata.get("split.tensors.count", len(tensors))
    if isinstance(parts, int) and parts > 1 and parts != len(headers):
        raise ArtifactError("MissingShard", f"The model is split into {parts} files; {len(headers)} were found.")
    if total != len(tensors):
        raise ArtifactError("MissingShard", f"The model has {_shown(total)} tensors; its files hold {len(tensors)}.")


def _scheme(file_type: Value | None, majority: str) -> tuple[str, tuple[str, ...]]:
    """Return the scheme's name: the file's own word where the bytes do not contradict it, else the bytes'."""
    named = FILE_TYPES.get(file_type) if isinstance(file_type, int) else None
    if named is None:
        return majority, ()
    if (named in FULL_PRECISION) != (majority in FULL_PRECISION) or (named in FULL_PRECISION and named != majority):
        return majority, (f"general.file_type says {named}, but most bytes of the blocks are {majority}.",)
    if not named.startswith(majority):
        return named, (f"Most bytes of the blocks are {majority}, though the file is named {named}.",)
    return named, ()


def _tokenizer_digest(metadata: Mapping[str, Value]) -> str:
    """Return the digest of what turns text into tokens; what only pads or names the file is left out."""
    known = {key: metadata[key] for key in TOKENIZER_KEYS if key in metadata}
    shown = {key: value.digest if isinstance(value, ArraySummary) else value for key, value in known.items()}
    return value_digest(shown) if shown else ""


def _vocabulary(metadata: Mapping[str, Value], tensors: Sequence[Tensor], keys: Keys) -> int:
    """Return the rows of the embedding: what logits are as wide as, padding included."""
    for tensor in tensors:
        if tensor.name == "token_embd.weight" and len(tensor.shape) == 2:
            return tensor.shape[1]
    tokens = metadata.get("tokenizer.ggml.tokens")
    counted = tokens.count if isinstance(tokens, ArraySummary) else None
    return max(1, keys.integer("vocab_size", counted))


def _intermediate(keys: Keys, layers: int) -> int:
    used = keys.integer("expert_used_count", 0, limit=4_096)
    if used:
        shared = keys.integer("expert_shared_feed_forward_length", 0)
        return used * keys.integer("expert_feed_forward_length", 0) + shared
    return max(keys.per_layer("feed_forward_length", layers, 0))


def attention_of(keys: Keys, *, layers: int, hidden: int) -> tuple[LayerGroup, ...]:
    """Return the layers by the shape of their cache; a layer that is not known to slide counts as full."""
    heads = keys.per_layer("attention.head_count", layers, 0)
    kv_heads = keys.per_layer("attention.head_count_kv", layers, max(heads))
    head_dim = hidden // max(heads) if max(heads) else 0
    sliding, recurrent = _sliding_layers(keys, layers), _recurrent_layers(keys, layers, kv_heads)
    key_dim = keys.integer("attention.key_length", head_dim)
    value_dim = keys.integer("attention.value_length", head_dim)
    latent = keys.integer("attention.kv_lora_rank", 0)
    is_latent = latent > 0 and (set(kv_heads) == {1} or keys.integer("attention.key_length_mla", 0) > 0)
    groups = []
    for layer in range(layers):
        if recurrent[layer]:
            groups.append(LayerGroup(kind="linear", layers=1, state_bytes=_state_bytes(keys)))
        elif is_latent:
            rotary = keys.integer("rope.dimension_count", 64)
            groups.append(LayerGroup(kind="mla", layers=1, kv_heads=1, key_dim=latent + rotary, value_dim=latent))
        elif kv_heads[layer]:
            window = sliding[layer]
            groups.append(
                LayerGroup(
                    kind="sliding" if window else "full",
                    layers=1,
                    kv_heads=kv_heads[layer],
                    key_dim=keys.integer("attention.key_length_swa", key_dim) if window else key_dim,
                    value_dim=keys.integer("attention.value_length_swa", value_dim) if window else value_dim,
                    window_tokens=window,
                )
            )
    if not groups:
        raise ArtifactError(
            "UnknownArchitecture", f"{keys.architecture!r} has neither `attention.head_count` nor recurrent layers."
        )
    return merged(groups)


def _sliding_layers(keys: Keys, layers: int) -> tuple[int, ...]:
    """Return each layer's window, 0 for full attention."""
    window = keys.integer("attention.sliding_window", 0, limit=1 << 32)
    pattern = keys.metadata.get(f"{keys.architecture}.attention.sliding_window_pattern")
    if isinstance(pattern, ArraySummary):
        slides = tuple(bool(value) for value in pattern.values)[:layers]
        return tuple(window if flag else 0 for flag in slides) + (0,) * (layers - len(slides))
    default = EVERY_NTH_LAYER_IS_FULL.get(keys.architecture, 1)
    every = pattern if isinstance(pattern, int) and pattern > 0 else default
    return tuple(window if layer % every < every - 1 else 0 for layer in range(layers))


def _recurrent_layers(keys: Keys, layers: int, kv_heads: Sequence[int]) -> tuple[bool, ...]:
    if not keys.integer("ssm.state_size", 0):
        return (False,) * layers
    every = keys.integer("full_attention_interval", 0, limit=MAX_LAYERS)
    if every:
        return tuple((layer + 1) % every != 0 for layer in range(layers))
    return tuple(heads == 0 for heads in kv_heads)


def _state_bytes(keys: Keys) -> int:
    """Return one layer's recurrent state for one sequence as llama.cpp keeps it: 32-bit, convolution and SSM."""
    inner, state = keys.integer("ssm.inner_size"), keys.integer("ssm.state_size")
    convolved = inner + 2 * keys.integer("ssm.group_count", 0) * state
    return FLOAT_BYTES * (state * inner + max(keys.integer("ssm.conv_kernel", 4) - 1, 0) * convolved)


def _shown(value: object) -> str:
    return repr(value)[:80]
