"""A rung as a release: what the rung says, what stable and the artifact supply, sealed under one name.

Serving fields are inherited in this order: rung, spec, stable's own pods, the artifact.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..api.catalogue import ArgumentSource, NodeRole, RuntimeProfileSpec
from ..api.v1alpha1 import EnvironmentVariable, ModelRevisionSpec, QuantizedModelSpec, Rung, SecretRef, Serving
from ..artifact.adapter import AdapterFacts
from ..artifact.digests import text_digest
from ..artifact.facts import ArtifactFacts
from .agreement import check_adapter, check_artifact, check_batch, check_draft, parallelism_of
from .engine import EngineValues, render_args, takes
from .errors import SpecRefusedError
from .options import Options, Placed, check_served, options_of
from .places import Place, beside_place, model_place
from .stable import StableFacts

DEFAULT_SEQUENCES = 4


@dataclass(frozen=True)
class Beside:
    """What a release is made of besides its model, as far as the spec asks for it."""

    draft: ArtifactFacts | None = None
    adapters: Mapping[str, AdapterFacts] = field(default_factory=dict)
    """By the adapter's name."""
    chat_template: str = ""
    """The text that replaces the artifact's own."""


@dataclass(frozen=True)
class Resolved:
    """Everything a release's pods are started with; nothing is left to be inherited."""

    runtime: str
    artifact: str
    digest: str | None
    image: str
    port: int
    served_model_name: str
    context_tokens: int
    concurrent_sequences: int
    kv_cache_dtype: str | None
    gpus_per_replica: int
    replicas: int
    cpu_millis: int | None
    extra_args: tuple[str, ...]
    env: tuple[EnvironmentVariable, ...]
    api_key_secret: SecretRef | None
    node_selector: Mapping[str, str]
    tolerations: tuple[Mapping[str, str], ...] = ()
    options: Options = field(default_factory=dict)
    places: tuple[Place, ...] = ()
    """The model's first, then the draft's and the adapters'."""
    chat_template: str = ""
    nodes_per_replica: int = 1
    batched_tokens: int = 0
    dtype: str = ""
    draft: ArtifactFacts | None = None
    """The model that proposes tokens, where it is one of its own."""

    @property
    def image_version(self) -> str:
        """What follows the image's name: a tag, or nothing that can be told."""
        return version_tag(self.image)


def resolve(
    spec: QuantizedModelSpec,
    rung: Rung,
    *,
    name: str,
    runtime: str,
    profile: RuntimeProfileSpec,
    stable: StableFacts | None,
    facts: ArtifactFacts,
    beside: Beside | None = None,
    as_parent: bool = False,
) -> Resolved:
    """Return what the rung's pods are started with; the parent is served as it is, whatever rungs' kernels are.

    `name` is what users ask for where neither the spec nor stable says: most engines answer to no other.
    """
    beside = beside or Beside()
    asked = merged(spec.serving, rung.serving)
    if as_parent:
        asked = asked.model_copy(update=dict.fromkeys(("quantization", "linear_backend", "moe_backend", "speculative")))
    context = asked.context_tokens or _inherited_context(stable) or facts.context_tokens
    sequences = asked.concurrent_sequences or _number(stable, ArgumentSource.CONCURRENT_SEQUENCES) or DEFAULT_SEQUENCES
    if facts.context_tokens and context > facts.context_tokens:
        raise SpecRefusedError(
            "ContextTooLong",
            f"`serving.contextTokens` is {context}, but rung '{rung.name}' was trained for {facts.context_tokens}: "
            f"ask for at most {facts.context_tokens}.",
        )
    gpus = asked.gpus_per_replica if asked.gpus_per_replica is not None else (stable.gpus if stable else 0)
    image = asked.image or _same_engine_image(stable, profile) or profile.image
    api_key = asked.api_key_secret or (stable.api_key_secret if stable else None)
    spread = parallelism_of(rung.name, asked, gpus, _nodes(asked, stable))
    check_served(runtime, profile, asked, spread, version_tag(image))
    _check_api_key(runtime, profile, api_key)
    check_artifact(rung.name, runtime, profile, asked, spread, facts)
    check_batch(rung.name, asked, context, sequences)
    places = _places(spec, rung, asked, profile, facts, beside)
    return Resolved(
        runtime=runtime,
        artifact=facts.pinned_uri or rung.artifact,
        digest=rung.digest,
        image=image,
        port=profile.port,
        served_model_name=asked.served_model_name or (stable.model_name if stable else None) or name,
        context_tokens=context or 2048,
        concurrent_sequences=sequences,
        kv_cache_dtype=asked.kv_cache_dtype,
        gpus_per_replica=gpus,
        nodes_per_replica=spread.nodes,
        replicas=asked.replicas or (stable.replicas if stable else 0) or 1,
        cpu_millis=asked.cpu_millis or (stable.cpu_millis if stable else None),
        extra_args=asked.extra_args,
        env=asked.env,
        api_key_secret=api_key,
        node_selector=asked.node_selector or (stable.node_selector if stable else {}) or {},
        options=options_of(asked, profile, _told(places, beside), spread, on_gpus=gpus > 0),
        places=places,
        chat_template=beside.chat_template,
        batched_tokens=asked.batched_tokens or 0,
        dtype=asked.dtype or "",
        draft=beside.draft if asked.speculative and asked.speculative.draft else None,
        tolerations=stable.tolerations if stable else (),
    )


