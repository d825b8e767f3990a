"""Deployments, and LeaderWorkerSets where a replica spans nodes: a release's pods, the idle baseline, the relay.

Here: manifests that make pods. Not here: reading one (`bitshift_core.fit.workloads`).
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from bitshift_core.api.catalogue import RuntimeProfileSpec
from bitshift_core.api.v1alpha1 import ModelRevisionSpec
from bitshift_core.artifact.digests import text_digest
from bitshift_core.rollout import names
from bitshift_core.rollout.options import CHAT_TEMPLATE_DIRECTORY
from bitshift_core.rollout.places import Place
from bitshift_core.rollout.releases import Resolved

from . import OPEN_ACCESS, RESTRICTED_CONTAINER, RESTRICTED_POD, ArtifactAccess, Manifest, Owner, scratch, volume

STABLE_PORT, CANDIDATE_PORT, ADMIN_PORT = 8081, 8082, 8083
RELAY_REPLICAS = 2
GPU_CLAIM = "gpus"
PER_POD = ("nodeName", "hostname", "subdomain", "hostNetwork", "ephemeralContainers", "priority", "affinity")
"""What a copy of a user's pod must not repeat: it shall stand beside the original."""
OF_A_SERVER = ("ports", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle")
WORKER_GRACE_SECONDS = 30


def release(
    owner: Owner,
    revision: str,
    sealed: ModelRevisionSpec,
    resolved: Resolved,
    profile: RuntimeProfileSpec,
    *,
    affinity: Manifest | None,
    tolerations: Sequence[Mapping[str, str]] = (),
    gpu_resource: str = "nvidia.com/gpu",
    claims_devices: bool = False,
    runtime_image: str,
    pull_policy: str,
    start_seconds: float,
    drain_seconds: int,
    sources: ArtifactAccess = OPEN_ACCESS,
    role: str = "release",
) -> Manifest:
    """Return what makes the pods of a release: the engine's own image and entrypoint, our arguments.

    GPUs are asked for by the name that the plan says, or claimed by the template that is called like the release.
    """
    volumes, mounts = scratch(profile.writable_directories)
    mounts += map(_mount, resolved.places)
    if resolved.chat_template:
        template = names.chat_template_name(text_digest(resolved.chat_template))
        volumes.append({"name": "chat-template", "configMap": {"name": template}})
        mounts.append({"name": "chat-template", "mountPath": CHAT_TEMPLATE_DIRECTORY, "readOnly": True})
    pod: Manifest = {
        "securityContext": dict(RESTRICTED_POD),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,  # a Service called like the engine would overwrite its variables
        # As process 1 an engine that still loads ignores SIGTERM and holds its GPU until the grace period is over.
        "shareProcessNamespace": True,
        "terminationGracePeriodSeconds": profile.pre_stop_seconds + drain_seconds + 5,
        "containers": [
            _engine(sealed, resolved, profile, mounts, start_seconds, "" if claims_devices else gpu_resource)
        ],
        "volumes": [*volumes, *map(_volume, resolved.places)],
    }
    if fetched := [each for each in resolved.places if each.fetch_to and not each.image]:
        pod["initContainers"] = [_fetch(each, sources, runtime_image, pull_policy) for each in fetched]
        pod["volumes"] += sources.volumes()
    if sources.secret and any(each.image for each in resolved.places):
        pod["imagePullSecrets"] = [{"name": sources.secret}]
    if affinity:
        pod["affinity"] = affinity
    if tolerations:
        pod["tolerations"] = [dict(each) for each in tolerations]
    if claims_devices:
        pod["resourceClaims"] = [{"name": GPU_CLAIM, "resourceClaimTemplateName": revision}]
    if resolved.node_selector:
        pod["nodeSelector"] = dict(resolved.node_selector)
    pods = [pod, *[_worker(pod, sealed)] * (resolved.nodes_per_replica - 1)]
    return _workload(owner, revision, resolved.replicas, pods, revision=revision, role=role)


def baseline(owner: Owner, pod_specs: Sequence[Mapping[str, Any]]) -> Manifest:
    """Return one idle copy of a replica of stable that no Service of the user's selects."""
    pods = [{key: copy.deepcopy(value) for key, value in each.items() if key not in PER_POD} for each in pod_specs]
    for container in (container for pod in pods for container in pod.get("containers", [])):
        for port in container.get("ports") or []:
            port.pop("hostPort", None)
    return _workload(owner, names.baseline_name(owner.name), 1, pods, role="baseline")


def relay(
    owner: Owner,
    *,
    revision: str,
    stable_url: str,
    candidate_url: str,
    tenant_header: str,
    drain_seconds: int,
    image: str,
    pull_policy: str,
) -> Manifest:
    """Return the pass-through that stands in front of both arms while a rollout runs."""
    arguments = ["relay", "--stable-url", stable_url, "--candidate-url", candidate_url, "--release", revision]
    arguments += ["--tenant-header", tenant_header, "--drain-seconds", str(drain_seconds)]
    container = {
        "name": "relay",
        "image": image,
        "imagePullPolicy": pull_policy,
        "args": arguments,
        "ports": [
            {"name": "stable", "containerPort": STABLE_PORT},
            {"name": "candidate", "containerPort": CANDIDATE_PORT},
            {"name": "admin", "containerPort": ADMIN_PORT},
        ],
        "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "admin"}, "periodSeconds": 1},
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "admin"}, "periodSeconds": 10, "timeoutSeconds": 5},
        "resources": {"requests": {"cpu": "50m", "memory": "96Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": dict(RESTRICTED_CONTAINER),
    }
    pod = {
        "securityContext": dict(RESTRICTED_POD),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": drain_seconds + 10,
        "containers": [container],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": names.labels(owner.name, role="relay")},
            }
        ],
    }
    deployment = _workload(owner, names.relay_name(owner.name), RELAY_REPLICAS, [pod], role="relay")
    deployment["metadata"]["annotations"] = {names.REVISION: revision}
    deployment["spec"]["template"]["metadata"]["annotations"] = {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(ADMIN_PORT),
    }
    deployment["spec"]["strategy"] = {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    return deployment


def _workload(
    owner: Owner, name: str, replicas: int, pods: Sequence[Manifest], *, role: str, **labels: str
) -> Manifest:
    """Return what makes replicas of one pod, or of several: the first one answers, the others compute for it."""
    metadata = owner.metadata(name, role=role, **labels)
    if len(pods) > 1:
        return _group(metadata, replicas, pods, names.labels(owner.name, role=names.worker_role(role), **labels))
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 0,
            "selector": {"matchLabels": metadata["labels"]},
            "template": {"metadata": {"labels": metadata["labels"]}, "spec": pods[0]},
        },
    }


