"""A rung as a release: what the rung says, what stable and the artifact supply, sealed under one name.

Serving fields are inherited in this order: rung, spec, stable's own pods, the artifact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..api.catalogue import ArgumentSource, RuntimeProfileSpec
from ..api.v1alpha1 import ModelRevisionSpec, QuantizedModelSpec, Rung, SecretRef, Serving
from ..artifact.facts import ArtifactFacts
from ..fit.need import Need
from .engine import EngineValues, render_args
from .errors import SpecRefusedError
from .stable import StableFacts

MODEL_MOUNT = "/models"
DEFAULT_SEQUENCES = 4
SUPPORTED_SOURCES = ("pvc://", "https://", "http://")


@dataclass(frozen=True)
class Resolved:
    """Everything a release's pods are started with; nothing is left to be inherited."""

    runtime: str
    artifact: str
    digest: str | None
    image: str
    port: int
    served_model_name: str | None
    context_tokens: int
    concurrent_sequences: int
    kv_cache_dtype: str | None
    gpus_per_replica: int
    replicas: int
    cpu_millis: int | None
    extra_args: tuple[str, ...]
    api_key_secret: SecretRef | None
    node_selector: Mapping[str, str]
    tolerations: tuple[Mapping[str, str], ...] = ()


def resolve(
    spec: QuantizedModelSpec,
    rung: Rung,
    *,
    runtime: str,
    profile: RuntimeProfileSpec,
    stable: StableFacts | None,
    facts: ArtifactFacts,
) -> Resolved:
    """Return what the rung's pods are started with."""
    asked = _merged(spec.serving, rung.serving)
    context = asked.context_tokens or _inherited_context(stable) or facts.context_tokens
    sequences = asked.concurrent_sequences or _number(stable, ArgumentSource.CONCURRENT_SEQUENCES) or DEFAULT_SEQUENCES
    if facts.context_tokens and context > facts.context_tokens:
        raise SpecRefusedError(
            "ContextTooLong",
            f"`serving.contextTokens` is {context}, but rung '{rung.name}' was trained for {facts.context_tokens}: "
            f"ask for at most {facts.context_tokens}.",
        )
    gpus = asked.gpus_per_replica
    return Resolved(
        runtime=runtime,
        artifact=rung.artifact,
        digest=rung.digest,
        image=asked.image or _same_engine_image(stable, profile) or profile.image,
        port=profile.port,
        served_model_name=asked.served_model_name or _text(stable, ArgumentSource.SERVED_MODEL_NAME),
        context_tokens=context or 2048,
        concurrent_sequences=sequences,
        kv_cache_dtype=asked.kv_cache_dtype,
        gpus_per_replica=gpus if gpus is not None else (stable.gpus if stable else 0),
        replicas=asked.replicas or (stable.replicas if stable else 0) or 1,
        cpu_millis=asked.cpu_millis or (stable.cpu_millis if stable else None),
        extra_args=asked.extra_args,
        api_key_secret=asked.api_key_secret or (stable.api_key_secret if stable else None),
        node_selector=asked.node_selector or (stable.node_selector if stable else {}) or {},
        tolerations=stable.tolerations if stable else (),
    )


def seal(
    model: str, rung: Rung, resolved: Resolved, profile: RuntimeProfileSpec, facts: ArtifactFacts, needed_bytes: int
) -> ModelRevisionSpec:
    """Return the immutable release unit of a rung."""
    return ModelRevisionSpec(
        model=model,
        rung=rung.name,
        runtime=resolved.runtime,
        artifact=rung.artifact,
        weights_digest=facts.weights_digest,
        tokenizer_digest=facts.tokenizer_digest,
        chat_template_digest=facts.chat_template_digest,
        scheme=facts.scheme,
        image=resolved.image,
        args=render_args(profile, engine_values(resolved), resolved.extra_args),
        kv_cache_dtype=resolved.kv_cache_dtype or "auto",
        context_tokens=resolved.context_tokens,
        concurrent_sequences=resolved.concurrent_sequences,
        gpus_per_replica=resolved.gpus_per_replica,
        needed_bytes=needed_bytes,
    )


def identity(sealed: ModelRevisionSpec) -> dict[str, Any]:
    """Return what makes a release the same release; a better size estimate does not make it another."""
    return {key: value for key, value in sealed.as_json().items() if key != "neededBytes"}


def need_of(resolved: Resolved, facts: ArtifactFacts) -> Need:
    """Return what a release asks of nodes."""
    return Need(
        facts=facts,
        runtime=resolved.runtime,
        engine_version=resolved.image.rpartition(":")[2],
        context_tokens=resolved.context_tokens,
        concurrent_sequences=resolved.concurrent_sequences,
        gpus_per_replica=resolved.gpus_per_replica,
        kv_cache_dtype=resolved.kv_cache_dtype or "auto",
        replicas=resolved.replicas,
        cpu_millis=resolved.cpu_millis or 0,
        node_selector=resolved.node_selector,
        tolerations=resolved.tolerations,
        dtype=flag_value(resolved.extra_args, "--dtype"),
    )


def engine_values(resolved: Resolved) -> EngineValues:
    """Return what the profile's arguments are filled with."""
    return EngineValues(
        model_path=model_path(resolved.artifact),
        served_model_name=resolved.served_model_name,
        port=resolved.port,
        context_tokens=resolved.context_tokens,
        concurrent_sequences=resolved.concurrent_sequences,
        kv_cache_dtype=resolved.kv_cache_dtype,
        gpus_per_replica=resolved.gpus_per_replica,
        has_api_key=resolved.api_key_secret is not None,
    )


def check_source(where: str, uri: str) -> None:
    """Refuse an artifact source that nothing here can read."""
    if not uri.startswith(SUPPORTED_SOURCES):
        scheme = uri.partition("://")[0]
        raise SpecRefusedError(
            "SourceNotSupported",
            f"{where} uses '{scheme}://', which this version does not read: use pvc://CLAIM/PATH or https://.",
        )


def claim_of(uri: str) -> tuple[str, str] | None:
    """Return the claim and the path of a pvc:// artifact; None for any other."""
    if not uri.startswith("pvc://"):
        return None
    claim, _, path = uri.removeprefix("pvc://").partition("/")
    return claim, path


def model_path(uri: str) -> str:
    """Return where an artifact lies inside the engine's container."""
    inside = claim_of(uri)
    return f"{MODEL_MOUNT}/{inside[1]}" if inside else f"{MODEL_MOUNT}/{uri.rstrip('/').rpartition('/')[2]}"


def flag_value(arguments: Sequence[str], flag: str) -> str:
    """Return what a flag is given, in one word or in two; '' where it is not there."""
    for index, argument in enumerate(arguments):
        if argument == flag and index + 1 < len(arguments):
            return arguments[index + 1]
        if argument.startswith(f"{flag}="):
            return argument.partition("=")[2]
    return ""


def _merged(base: Serving, over: Serving) -> Serving:
    given = {name: getattr(over, name) for name in over.model_fields_set}
    return base.model_copy(update={name: value for name, value in given.items() if value not in (None, ())})


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


def _text(stable: StableFacts | None, source: ArgumentSource) -> str | None:
    return stable.inherited(source) if stable else None


def _number(stable: StableFacts | None, source: ArgumentSource) -> int | None:
    text = _text(stable, source)
    return int(text) if text and text.isdigit() else None
