"""A ladder planned: what each rung needs, whether nodes hold it, or why nobody can tell.

Pure: spec, facts, profiles and nodes → answers, by the functions that the operator itself decides with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bitshift_core.api.catalogue import Argument, ArgumentSource, RuntimeProfileSpec
from bitshift_core.api.v1alpha1 import QuantizedModelSpec, Rung, SizeItem
from bitshift_core.artifact.adapter import AdapterFacts
from bitshift_core.artifact.errors import ArtifactError
from bitshift_core.artifact.facts import ArtifactFacts
from bitshift_core.fit.capacity import Capacity
from bitshift_core.fit.engines import EngineConstants
from bitshift_core.fit.kernels import KernelTable
from bitshift_core.fit.need import Need
from bitshift_core.fit.placement import Node
from bitshift_core.fit.plan import plan_release
from bitshift_core.rollout.agreement import check_groups
from bitshift_core.rollout.errors import UserError
from bitshift_core.rollout.needs import need_of
from bitshift_core.rollout.releases import Beside, artifacts_beside, merged, resolve
from bitshift_core.rollout.stable import StableFacts

from .manifests import Document
from .sizing import RUNTIME_OF_FORMAT, Asked, capacity_bytes, capacity_json, serving_json

State = Literal["Fits", "Waiting", "DoesNotFit", "Refused", "Unreadable"]
Read = ArtifactFacts | AdapterFacts | ArtifactError
KEPT = "Not read now, but as a Job in the cluster read it earlier."


@dataclass(frozen=True)
class Ground:
    """What rungs are planned on: nodes, engines, and what is known of the release that serves now."""

    nodes: tuple[Node, ...]
    engines: EngineConstants
    profiles: Mapping[str, RuntimeProfileSpec]
    stable: StableFacts | None = None
    stable_runtime: str | None = None
    knows_gpus: bool = True
    knows_memory: bool = True
    kernels: KernelTable = field(default_factory=KernelTable)
    serves_groups: bool = True
    """Whether the cluster serves LeaderWorkerSets, as far as it can be told."""
    kept: Mapping[str, ArtifactFacts | AdapterFacts] = field(default_factory=dict)
    """Facts that a Job in the cluster read earlier, by artifact."""


@dataclass(frozen=True)
class RungPlan:
    """One rung's answer."""

    name: str
    artifact: str
    state: State
    reason: str
    message: str
    facts: ArtifactFacts | None = None
    need: Need | None = None
    items: tuple[SizeItem, ...] = ()
    capacity_bytes: int = 0
    node_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    headline: str = ""
    held: Capacity | None = None

    @property
    def fits(self) -> bool:
        """It fits now, or once there is room."""
        return self.state in ("Fits", "Waiting")

    @property
    def needed_bytes(self) -> int:
        """Return the sum."""
        return sum(item.bytes for item in self.items)


@dataclass(frozen=True)
class ModelPlan:
    """A model's whole ladder."""

    source: str
    namespace: str
    name: str
    rungs: tuple[RungPlan, ...]
    notes: tuple[str, ...] = ()


def artifacts_in(spec: QuantizedModelSpec) -> tuple[str, ...]:
    """Return every artifact that a ladder names, drafts and adapters among them, in order and each once."""
    beside = [artifacts_beside(merged(spec.serving, rung.serving)).values() for rung in spec.ladder]
    rungs = [rung.artifact for rung in spec.ladder]
    return tuple(dict.fromkeys((*rungs, *(uri for uris in beside for uri in uris))))


def plan_model(document: Document, read: Mapping[str, Read], asked: Asked, ground: Ground) -> ModelPlan:
    """Return the plan of every rung, best first as the ladder has them."""
    rungs = tuple(plan_rung(document.spec, rung, read, asked, ground) for rung in document.spec.ladder)
    return ModelPlan(document.source, document.namespace, document.name, rungs, _unsaid(document.spec, asked, ground))