def _group(metadata: Manifest, replicas: int, pods: Sequence[Manifest], worker_labels: Mapping[str, str]) -> Manifest:
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": metadata,
        "spec": {
            "replicas": replicas,
            "startupPolicy": "LeaderCreated",
            # Else its headless Service would be called like the release's own, by which no pod can be named.
            "networkConfig": {"subdomainPolicy": "UniquePerReplica"},
            "leaderWorkerTemplate": {
                "size": len(pods),
                "restartPolicy": "RecreateGroupOnPodRestart",
                "leaderTemplate": {"metadata": {"labels": metadata["labels"]}, "spec": pods[0]},
                "workerTemplate": {"metadata": {"labels": dict(worker_labels)}, "spec": pods[1]},
            },
        },
    }


def _worker(pod: Manifest, sealed: ModelRevisionSpec) -> Manifest:
    """Return the pod that only computes: nobody asks it, and the pod that answers is not ready without it.

    It need not wait for streams: the garbage collector ends it after the pod that it computes for.
    """
    engine = {key: value for key, value in pod["containers"][0].items() if key not in OF_A_SERVER}
    worker = {**pod, "containers": [engine | {"args": list(sealed.worker_args)}]}
    return worker | {"terminationGracePeriodSeconds": WORKER_GRACE_SECONDS}