def seal(
    model: str, rung: Rung, resolved: Resolved, profile: RuntimeProfileSpec, facts: ArtifactFacts, needed_bytes: int
) -> ModelRevisionSpec:
    """Return the immutable release unit of a rung."""
    spans = resolved.nodes_per_replica > 1

    def told(role: NodeRole) -> tuple[str, ...]:
        return render_args(profile, engine_values(resolved, role), resolved.extra_args, resolved.image_version)

    return ModelRevisionSpec(
        model=model,
        rung=rung.name,
        runtime=resolved.runtime,
        artifact=resolved.artifact,
        weights_digest=facts.weights_digest,
        tokenizer_digest=facts.tokenizer_digest,
        chat_template_digest=text_digest(resolved.chat_template) or facts.chat_template_digest,
        scheme=facts.scheme,
        image=resolved.image,
        beside=tuple(place.uri for place in resolved.places[1:]),
        args=told(NodeRole.LEADER),
        worker_args=told(NodeRole.WORKER) if spans else (),
        env=resolved.env,
        kv_cache_dtype=resolved.kv_cache_dtype or "auto",
        context_tokens=resolved.context_tokens,
        concurrent_sequences=resolved.concurrent_sequences,
        gpus_per_replica=resolved.gpus_per_replica,
        nodes_per_replica=resolved.nodes_per_replica if spans else None,
        needed_bytes=needed_bytes,
    )


def identity(sealed: ModelRevisionSpec) -> dict[str, Any]:
    """Return what makes a release the same release; a better size estimate does not make it another."""
    return {key: value for key, value in sealed.as_json().items() if key != "neededBytes" and value != []}


def engine_values(resolved: Resolved, role: NodeRole = NodeRole.LEADER) -> EngineValues:
    """Return what the profile's arguments are filled with, for a pod that answers or for one that only computes."""
    spans = {ArgumentSource.NODE_ROLE: (role.value,)} if resolved.nodes_per_replica > 1 else {}
    return EngineValues(
        model_path=resolved.places[0].path,
        served_model_name=resolved.served_model_name,
        port=resolved.port,
        context_tokens=resolved.context_tokens,
        concurrent_sequences=resolved.concurrent_sequences,
        kv_cache_dtype=resolved.kv_cache_dtype,
        gpus_per_replica=resolved.gpus_per_replica,
        has_api_key=resolved.api_key_secret is not None,
        options={**resolved.options, **spans},
    )


