"""Snapshot → observation: what was read, understood. Everything a user got wrong becomes a problem with a sentence.

Here: putting the rooms' answers together. Not here: each answer (`stable`, `releases`, `gates`, `moves`).
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..api.catalogue import RuntimeProfileSpec
from ..api.v1alpha1 import QuantizedModelSpec, QuantizedModelStatus, Rung, Serving
from ..artifact.facts import ArtifactFacts
from ..starting.deadlines import Deadlines
from . import names
from .agreement import check_groups
from .beside import adapter_in, beside_of, facts_in
from .errors import SpecRefusedError, UserError
from .fitting import explained, fit_of
from .gates import gates_of
from .home import current_revision, parent_uri, profile_of, stable_of
from .loans import lent_to
from .moves import see_traffic
from .needs import need_of
from .observation import Observation, Release
from .places import check_source, claim_of, mounted
from .pods import pods_named
from .promised import broken_promise, kept_by
from .readings import borrowed_facts, failure_of, is_fresh, what_holds_readings
from .releases import artifacts_beside, identity, merged, resolve, seal
from .snapshot import Manifest, Snapshot
from .stable import StableFacts


def see(snapshot: Snapshot) -> Observation:
    """Return all that one turn may know."""
    metadata = snapshot.model["metadata"]
    spec = QuantizedModelSpec.model_validate(snapshot.model["spec"])
    status = QuantizedModelStatus.model_validate(snapshot.model.get("status") or {})
    facts: dict[str, Any] = {
        "now": snapshot.now,
        "name": snapshot.name,
        "namespace": snapshot.namespace,
        "uid": metadata["uid"],
        "generation": metadata.get("generation", 0),
        "spec": spec,
        "status": status,
        "annotations": metadata.get("annotations") or {},
        "deleting": "deletionTimestamp" in metadata,
        "has_finalizer": names.FINALIZER in (metadata.get("finalizers") or []),
    }
    facts["lent"] = lent_to(snapshot)
    current = current_revision(snapshot)
    facts |= {"current_revision": current, "current_pods": pods_named(snapshot, current)}
    facts |= {"baseline": pods_named(snapshot, names.baseline_name(snapshot.name))}
    facts |= {"relay": pods_named(snapshot, names.relay_name(snapshot.name), asked=False)}
    relay = snapshot.workloads.get(names.relay_name(snapshot.name)) or {"metadata": {}}
    facts["relay_revision"] = (relay["metadata"].get("annotations") or {}).get(names.REVISION, "")
    facts["deployed"] = tuple(name for name, each in snapshot.workloads.items() if _role(each) == "release")
    facts["standing"] = frozenset(_revision(pod) for pod in snapshot.pods if _role(pod) == "release")
    try:
        profile_name, profile = profile_of(snapshot, spec)
        stable = stable_of(snapshot, spec, current, profile)
        facts |= {"stable": stable, "profile_name": profile_name}
        _check(snapshot, spec)
    except UserError as error:
        return _with_traffic(snapshot, facts | {"problem": (error.reason, error.message)}, None)
    facts |= _parent(snapshot, spec)
    facts["borrowed_facts"] = borrowed_facts(snapshot, spec)
    facts["reading_held"] = what_holds_readings(snapshot, spec)
    facts["releases"] = tuple(
        _release(snapshot, spec, rung, profile_name, profile, stable, facts) for rung in spec.ladder
    )
    return _with_traffic(snapshot, facts, profile)


def _with_traffic(snapshot: Snapshot, facts: dict[str, Any], profile: RuntimeProfileSpec | None) -> Observation:
    seen = Observation(**facts)
    if seen.judges_only and not snapshot.overlay:
        return seen
    return see_traffic(snapshot, seen, profile)


def _check(snapshot: Snapshot, spec: QuantizedModelSpec) -> None:
    """Refuse what CEL cannot see and no rung alone is to blame for."""
    if not re.fullmatch(names.USABLE_MODEL_NAME, snapshot.name):
        raise SpecRefusedError(
            "NameNotUsable",
            f"`metadata.name` must be at most 40 letters, digits and '-' and begin with a letter, for Services are "
            f"called after it; it is '{snapshot.name}'.",
        )
    if spec.parent:
        check_source("`parent.artifact`", spec.parent.artifact)
        _check_claim(snapshot, "`parent.artifact`", spec.parent.artifact)
    if spec.sources.cache_claim:
        _check_claim(snapshot, "`sources.cacheClaim`", f"pvc://{spec.sources.cache_claim}")
    for suite in spec.gates.quality.suites:
        if suite.name not in snapshot.suites:
            raise SpecRefusedError(
                "EvalSuiteNotFound",
                f"`gates.quality.suites` names '{suite.name}', but namespace '{snapshot.namespace}' has no such "
                "EvalSuite.",
            )
    if not snapshot.suites:
        raise SpecRefusedError(
            "NoEvalSuite", "No EvalSuite is named in `gates.quality.suites`, and no built-in one is installed."
        )


def _parent(snapshot: Snapshot, spec: QuantizedModelSpec) -> dict[str, Any]:
    """Return what is known of the artifact that answers are held against; an unknown one is never waited for."""
    uri = parent_uri(snapshot, spec)
    if not uri:
        return {}
    config_map = snapshot.config_maps.get(names.facts_name(uri, None))
    found, failed = facts_in(config_map), failure_of(snapshot, uri, None)
    fresh = found is not None and is_fresh(snapshot, config_map, uri, None)
    return {"parent_uri": uri, "parent_facts": found, "parent_reading": not fresh and failed is None}


def _release(
    snapshot: Snapshot,
    spec: QuantizedModelSpec,
    rung: Rung,
    runtime: str,
    profile: RuntimeProfileSpec,
    stable: StableFacts | None,
    seen: Mapping[str, Any],
) -> Release:
    try:
        check_source(f"Rung '{rung.name}': `artifact`", rung.artifact)
        _check_claim(snapshot, f"Rung '{rung.name}': `artifact`", rung.artifact)
    except UserError as error:
        return Release(rung, problem=(error.reason, error.message))
    config_map = snapshot.config_maps.get(names.facts_name(rung.artifact, rung.digest))
    facts = facts_in(config_map)
    if problem := failure_of(snapshot, rung.artifact, rung.digest):
        return Release(rung, problem=(problem[0], f"Rung '{rung.name}': {problem[1]}"))
    if facts is None or not is_fresh(snapshot, config_map, rung.artifact, rung.digest):
        return Release(rung, reading=True)
    try:
        if unread := _unread_beside(snapshot, rung, merged(spec.serving, rung.serving)):
            return Release(rung, facts=facts, unread=unread)
        return _known_release(snapshot, spec, rung, runtime, profile, stable, facts, seen)
    except UserError as error:
        return Release(rung, facts=facts, problem=(error.reason, error.message))


def _unread_beside(snapshot: Snapshot, rung: Rung, asked: Serving) -> tuple[str, ...]:
    """Return the drafts and adapters whose facts are to be read; one that cannot be read refuses the rung."""
    unread = []
    for volume, uri in artifacts_beside(asked).items():
        where = f"Rung '{rung.name}': the {volume.replace('-', ' ', 1)}"
        check_source(where, uri)
        _check_claim(snapshot, where, uri)
        if problem := failure_of(snapshot, uri, None):
            raise SpecRefusedError(problem[0], f"{where}: {problem[1]}")
        config_map = snapshot.config_maps.get(names.facts_name(uri, None))
        if (facts_in(config_map) is None and adapter_in(config_map) is None) or not is_fresh(
            snapshot, config_map, uri, None
        ):
            unread.append(uri)
        elif (facts_in(config_map) is None) is (volume == "draft"):
            is_what, wanted = ("an adapter", "a model") if volume == "draft" else ("a whole model", "a LoRA adapter")
            raise SpecRefusedError("UnsupportedArtifact", f"{where} is {is_what}; {wanted} is needed there.")
    return tuple(unread)


def _known_release(
    snapshot: Snapshot,
    spec: QuantizedModelSpec,
    rung: Rung,
    runtime: str,
    profile: RuntimeProfileSpec,
    stable: StableFacts | None,
    facts: ArtifactFacts,
    seen: Mapping[str, Any],
) -> Release:
    if facts.format not in profile.formats:
        raise SpecRefusedError(
            "FormatNotServed",
            f"Rung '{rung.name}' is {facts.format}, which runtime '{runtime}' does not load "
            f"(it loads {', '.join(profile.formats)}): name another artifact or `runtime`.",
        )
    resolved = resolve(
        spec,
        rung,
        name=snapshot.name,
        runtime=runtime,
        profile=profile,
        stable=stable,
        facts=facts,
        beside=beside_of(snapshot, spec, rung),
    )
    check_groups(rung.name, resolved.nodes_per_replica, served=snapshot.serves_groups)
    need = need_of(resolved, facts)
    sealed = seal(snapshot.name, rung, resolved, profile, facts, 0)
    revision = names.revision_name(
        snapshot.name, rung.name, identity(sealed), spans_nodes=resolved.nodes_per_replica > 1
    )
    parent = seen.get("parent_facts")
    fit = fit_of(snapshot, need, revision, reload_seconds=_reload_seconds(profile, parent or facts))
    fit = explained(snapshot, spec, need, fit, parent)
    if facts.moved:
        fit = replace(fit, message=f"{fit.message} {facts.moved}")
    sealed = seal(snapshot.name, rung, resolved, profile, facts, fit.needed_bytes)
    model, *others = resolved.places
    places = (mounted(model, facts, snapshot.node_infos, spec.sources.ca_bundle), *others)
    resolved = replace(resolved, places=places)
    pods = pods_named(snapshot, revision, runtime=runtime)
    kept = kept_by(resolved, facts, fit, pods.report)
    return Release(
        rung,
        facts=facts,
        resolved=resolved,
        sealed=sealed,
        revision=revision,
        fit=fit,
        pods=pods,
        start_seconds=_reload_seconds(profile, facts),
        deadlines=Deadlines.of(profile, facts.file_bytes),
        kept=kept,
        broken_promise=broken_promise(spec, kept),
        gates=gates_of(
            snapshot,
            spec,
            revision=revision,
            resolved=resolved,
            facts=facts,
            parent_facts=seen.get("parent_facts"),
            stable=stable,
            baseline_runs=seen["baseline"].serving,
        ),
    )


def _reload_seconds(profile: RuntimeProfileSpec, facts: ArtifactFacts) -> float:
    """Return how long a replica takes to load an artifact, at most."""
    return profile.start_seconds + facts.file_bytes / profile.load_bytes_per_second


def _check_claim(snapshot: Snapshot, field: str, artifact: str) -> None:
    inside = claim_of(artifact)
    if inside and inside[0] not in snapshot.claims:
        raise SpecRefusedError(
            "ClaimNotFound",
            f"{field} names the claim '{inside[0]}', but namespace '{snapshot.namespace}' has "
            "no such PersistentVolumeClaim: create it, or name another.",
        )


def _role(manifest: Manifest) -> str:
    return str((manifest["metadata"].get("labels") or {}).get(names.ROLE, ""))


def _revision(pod: Manifest) -> str:
    return str(pod["metadata"]["labels"].get(names.REVISION, ""))