def _engine(
    sealed: ModelRevisionSpec,
    resolved: Resolved,
    profile: RuntimeProfileSpec,
    mounts: list[Manifest],
    start_seconds: float,
    gpu_resource: str,
) -> Manifest:
    health = {"httpGet": {"path": profile.health_path, "port": "http"}}
    variables = {each.name: each.value for each in (*profile.env, *sealed.env)}
    environment: list[Manifest] = [{"name": name, "value": value} for name, value in variables.items()]
    if resolved.api_key_secret:
        key = {"name": resolved.api_key_secret.name, "key": resolved.api_key_secret.key}
        environment.append({"name": "BITSHIFT_API_KEY", "valueFrom": {"secretKeyRef": key}})
    container: Manifest = {
        "name": "engine",
        "image": sealed.image,
        "args": list(sealed.args),
        "env": environment,
        "ports": [{"name": "http", "containerPort": resolved.port}],
        "startupProbe": health | {"periodSeconds": 1, "failureThreshold": max(30, int(start_seconds) + 30)},
        "readinessProbe": health | {"periodSeconds": 2, "timeoutSeconds": 5, "failureThreshold": 3},
        "livenessProbe": health | {"periodSeconds": 10, "timeoutSeconds": 10, "failureThreshold": 12},
        "lifecycle": {"preStop": {"sleep": {"seconds": profile.pre_stop_seconds}}},
        "resources": _resources(sealed, resolved, gpu_resource),
        "securityContext": dict(RESTRICTED_CONTAINER),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }
    if profile.command:
        container["command"] = list(profile.command)
    if not profile.pre_stop_seconds:
        del container["lifecycle"]
    return container


def _resources(sealed: ModelRevisionSpec, resolved: Resolved, gpu_resource: str) -> Manifest:
    requests: Manifest = {"cpu": f"{resolved.cpu_millis}m"} if resolved.cpu_millis else {}
    if sealed.gpus_per_replica and not gpu_resource:
        return {"requests": requests, "claims": [{"name": GPU_CLAIM}]}
    if sealed.gpus_per_replica:
        gpus = sealed.gpus_per_replica // resolved.nodes_per_replica
        return {"requests": requests, "limits": {gpu_resource: str(gpus)}}
    return {"requests": requests | {"memory": str(sealed.needed_bytes)}}


def _mount(place: Place) -> Manifest:
    mount: Manifest = {"name": place.volume, "mountPath": place.mount, "readOnly": True}
    if place.image:
        mount |= {"mountPath": place.fetch_to} | ({"subPath": place.folder} if place.folder else {})
    return mount


def _volume(place: Place) -> Manifest:
    if place.image:
        return {"name": place.volume, "image": {"reference": place.image, "pullPolicy": "IfNotPresent"}}
    return volume(place.volume, place.claim, read_only=not place.fetch_to)


def _fetch(place: Place, sources: ArtifactAccess, image: str, pull_policy: str) -> Manifest:
    arguments = ["fetch", "--uri", place.uri, "--to", place.fetch_to]
    container: Manifest = {
        "name": "fetch" if place.volume == "models" else f"fetch-{place.volume}"[:63].rstrip("-"),
        "image": image,
        "imagePullPolicy": pull_policy,
        "args": [*arguments, "--digest", place.digest] if place.digest else arguments,
        "securityContext": dict(RESTRICTED_CONTAINER),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
        "volumeMounts": [{"name": place.volume, "mountPath": place.mount}, *sources.mounts()],
    }
    if environment := sources.environment():
        container["env"] = environment
    return container
