"""Snapshot → observation: what was read, understood. Everything a user got wrong becomes a problem with a sentence.

Here: putting the rooms' answers together. Not here: each answer (`stable`, `releases`, `gates`, `moves`).
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..api.catalogue import ArgumentSource, RuntimeProfileSpec
from ..api.conditions import epoch
from ..api.v1alpha1 import QuantizedModelSpec, QuantizedModelStatus, Rung, Serving
from ..artifact.facts import ArtifactFacts
from ..fit.offers import is_gpu
from . import engine, names
from . import stable as stables
from .beside import adapter_in, beside_of, facts_in
from .errors import SpecRefusedError, UserError
from .fitting import explained, fit_of
from .gates import gates_of
from .jobs import last_words, what_holds, why_failed
from .moves import see_traffic
from .observation import Observation, Problem, Release
from .places import check_source, claim_of, mounted
from .pods import is_ready, pods_named
from .releases import artifacts_beside, identity, merged, need_of, resolve, seal
from .snapshot import Manifest, Snapshot
from .stable import StableFacts

FACTS_STAY_FRESH_SECONDS = 600
FACTS_READ = "FactsRead"


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
    current = current_revision(snapshot)
    facts |= {"current_revision": current, "current_pods": pods_named(snapshot, current)}
    facts |= {"baseline": pods_named(snapshot, names.baseline_name(snapshot.name))}
    facts |= {"relay": pods_named(snapshot, names.relay_name(snapshot.name), asked=False)}
    relay = snapshot.deployments.get(names.relay_name(snapshot.name)) or {"metadata": {}}
    facts["relay_revision"] = (relay["metadata"].get("annotations") or {}).get(names.REVISION, "")
    facts["deployed"] = tuple(name for name, each in snapshot.deployments.items() if _role(each) == "release")
    try:
        profile_name, profile = _profile(snapshot, spec)
        stable = _stable(snapshot, spec, current, profile)
        facts |= {"stable": stable, "profile_name": profile_name}
        _check(snapshot, spec)
    except UserError as error:
        return _with_traffic(snapshot, facts | {"problem": (error.reason, error.message)}, None)
    facts |= _parent(snapshot, spec)
    facts["borrowed_facts"] = _borrowed_facts(snapshot, spec)
    facts["reading_held"] = _reading_held(snapshot, spec)
    facts["releases"] = tuple(
        _release(snapshot, spec, rung, profile_name, profile, stable, facts) for rung in spec.ladder
    )
    return _with_traffic(snapshot, facts, profile)


def current_revision(snapshot: Snapshot) -> str:
    """Return the promoted revision, as the Service that users hand over to says it."""
    service = snapshot.services.get(names.release_service(snapshot.name))
    return str((service or {}).get("spec", {}).get("selector", {}).get(names.REVISION, ""))


def parent_uri(snapshot: Snapshot, spec: QuantizedModelSpec) -> str:
    """Return the artifact that answers are held against; '' while it is not known which one stable serves."""
    if spec.parent:
        return spec.parent.artifact
    pod_spec = _users_pod_spec(snapshot)
    container = _engine_container(pod_spec)
    runtime = spec.runtime or engine.recognise(snapshot.profiles, container.get("image", ""))
    profile = snapshot.profiles.get(runtime or "")
    if profile is None:
        return ""
    path = stables.read_container(profile, container).get(ArgumentSource.MODEL_PATH)
    return stables.artifact_of(pod_spec, container, path)


def reading_of(snapshot: Snapshot) -> str:
    """Return what identifies one reading of the artifacts: another spec or retry reads them again."""
    metadata = snapshot.model["metadata"]
    return (
        f"{metadata['uid']}/{metadata.get('generation', 0)}/{(metadata.get('annotations') or {}).get(names.RETRY, '')}"
    )


def _with_traffic(snapshot: Snapshot, facts: dict[str, Any], profile: RuntimeProfileSpec | None) -> Observation:
    seen = Observation(**facts)
    if seen.judges_only and not snapshot.overlay:
        return seen
    return see_traffic(snapshot, seen, profile)


def _profile(snapshot: Snapshot, spec: QuantizedModelSpec) -> tuple[str, RuntimeProfileSpec]:
    known = ", ".join(sorted(snapshot.profiles)) or "none"
    if spec.runtime:
        if spec.runtime in snapshot.bad_profiles:
            raise SpecRefusedError("RuntimeProfileInvalid", snapshot.bad_profiles[spec.runtime])
        if spec.runtime not in snapshot.profiles:
            raise SpecRefusedError(
                "RuntimeProfileNotFound", f"`runtime` is '{spec.runtime}', but the RuntimeProfiles are: {known}."
            )
        return spec.runtime, snapshot.profiles[spec.runtime]
    image = _engine_container(_users_pod_spec(snapshot)).get("image", "")
    if spec.stable and not image:
        _service(snapshot, spec.stable.service)
        raise SpecRefusedError(
            "StableHasNoPods",
            f"`stable.service` is '{spec.stable.service}', which leads to no pod that would tell its engine: start "
            f"some, or say `runtime`, one of: {known}.",
        )
    name = engine.recognise(snapshot.profiles, image)
    if name is None:
        raise SpecRefusedError(
            "RuntimeNotRecognised",
            f"The engine of stable's image '{image}' is not recognised: say `runtime`, one of: {known}.",
        )
    return name, snapshot.profiles[name]


def _service(snapshot: Snapshot, name: str) -> Manifest:
    if name not in snapshot.services:
        raise SpecRefusedError(
            "StableNotFound",
            f"`stable.service` is '{name}', but namespace '{snapshot.namespace}' has no such Service: create it, or "
            "name another.",
        )
    return snapshot.services[name]


def _stable(
    snapshot: Snapshot, spec: QuantizedModelSpec, current: str, profile: RuntimeProfileSpec
) -> StableFacts | None:
    name = names.release_service(snapshot.name) if current else (spec.stable.service if spec.stable else "")
    if not name:
        return None
    service = _service(snapshot, name)
    port = stables.service_port(service, spec.stable.port if spec.stable and not current else None)
    owner = snapshot.home_owner or {}
    kind, owner_name = owner.get("kind", ""), (owner.get("metadata") or {}).get("name", "")
    alive = [pod for pod in snapshot.home_pods if not pod["metadata"].get("deletionTimestamp")]
    pod_spec = _users_pod_spec(snapshot) if spec.stable else {}
    container = _engine_container(pod_spec)
    own = snapshot.services.get(spec.stable.service) if spec.stable else None
    own_port = stables.service_port(own, spec.stable.port) if own and spec.stable else port
    answers = any(is_ready(pod) for pod in snapshot.users_pods if not pod["metadata"].get("deletionTimestamp"))
    requests = (container.get("resources") or {}).get("requests") or {}
    limits = (container.get("resources") or {}).get("limits") or {}
    return StableFacts(
        service=name,
        port=port,
        ready_replicas=sum(is_ready(pod) for pod in alive),
        replicas=_replicas(snapshot.home_owner) or _replicas(snapshot.users_owner) or len(alive),
        owner=(kind, owner_name),
        autoscaled=any(_scales(each, kind, owner_name) for each in snapshot.autoscalers),
        parent=(own["metadata"]["name"], own_port) if own and answers else (name, port),
        pod_spec=pod_spec,
        pod_port=stables.target_port(own or service, own_port, container) if container else port,
        image=container.get("image", ""),
        arguments=stables.read_container(profile, container),
        api_key_secret=stables.api_key_of(container),
        cpu_millis=_millis(requests.get("cpu")),
        node_selector=pod_spec.get("nodeSelector") or {},
        gpus=sum(int(count) for resource, count in limits.items() if is_gpu(resource)),
        tolerations=tuple(pod_spec.get("tolerations") or ()),
    )


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
    found, failed = facts_in(config_map), _facts_failure(snapshot, uri, None)
    fresh = found is not None and _is_fresh(snapshot, config_map, uri, None)
    return {"parent_uri": uri, "parent_facts": found, "parent_reading": not fresh and failed is None}


def _borrowed_facts(snapshot: Snapshot, spec: QuantizedModelSpec) -> tuple[str, ...]:
    used = [names.facts_name(rung.artifact, rung.digest) for rung in spec.ladder]
    used.append(names.facts_name(parent_uri(snapshot, spec), None))
    uid = snapshot.model["metadata"]["uid"]
    found = {name: snapshot.config_maps[name]["metadata"] for name in used if name in snapshot.config_maps}
    owners = {name: [one["uid"] for one in each.get("ownerReferences") or ()] for name, each in found.items()}
    return tuple(name for name, uids in owners.items() if uid not in uids)


def _reading_held(snapshot: Snapshot, spec: QuantizedModelSpec) -> str:
    read = [(rung.artifact, rung.digest) for rung in spec.ladder] + [(parent_uri(snapshot, spec), None)]
    held = (what_holds(snapshot, names.facts_job_name(*each, reading_of(snapshot))) for each in read)
    return next((text for text in held if text), "")


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
    if problem := _facts_failure(snapshot, rung.artifact, rung.digest):
        return Release(rung, problem=(problem[0], f"Rung '{rung.name}': {problem[1]}"))
    if facts is None or not _is_fresh(snapshot, config_map, rung.artifact, rung.digest):
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
        if problem := _facts_failure(snapshot, uri, None):
            raise SpecRefusedError(problem[0], f"{where}: {problem[1]}")
        config_map = snapshot.config_maps.get(names.facts_name(uri, None))
        if (facts_in(config_map) is None and adapter_in(config_map) is None) or not _is_fresh(
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
        runtime=runtime,
        profile=profile,
        stable=stable,
        facts=facts,
        beside=beside_of(snapshot, spec, rung),
    )
    need = need_of(resolved, facts)
    revision = names.revision_name(
        snapshot.name, rung.name, identity(seal(snapshot.name, rung, resolved, profile, facts, 0))
    )
    parent = seen.get("parent_facts")
    fit = fit_of(snapshot, need, revision, reload_seconds=_reload_seconds(profile, parent or facts))
    fit = explained(snapshot, spec, need, fit, parent)
    if facts.moved:
        fit = replace(fit, message=f"{fit.message} {facts.moved}")
    sealed = seal(snapshot.name, rung, resolved, profile, facts, fit.needed_bytes)
    places = (mounted(resolved.places[0], facts, snapshot.node_infos), *resolved.places[1:])
    resolved = replace(resolved, places=places)
    return Release(
        rung,
        facts=facts,
        resolved=resolved,
        sealed=sealed,
        revision=revision,
        fit=fit,
        pods=pods_named(snapshot, revision),
        start_seconds=_reload_seconds(profile, facts),
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
    return profile.start_seconds + sum(file.size_bytes for file in facts.files) / profile.load_bytes_per_second


def _check_claim(snapshot: Snapshot, field: str, artifact: str) -> None:
    inside = claim_of(artifact)
    if inside and inside[0] not in snapshot.claims:
        raise SpecRefusedError(
            "ClaimNotFound",
            f"{field} names the claim '{inside[0]}', but namespace '{snapshot.namespace}' has "
            "no such PersistentVolumeClaim: create it, or name another.",
        )


def _facts_failure(snapshot: Snapshot, uri: str, digest: str | None) -> Problem | None:
    """Return why the reading that is in force failed, as its Job said."""
    job_name = names.facts_job_name(uri, digest, reading_of(snapshot))
    if kept := _kept_failure(snapshot, snapshot.config_maps.get(names.facts_name(uri, digest))):
        return kept
    job = snapshot.jobs.get(job_name)
    if job is None:
        return None
    for text in last_words(snapshot, job_name):
        return _said_failure(text)
    if (why := why_failed(job)) is not None:
        return ("ArtifactNotReadable", f"the Job '{job_name}' that reads it broke: {why}")
    return None


def _kept_failure(snapshot: Snapshot, config_map: Manifest | None) -> Problem | None:
    """Return a refusal that outlived its Job; one from before the spec last changed may have been mended."""
    data = (config_map or {}).get("data") or {}
    since = max(_changed_at(snapshot.model), _retried_at(snapshot.model))
    return _said_failure(data["error.json"]) if "error.json" in data and epoch(data.get("readAt")) >= since else None


def _said_failure(text: str) -> Problem | None:
    try:
        said = json.loads(text)
        return (str(said["reason"]), str(said["message"])) if said["reason"] != FACTS_READ else None
    except (ValueError, KeyError, TypeError):
        return None


def _is_fresh(snapshot: Snapshot, config_map: Manifest | None, uri: str, digest: str | None) -> bool:
    """Facts read before the spec last changed may be of another file behind the same name.

    The Job of this very reading settles it: the clocks of a person, the API server and a node need not agree.
    """
    job = snapshot.jobs.get(names.facts_job_name(uri, digest, reading_of(snapshot)), {})
    if any(each.get("type") == "Complete" for each in job.get("status", {}).get("conditions") or []):
        return True
    read_at = epoch(((config_map or {}).get("data") or {}).get("readAt"))
    return read_at >= _changed_at(snapshot.model) - FACTS_STAY_FRESH_SECONDS and read_at >= _retried_at(snapshot.model)


def _changed_at(model: Manifest) -> float:
    """Return when a person or a pipeline last wrote the spec."""
    written = [
        epoch(entry.get("time"))
        for entry in model["metadata"].get("managedFields") or []
        if "f:spec" in (entry.get("fieldsV1") or {}) and not entry.get("subresource")
    ]
    return max([*written, epoch(model["metadata"].get("creationTimestamp"))])


def _retried_at(model: Manifest) -> float:
    """Return when a person last said `retry`: the command writes the time; of any other word, when it was written."""
    said = (model["metadata"].get("annotations") or {}).get(names.RETRY, "")
    try:
        return epoch(said)
    except ValueError:
        written = [
            epoch(entry.get("time"))
            for entry in model["metadata"].get("managedFields") or []
            if f"f:{names.RETRY}" in (entry.get("fieldsV1", {}).get("f:metadata", {}).get("f:annotations") or {})
        ]
        return max(written, default=0.0)


def _users_pod_spec(snapshot: Snapshot) -> Manifest:
    """Return how the user's own pods are made, or those that serve now where the user's own are gone for good."""
    own = _made_from(snapshot.users_owner, snapshot.users_pods)
    return own or _made_from(snapshot.home_owner, snapshot.home_pods)


def _made_from(owner: Manifest | None, pods: Sequence[Manifest]) -> Manifest:
    template = ((owner or {}).get("spec") or {}).get("template") or {}
    if template.get("spec"):
        found: Manifest = template["spec"]
        return found
    return pods[0]["spec"] if pods else {}


def _replicas(owner: Manifest | None) -> int:
    return int(((owner or {}).get("spec") or {}).get("replicas") or 0)


def _engine_container(pod_spec: Manifest) -> Manifest:
    containers = pod_spec.get("containers") or [{}]
    found: Manifest = containers[0]
    return found


def _scales(autoscaler: Manifest, kind: str, name: str) -> bool:
    target = autoscaler.get("spec", {}).get("scaleTargetRef", {})
    return bool(target.get("kind") == kind and target.get("name") == name)


def _role(deployment: Manifest) -> str:
    return str((deployment["metadata"].get("labels") or {}).get(names.ROLE, ""))


def _millis(quantity: object) -> int | None:
    text = str(quantity or "")
    if not text:
        return None
    return int(text[:-1]) if text.endswith("m") else int(float(text) * 1000)
