"""The facts of a Hugging Face checkpoint: its configuration, its shards' headers, the files beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .blueprint import blueprint
from .config import ModelConfig
from .digests import files_digest, sha256_of, text_digest, tokenizer_digest
from .errors import unsupported
from .facts import MAX_NOTES, ArtifactFacts, FileFact, TensorGroup, believed
from .families import notes_on
from .pieces import pieces_of
from .roles import Tensor, grouped, majority_dtype
from .safetensors import SafetensorsHeader, json_object


@dataclass(frozen=True)
class Beside:
    """The small files beside the weights; empty where there is none."""

    tokenizer_json: bytes = b""
    tokenizer_model: bytes = b""
    tokenizer_config: bytes = b""
    chat_template: bytes = b""


def facts_from_checkpoint(
    config: ModelConfig, headers: Sequence[SafetensorsHeader], files: Sequence[FileFact], beside: Beside
) -> ArtifactFacts:
    """Return the facts; scheme and types come from the configuration, bytes from the tensors themselves."""
    tensors = tuple(tensor for header in headers for tensor in header.tensors)
    if not tensors:
        raise unsupported(f"{files[0].name} holds no tensors.")
    groups, notes = _without_tied_output(grouped(tensors, layers=config.layers), config)
    facts = _facts(config, groups, notes, files, beside, vocabulary=config.vocab_size or _embedding_rows(tensors))
    return facts.model_copy(update={"pieces": pieces_of(tensors, layers=config.layers)})


def facts_from_config(config: ModelConfig, files: Sequence[FileFact], beside: Beside) -> ArtifactFacts:
    """Return the facts where no header can be read: tensors are worked out from the configuration, and it says so."""
    if not config.vocab_size:
        raise unsupported("config.json does not tell the size of the vocabulary, and there are no headers.")
    if not config.attention_heads and any(kind != "linear" for kind in config.kinds):
        raise unsupported("config.json does not tell how many attention heads there are, and there are no headers.")
    tensors, notes = blueprint(config)
    facts = _facts(config, grouped(tensors, layers=config.layers), notes, files, beside, vocabulary=config.vocab_size)
    pieces = pieces_of(tensors, layers=config.layers)
    return facts.model_copy(update={"tensors_from": "config", "pieces": pieces})


def _facts(
    config: ModelConfig,
    groups: tuple[TensorGroup, ...],
    notes: tuple[str, ...],
    files: Sequence[FileFact],
    beside: Beside,
    *,
    vocabulary: int,
) -> ArtifactFacts:
    return believed(
        format="safetensors",
        architecture=config.architecture,
        scheme=config.scheme or majority_dtype(groups) or "unknown",
        files=tuple(files),
        weights_digest=files_digest(files),
        tokenizer_digest=_tokenizer_digest(beside),
        chat_template_digest=text_digest(_chat_template(beside)),
        context_tokens=config.context_tokens,
        layers=config.layers,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        attention_heads=config.attention_heads,
        experts=config.experts,
        experts_per_token=config.experts_per_token,
        expert_intermediate_size=config.expert_intermediate_size,
        vocab_size=vocabulary,
        kv_cache_dtype=config.kv_cache_dtype,
        attention=config.attention,
        tensors=groups,
        notes=(notes_on(config.architecture) + config.notes + notes)[:MAX_NOTES],
    )


def _without_tied_output(
    groups: tuple[TensorGroup, ...], config: ModelConfig
) -> tuple[tuple[TensorGroup, ...], tuple[str, ...]]:
    kept = tuple(group for group in groups if group.role != "output")
    if not config.ties_output or len(kept) == len(groups):
        return groups, ()
    return kept, ("The output matrix in the file is tied to the embedding and not loaded a second time.",)


def _embedding_rows(tensors: Sequence[Tensor]) -> int:
    rows = [tensor.shape[0] for tensor in tensors if tensor.name.endswith(("embed_tokens.weight", "wte.weight"))]
    if not rows or not rows[0]:
        raise unsupported("Neither config.json nor an embedding tells the size of the vocabulary.")
    return rows[0]


def _tokenizer_digest(beside: Beside) -> str:
    if beside.tokenizer_json:
        return tokenizer_digest(json_object(beside.tokenizer_json, "tokenizer.json"))
    return sha256_of(beside.tokenizer_model) if beside.tokenizer_model else ""


def _chat_template(beside: Beside) -> str:
    if beside.chat_template:
        return beside.chat_template.decode("utf-8", errors="replace")
    if not beside.tokenizer_config:
        return ""
    return _default_template(json_object(beside.tokenizer_config, "tokenizer_config.json").get("chat_template"))


def _default_template(template: object) -> str:
    """Return the one template, or the one named `default` of several."""
    if isinstance(template, str):
        return template
    named: list[Mapping[str, Any]] = (
        [one for one in template if isinstance(one, dict)] if isinstance(template, list) else []
    )
    texts = {str(one.get("name")): one.get("template") for one in named}
    chosen = texts.get("default") or next(iter(texts.values()), "")
    return chosen if isinstance(chosen, str) else ""