def version_tag(image: str) -> str:
    """Return what follows an image's name; a digest tells no version, nor does a registry's port."""
    return image.rpartition(":")[2]


def merged(base: Serving, over: Serving) -> Serving:
    """Return what a rung is served with: its own words, else the spec's."""
    given = {name: getattr(over, name) for name in over.model_fields_set}
    return base.model_copy(update={name: value for name, value in given.items() if value not in (None, ())})


def artifacts_beside(asked: Serving) -> dict[str, str]:
    """Return the artifacts besides the model, by the volume that each will lie on."""
    draft = {"draft": asked.speculative.draft} if asked.speculative and asked.speculative.draft else {}
    return draft | {f"adapter-{each.name}"[:63]: each.artifact for each in asked.adapters}


def _places(
    spec: QuantizedModelSpec,
    rung: Rung,
    asked: Serving,
    profile: RuntimeProfileSpec,
    facts: ArtifactFacts,
    beside: Beside,
) -> tuple[Place, ...]:
    """Return where everything lies; a draft or an adapter that does not belong to the model is refused."""
    cache = spec.sources.cache_claim or ""
    found = [model_place(rung.artifact, facts, digest=rung.digest or "", cache_claim=cache)]
    if asked.speculative and asked.speculative.draft and beside.draft:
        draft = beside.draft
        check_draft(rung.name, asked.speculative.method, draft, facts)
        uri = draft.pinned_uri or asked.speculative.draft
        file = draft.files[0].name if draft.format == "gguf" else ""
        found.append(beside_place(uri, "draft", file=file, digest=draft.weights_digest, cache_claim=cache))
    for each in asked.adapters:
        adapter = beside.adapters[each.name]
        check_adapter(rung.name, each.name, adapter, facts, profile.lora_ranks)
        uri, volume = adapter.pinned_uri or each.artifact, f"adapter-{each.name}"[:63]
        found.append(beside_place(uri, volume, digest=adapter.weights_digest, cache_claim=cache))
    return tuple(found)


def _told(places: tuple[Place, ...], beside: Beside) -> list[Placed]:
    """Return what the engine is told of the artifacts besides the model."""
    ranks = {f"adapter-{name}"[:63]: (name, facts.rank) for name, facts in beside.adapters.items()}
    return [_placed(each, ranks) for each in places[1:]]


def _placed(place: Place, ranks: Mapping[str, tuple[str, int]]) -> Placed:
    name, rank = ranks.get(place.volume, ("", 0))
    return Placed(name, place.path, rank)


def _check_api_key(runtime: str, profile: RuntimeProfileSpec, secret: SecretRef | None) -> None:
    if secret and not takes(profile, ArgumentSource.API_KEY_ENV, ""):
        raise SpecRefusedError(
            "NotServedByRuntime",
            f"Secret '{secret.name}' holds an API key that users send, but runtime '{runtime}' asks for none: it would "
            "answer anybody. Name another `runtime`, or one of your own that checks keys.",
        )


def _nodes(asked: Serving, stable: StableFacts | None) -> int:
    """Return the nodes that a replica spans: whoever says how many GPUs it has means so many on one node."""
    inherited = stable.nodes if stable and asked.gpus_per_replica is None else 1
    return asked.nodes_per_replica or inherited


def _same_engine_image(stable: StableFacts | None, profile: RuntimeProfileSpec) -> str | None:
    if stable and any(part in stable.image for part in profile.image_substrings):
        return stable.image
    return None


def _inherited_context(stable: StableFacts | None) -> int | None:
    each = _number(stable, ArgumentSource.CONTEXT_TOKENS)
    total = _number(stable, ArgumentSource.TOTAL_CONTEXT_TOKENS)
    if each or not total:
        return each
    return total // (_number(stable, ArgumentSource.CONCURRENT_SEQUENCES) or 1)


def _number(stable: StableFacts | None, source: ArgumentSource) -> int | None:
    text = stable.inherited(source) if stable else None
    return int(text) if text and text.isdigit() else None
