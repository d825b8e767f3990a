"""Where users come from: the engine that runs there, stable's pods, the artifact that they serve.

Here: Services and pods → profile, `StableFacts`, parent. Not here: arguments of an engine (`stable`, `engine`).
"""

from collections.abc import Sequence

from ..api.catalogue import ArgumentSource, RuntimeProfileSpec
from ..api.v1alpha1 import QuantizedModelSpec
from ..fit.offers import is_gpu
from ..fit.workloads import group_size, templates_of
from . import engine, names
from . import stable as stables
from .errors import SpecRefusedError
from .one_pod import is_ready
from .snapshot import Manifest, Snapshot
from .stable import StableFacts

NOTHING: tuple[Manifest, ...] = ({},)


def current_revision(snapshot: Snapshot) -> str:
    """Return the promoted revision, as the Service that users hand over to says it."""
    service = snapshot.services.get(names.release_service(snapshot.name))
    return str((service or {}).get("spec", {}).get("selector", {}).get(names.REVISION, ""))


def parent_uri(snapshot: Snapshot, spec: QuantizedModelSpec) -> str:
    """Return the artifact that answers are held against; '' while it is not known which one stable serves."""
    if spec.parent:
        return spec.parent.artifact
    pod_spec = _users_pod_specs(snapshot)[0]
    container = _engine_container(pod_spec)
    runtime = spec.runtime or engine.recognise(snapshot.profiles, container.get("image", ""))
    profile = snapshot.profiles.get(runtime or "")
    if profile is None:
        return ""
    path = stables.read_container(profile, container).get(ArgumentSource.MODEL_PATH)
    return stables.artifact_of(pod_spec, container, path)


def profile_of(snapshot: Snapshot, spec: QuantizedModelSpec) -> tuple[str, RuntimeProfileSpec]:
    """Return the profile that the spec names, else the one whose image stable runs; refused in a sentence otherwise."""
    known = ", ".join(sorted(snapshot.profiles)) or "none"
    if spec.runtime:
        if spec.runtime in snapshot.bad_profiles:
            raise SpecRefusedError("RuntimeProfileInvalid", snapshot.bad_profiles[spec.runtime])
        if spec.runtime not in snapshot.profiles:
            raise SpecRefusedError(
                "RuntimeProfileNotFound", f"`runtime` is '{spec.runtime}', but the RuntimeProfiles are: {known}."
            )
        return spec.runtime, snapshot.profiles[spec.runtime]
    image = _engine_container(_users_pod_specs(snapshot)[0]).get("image", "")
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


def stable_of(
    snapshot: Snapshot, spec: QuantizedModelSpec, current: str, profile: RuntimeProfileSpec
) -> StableFacts | None:
    """Return what users come from: the promoted release, else the Service that the spec names; None without either."""
    name = names.release_service(snapshot.name) if current else (spec.stable.service if spec.stable else "")
    if not name:
        return None
    service = _service(snapshot, name)
    port = stables.service_port(service, spec.stable.port if spec.stable and not current else None)
    owner = snapshot.home_owner or {}
    kind, owner_name = owner.get("kind", ""), (owner.get("metadata") or {}).get("name", "")
    alive = [pod for pod in snapshot.home_pods if not pod["metadata"].get("deletionTimestamp")]
    pod_specs = _users_pod_specs(snapshot) if spec.stable else NOTHING
    pod_spec = pod_specs[0]
    container = _engine_container(pod_spec)
    own = snapshot.services.get(spec.stable.service) if spec.stable else None
    own_port = stables.service_port(own, spec.stable.port) if own and spec.stable else port
    answers = any(is_ready(pod) for pod in snapshot.users_pods if not pod["metadata"].get("deletionTimestamp"))
    requests = (container.get("resources") or {}).get("requests") or {}
    return StableFacts(
        service=name,
        port=port,
        ready_replicas=sum(is_ready(pod) for pod in alive),
        leaving=len(snapshot.home_pods) - len(alive),
        replicas=_replicas(snapshot.home_owner) or _replicas(snapshot.users_owner) or len(alive),
        owner=(kind, owner_name),
        autoscaled=any(_scales(each, kind, owner_name) for each in snapshot.autoscalers),
        parent=(own["metadata"]["name"], own_port) if own and answers else (name, port),
        pod_spec=pod_spec,
        worker_specs=pod_specs[1:],
        pod_port=stables.target_port(own or service, own_port, container) if container else port,
        image=container.get("image", ""),
        arguments=stables.read_container(profile, container),
        api_key_secret=stables.api_key_of(container),
        cpu_millis=_millis(requests.get("cpu")),
        node_selector=pod_spec.get("nodeSelector") or {},
        gpus=sum(map(_gpus, pod_specs)),
        nodes=len(pod_specs),
        tolerations=tuple(pod_spec.get("tolerations") or ()),
    )


def _service(snapshot: Snapshot, name: str) -> Manifest:
    if name not in snapshot.services:
        raise SpecRefusedError(
            "StableNotFound",
            f"`stable.service` is '{name}', but namespace '{snapshot.namespace}' has no such Service: create it, or "
            "name another.",
        )
    return snapshot.services[name]


def _users_pod_specs(snapshot: Snapshot) -> tuple[Manifest, ...]:
    """Return how each pod of a replica of the user's is made, or of what serves now where theirs is gone for good."""
    own = _made_from(snapshot.users_owner, snapshot.users_pods)
    return own if own[0] else _made_from(snapshot.home_owner, snapshot.home_pods)


def _made_from(owner: Manifest | None, pods: Sequence[Manifest]) -> tuple[Manifest, ...]:
    specs = tuple(template.get("spec") or {} for template in templates_of(owner or {}))
    if specs[0] or not pods:
        return specs
    return (pods[0]["spec"],) * group_size(pods[0])


def _gpus(pod_spec: Manifest) -> int:
    limits = (_engine_container(pod_spec).get("resources") or {}).get("limits") or {}
    return sum(int(count) for resource, count in limits.items() if is_gpu(resource))


def _replicas(owner: Manifest | None) -> int:
    return int(((owner or {}).get("spec") or {}).get("replicas") or 0)


def _engine_container(pod_spec: Manifest) -> Manifest:
    containers = pod_spec.get("containers") or [{}]
    found: Manifest = containers[0]
    return found


def _scales(autoscaler: Manifest, kind: str, name: str) -> bool:
    target = autoscaler.get("spec", {}).get("scaleTargetRef", {})
    return bool(target.get("kind") == kind and target.get("name") == name)


def _millis(quantity: object) -> int | None:
    text = str(quantity or "")
    if not text:
        return None
    return int(text[:-1]) if text.endswith("m") else int(float(text) * 1000)