def plan_rung(spec: QuantizedModelSpec, rung: Rung, read: Mapping[str, Read], asked: Asked, ground: Ground) -> RungPlan:
    """Return one rung's plan; what cannot be told is said to be so, never guessed to fit."""
    unread = {uri for uri, found in read.items() if isinstance(found, ArtifactError)}
    known = {**read, **{uri: facts for uri, facts in ground.kept.items() if uri in unread}}
    facts = known[rung.artifact]
    if isinstance(facts, ArtifactError):
        return RungPlan(rung.name, rung.artifact, "Unreadable", facts.reason, str(facts))
    if isinstance(facts, AdapterFacts):
        what = "It is a LoRA adapter: name it in `serving.adapters` of the model that it was made for."
        return RungPlan(rung.name, rung.artifact, "Refused", "UnsupportedArtifact", what)
    beside = _beside(spec, rung, known)
    if isinstance(beside, RungPlan):
        return beside
    found = _judged(spec, rung, facts, beside, asked, ground)
    was_kept = known[rung.artifact] is not read[rung.artifact]
    return replace(found, notes=(*found.notes, KEPT)) if was_kept else found


def _beside(spec: QuantizedModelSpec, rung: Rung, known: Mapping[str, Read]) -> Beside | RungPlan:
    """Return what is served with the model, or why nobody can tell: a draft or an adapter that cannot be read."""
    serving = merged(spec.serving, rung.serving)
    for volume, uri in artifacts_beside(serving).items():
        facts, wanted = known[uri], ArtifactFacts if volume == "draft" else AdapterFacts
        where = f"The {volume.replace('-', ' ', 1)}, {uri}"
        if isinstance(facts, ArtifactError):
            return RungPlan(rung.name, rung.artifact, "Unreadable", facts.reason, f"{where}: {facts}")
        if not isinstance(facts, wanted):
            is_what, needed = ("an adapter", "a model") if volume == "draft" else ("a whole model", "a LoRA adapter")
            why = f"{where}, is {is_what}; {needed} is needed there."
            return RungPlan(rung.name, rung.artifact, "Refused", "UnsupportedArtifact", why)
    draft = known[serving.speculative.draft] if serving.speculative and serving.speculative.draft else None
    adapters = {each.name: known[each.artifact] for each in serving.adapters}
    return Beside(
        draft=draft if isinstance(draft, ArtifactFacts) else None,
        adapters={name: facts for name, facts in adapters.items() if isinstance(facts, AdapterFacts)},
    )


def _judged(
    spec: QuantizedModelSpec, rung: Rung, facts: ArtifactFacts, beside: Beside, asked: Asked, ground: Ground
) -> RungPlan:
    try:
        return _planned(spec, rung, facts, beside, asked, ground)
    except UserError as error:
        return RungPlan(rung.name, rung.artifact, "Refused", error.reason, error.message, facts=facts)


def _planned(
    spec: QuantizedModelSpec, rung: Rung, facts: ArtifactFacts, beside: Beside, asked: Asked, ground: Ground
) -> RungPlan:
    runtime = asked.runtime or spec.runtime or ground.stable_runtime or RUNTIME_OF_FORMAT[facts.format]
    profile = ground.profiles.get(runtime) or _bare_profile(runtime, facts)
    if facts.format not in profile.formats:
        loads = ", ".join(profile.formats)
        raise UserError(
            "FormatNotServed", f"It is {facts.format}, which runtime '{runtime}' does not load (it loads {loads})."
        )
    resolved = resolve(
        _with(spec, asked),
        rung,
        name=rung.name,
        runtime=runtime,
        profile=profile,
        stable=ground.stable,
        facts=facts,
        beside=beside,
    )
    check_groups(rung.name, resolved.nodes_per_replica, served=ground.serves_groups)
    need = need_of(resolved, facts)
    if asked.gpus_per_replica is not None:
        need = replace(need, gpus_per_replica=asked.gpus_per_replica)
    elif spec.stable and not ground.stable and ground.knows_gpus and not _says_gpus(spec, rung):
        need = replace(need, gpus_per_replica=1)
    if asked.engine_version:
        need = replace(need, engine_version=asked.engine_version)
    _check_known(need, ground, is_said=_says_gpus(spec, rung))
    fit = plan_release(need, ground.nodes, ground.engines, kernels=ground.kernels)
    return RungPlan(
        name=rung.name,
        artifact=rung.artifact,
        state=fit.verdict,
        reason=fit.reason,
        message=fit.message,
        facts=facts,
        need=need,
        items=fit.items,
        capacity_bytes=capacity_bytes(fit, ground.nodes, need),
        node_names=fit.node_names,
        notes=facts.notes,
        headline=fit.headline,
        held=fit.held,
    )


