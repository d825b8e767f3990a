"""Whether what a spec asks of an engine can be done with the artifact at hand: told before a pod starts, with numbers.

Here: the refusals. Not here: whether a runtime knows a field at all (`rollout.options`), memory (`fit`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..api.catalogue import ArgumentSource, RuntimeProfileSpec
from ..api.v1alpha1 import Serving, Toggle
from ..artifact.adapter import AdapterFacts
from ..artifact.facts import ArtifactFacts
from .engine import takes
from .errors import SpecRefusedError

OWN_VOCABULARY = frozenset({"draft_model", "STANDALONE", "draft-simple"})
"""Methods whose draft is a whole model: its tokens must be the model's. Trained heads may map a smaller vocabulary."""


@dataclass(frozen=True)
class Parallelism:
    """How a replica is spread over GPUs, and these over nodes."""

    tensor: int
    pipeline: int
    nodes: int = 1


def parallelism_of(rung: str, asked: Serving, gpus: int, nodes: int = 1) -> Parallelism:
    """Return how a replica's GPUs are used: tensors are split within a node, layers go across; else it is refused."""
    pipeline = asked.pipeline_parallel or nodes
    tensor = asked.tensor_parallel or max(1, gpus // pipeline)
    if nodes > 1:
        _check_nodes(rung, gpus, pipeline, nodes)
    if gpus and tensor * pipeline != gpus:
        raise SpecRefusedError(
            "ParallelismMismatch",
            f"Rung '{rung}': `serving.tensorParallel` × `serving.pipelineParallel` is {tensor} × {pipeline} = "
            f"{tensor * pipeline}, but `serving.gpusPerReplica` is {gpus}: make them equal.",
        )
    return Parallelism(tensor, pipeline, nodes)


def check_groups(rung: str, nodes: int, *, served: bool) -> None:
    """Refuse a replica of several nodes where nothing would make its pods."""
    if nodes > 1 and not served:
        raise SpecRefusedError(
            "LeaderWorkerSetNotServed",
            f"Rung '{rung}': `serving.nodesPerReplica` is {nodes}, but this cluster does not serve "
            "`leaderworkerset.x-k8s.io/v1`, by which a replica spans nodes: install LeaderWorkerSet, set "
            "`serving.nodesPerReplica` to 1, or choose a smaller artifact.",
        )


def check_artifact(
    rung: str, runtime: str, profile: RuntimeProfileSpec, asked: Serving, spread: Parallelism, facts: ArtifactFacts
) -> None:
    """Refuse what this engine cannot do with this artifact."""
    if profile.schemes and not _any_matches(profile.schemes, facts.scheme):
        raise SpecRefusedError(
            "SchemeNotServed",
            f"Rung '{rung}' is quantized as {facts.scheme}, which runtime '{runtime}' does not load (it loads "
            f"{', '.join(profile.schemes)}): name another artifact or `runtime`.",
        )
    _check_quantization(rung, runtime, profile, asked, facts)
    if takes(profile, ArgumentSource.TENSOR_PARALLEL, ""):
        _check_heads(rung, facts, spread.tensor)
    if facts.layers < spread.pipeline:
        raise SpecRefusedError(
            "PipelineTooLong",
            f"Rung '{rung}' has {facts.layers} layers, fewer than `serving.pipelineParallel` ({spread.pipeline}).",
        )


def check_batch(rung: str, asked: Serving, context_tokens: int, sequences: int) -> None:
    """Refuse a step that holds less than the engine must be able to put into one."""
    batched = asked.batched_tokens
    if batched is None:
        return
    if batched < sequences:
        raise SpecRefusedError(
            "BatchedTokensTooFew",
            f"Rung '{rung}': `serving.batchedTokens` is {batched}, fewer than one token for each of "
            f"{sequences} sequences: raise it, or lower `serving.concurrentSequences`.",
        )
    if asked.chunked_prefill is Toggle.DISABLED and batched < context_tokens:
        raise SpecRefusedError(
            "BatchedTokensTooFew",
            f"Rung '{rung}': `serving.batchedTokens` is {batched}, but without chunked prefill a prompt of "
            f"{context_tokens} tokens must fit into one step: raise it, or leave `serving.chunkedPrefill` on.",
        )


def check_adapter(rung: str, name: str, adapter: AdapterFacts, facts: ArtifactFacts, ranks: Sequence[int]) -> None:
    """Refuse an adapter that was made for another base, or that is larger than the engine makes room for."""
    made_for = f"It says that it was made for '{adapter.base}'. " if adapter.base else ""
    way_out = "Name an adapter of this base, or leave it out of `serving.adapters`."
    if adapter.hidden_size and adapter.hidden_size != facts.hidden_size:
        raise SpecRefusedError(
            "AdapterOfAnotherBase",
            f"Rung '{rung}': adapter '{name}' is made for a model {adapter.hidden_size} wide, this one is "
            f"{facts.hidden_size}. {made_for}{way_out}",
        )
    if adapter.layers > facts.layers:
        raise SpecRefusedError(
            "AdapterOfAnotherBase",
            f"Rung '{rung}': adapter '{name}' changes layer {adapter.layers - 1}, this model has {facts.layers} "
            f"layers. {made_for}{way_out}",
        )
    if ranks and adapter.rank > max(ranks):
        raise SpecRefusedError(
            "AdapterTooLarge",
            f"Rung '{rung}': adapter '{name}' has rank {adapter.rank}; this runtime makes room for {max(ranks)} "
            f"at most. {way_out}",
        )


def check_draft(rung: str, method: str, draft: ArtifactFacts, facts: ArtifactFacts) -> None:
    """Refuse a draft model that speaks other tokens than the model that checks it."""
    if method not in OWN_VOCABULARY:
        return
    way_out = "Name a draft of the same family in `serving.speculative.draft`, or another `method`."
    if draft.vocab_size != facts.vocab_size:
        raise SpecRefusedError(
            "DraftOfAnotherVocabulary",
            f"Rung '{rung}': the draft knows {draft.vocab_size} tokens, the model {facts.vocab_size}. {way_out}",
        )
    digests = (draft.tokenizer_digest, facts.tokenizer_digest)
    if draft.format == facts.format and all(digests) and digests[0] != digests[1]:
        raise SpecRefusedError(
            "DraftOfAnotherVocabulary",
            f"Rung '{rung}': draft and model know {facts.vocab_size} tokens each, but not the same ones: their "
            f"tokenizers differ. {way_out}",
        )


def _check_nodes(rung: str, gpus: int, pipeline: int, nodes: int) -> None:
    """Refuse nodes that would not all hold the same: as many GPUs, and as many whole groups of layers."""
    asked = f"Rung '{rung}': `serving.nodesPerReplica` is {nodes}, but"
    if not gpus or gpus % nodes:
        raise SpecRefusedError(
            "NodesDoNotDivide",
            f"{asked} `serving.gpusPerReplica` is {gpus}, of which the nodes cannot have equal shares: make it a "
            f"multiple of {nodes}, or set `serving.nodesPerReplica` to 1.",
        )
    if pipeline % nodes:
        raise SpecRefusedError(
            "NodesDoNotDivide",
            f"{asked} `serving.pipelineParallel` is {pipeline}, and tensors are not split across nodes: make it a "
            f"multiple of {nodes}, leave it out, or set `serving.nodesPerReplica` to 1.",
        )


def _check_quantization(
    rung: str, runtime: str, profile: RuntimeProfileSpec, asked: Serving, facts: ArtifactFacts
) -> None:
    if asked.quantization is None or not profile.quantizations:
        return
    method = next((each for each in profile.quantizations if each.name == asked.quantization), None)
    fitting = [each.name for each in profile.quantizations if _any_matches(each.schemes, facts.scheme)]
    offers = f"for {facts.scheme} it knows {', '.join(fitting)}" if fitting else f"it knows none for {facts.scheme}"
    if method is None or not _any_matches(method.schemes, facts.scheme):
        wrong = "does not know" if method is None else "does not read such an artifact by"
        raise SpecRefusedError(
            "QuantizationMismatch",
            f"Rung '{rung}' is {facts.scheme}, and runtime '{runtime}' {wrong} '{asked.quantization}': {offers}. "
            "Leave `serving.quantization` out to have it follow from the artifact.",
        )


def _check_heads(rung: str, facts: ArtifactFacts, tensor: int) -> None:
    """Refuse a split that attention heads do not divide into; KV heads are split or repeated, never both."""
    heads = facts.attention_heads
    if heads and heads % tensor:
        possible = [str(count) for count in range(1, min(heads, 64) + 1) if heads % count == 0]
        raise SpecRefusedError(
            "TensorParallelDoesNotDivide",
            f"Rung '{rung}' has {heads} attention heads, which {tensor} GPUs cannot share evenly: "
            f"`serving.tensorParallel` must be one of {', '.join(possible)} "
            "(with `serving.pipelineParallel` for the rest of `serving.gpusPerReplica`).",
        )
    kv_heads = {group.kv_heads for group in facts.attention if group.kind in ("full", "sliding") and group.kv_heads}
    uneven = sorted(count for count in kv_heads if count % tensor and tensor % count)
    if uneven:
        raise SpecRefusedError(
            "TensorParallelDoesNotDivide",
            f"Rung '{rung}' has {uneven[0]} key-value heads, which {tensor} GPUs can neither share nor repeat evenly: "
            f"`serving.tensorParallel` must divide {uneven[0]} or be a multiple of it.",
        )


def _any_matches(patterns: Iterable[str], scheme: str) -> bool:
    return any(
        scheme.startswith(pattern.removesuffix("*")) if pattern.endswith("*") else scheme == pattern
        for pattern in patterns
    )