def _check_known(need: Need, ground: Ground, *, is_said: bool) -> None:
    """Refuse to guess the part of imagined nodes that no option describes."""
    if need.gpus_per_replica and not ground.knows_gpus:
        raise UserError("GPUUnknown", "It is served on GPUs: say which by `--gpu H100-80 --count 2`.")
    if not need.gpus_per_replica and not ground.knows_memory:
        why = "" if is_said else " (`serving.gpusPerReplica` is not said, and nothing runs that it is inherited from)"
        raise UserError("MemoryUnknown", f"It is served on CPU{why}: say a node's memory by `--node-memory-gib`.")


def _with(spec: QuantizedModelSpec, asked: Asked) -> QuantizedModelSpec:
    """Return the spec with what options say of all rungs; a rung's own word is stronger, as in the cluster."""
    said = {
        "context_tokens": asked.context_tokens,
        "concurrent_sequences": asked.sequences,
        "kv_cache_dtype": asked.kv_cache_dtype,
    }
    serving = spec.serving.model_copy(update={name: value for name, value in said.items() if value is not None})
    return spec.model_copy(update={"serving": serving})


def _says_gpus(spec: QuantizedModelSpec, rung: Rung) -> bool:
    return rung.serving.gpus_per_replica is not None or spec.serving.gpus_per_replica is not None


def _unsaid(spec: QuantizedModelSpec, asked: Asked, ground: Ground) -> tuple[str, ...]:
    """Return what the cluster would inherit from stable's pods and nobody knows here."""
    if not spec.stable or ground.stable:
        return ()
    said, options = spec.serving, asked
    unset = {
        "serving.contextTokens": (said.context_tokens, options.context_tokens),
        "serving.concurrentSequences": (said.concurrent_sequences, options.sequences),
        "serving.gpusPerReplica": (said.gpus_per_replica, options.gpus_per_replica),
        "serving.image": (said.image, options.engine_version or None),
    }
    missing = [f"`{name}`" for name, values in unset.items() if values == (None, None)]
    if not missing:
        return ()
    return (
        f"Inherited from the pods of Service '{spec.stable.service}' in the cluster, and not known here: "
        f"{', '.join(missing)}. Say them in the file, or by options.",
    )


def _bare_profile(runtime: str, facts: ArtifactFacts) -> RuntimeProfileSpec:
    """Return a profile that only says which engine it is, and takes every field: no cluster is asked for its own."""
    formats = tuple(kind for kind, engine in RUNTIME_OF_FORMAT.items() if engine == runtime) or (facts.format,)
    args = tuple(Argument(flag=f"--{source}", source=source) for source in ArgumentSource if source.value != "Value")
    return RuntimeProfileSpec(image=f"{runtime}:latest", image_substrings=(runtime,), formats=formats, args=args)


def as_json(plan: ModelPlan) -> dict[str, Any]:
    """Return all of it for programs."""
    return {
        "source": plan.source,
        "namespace": plan.namespace,
        "name": plan.name,
        "notes": list(plan.notes),
        "rungs": [_rung_json(rung) for rung in plan.rungs],
    }


def _rung_json(rung: RungPlan) -> dict[str, Any]:
    return {
        "name": rung.name,
        "artifact": rung.artifact,
        "verdict": rung.state,
        "reason": rung.reason,
        "headline": rung.headline or None,
        "message": rung.message,
        "kvCache": capacity_json(rung.held),
        "scheme": rung.facts.scheme if rung.facts else None,
        "serving": serving_json(rung.need) if rung.need else None,
        "items": [item.as_json() for item in rung.items],
        "neededBytes": rung.needed_bytes if rung.items else None,
        "offeredBytes": rung.capacity_bytes or None,
        "nodes": list(rung.node_names),
        "notes": list(rung.notes),
    }


def verdict_status(plans: Sequence[ModelPlan]) -> Literal["all", "some", "none"]:
    """Return how much of all ladders fits; a ladder without any rung that fits makes it none."""
    if all(rung.fits for plan in plans for rung in plan.rungs):
        return "all"
    return "some" if all(any(rung.fits for rung in plan.rungs) for plan in plans) else "none"
