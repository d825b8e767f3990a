"""Snapshots for tests: the cluster of `tests.scenery` as a turn reads it, before anything of ours is there."""

from dataclasses import replace
from typing import Any

import yaml

from bitshift_core.api.catalogue import EvalSuiteSpec, RuntimeProfileSpec
from bitshift_core.api.conditions import timestamp
from bitshift_core.fit.placement import node_from_manifests
from bitshift_core.rollout import names
from bitshift_core.rollout.seeing import see
from bitshift_core.rollout.snapshot import Snapshot
from bitshift_operator.cluster.engines import load_engines
from tests import scenery
from tests.builders import NOW

ENGINES = load_engines()
PROFILE = RuntimeProfileSpec.model_validate(yaml.safe_load(scenery.LLAMACPP) | {"endpoints": list(scenery.ENDPOINTS)})
SUITE = EvalSuiteSpec.model_validate(scenery.a_suite()["spec"])
URIS = ("pvc://models/q4.gguf", "pvc://models/q8.gguf", "pvc://models/f16.gguf")


def a_model(*, annotations: dict[str, str] | None = None, status: Any = None, **spec: Any) -> dict[str, Any]:
    """The model as its user applied it; None takes a field away."""
    wanted = {key: value for key, value in (scenery.SPEC | spec).items() if value is not None}
    metadata = {"name": "chat", "namespace": "team", "uid": "u-1", "generation": 1}
    metadata |= {"creationTimestamp": timestamp(NOW), "annotations": annotations or {}}
    return {"apiVersion": "bitshift.dev/v1alpha1", "kind": "QuantizedModel", "metadata": metadata, "spec": wanted,
            "status": status or {}}  # fmt: skip


def read(uri: str, at: float = NOW, **facts: Any) -> dict[str, Any]:
    """The ConfigMap of one artifact's facts, as its Job left it."""
    found = scenery.facts_of(uri).model_copy(update=facts)
    return {"metadata": {"name": names.facts_name(uri, None), "ownerReferences": [{"uid": "u-1"}]},
            "data": {"facts.json": found.model_dump_json(by_alias=True), "readAt": timestamp(at)}}  # fmt: skip


def a_pod(name: str = "chat-0", **labels: str) -> dict[str, Any]:
    template = scenery.stable_deployment()["spec"]["template"]
    ready = {"type": "Ready", "status": "True"}
    return {"metadata": {"name": name, "labels": labels or template["metadata"]["labels"]},
            "spec": template["spec"], "status": {"conditions": [ready]}}  # fmt: skip


def a_snapshot(**changes: Any) -> Snapshot:
    """All artifacts were read; stable serves with two pods, and its route leads to it."""
    route, service, owner = scenery.users_route(), scenery.stable_service(), scenery.stable_deployment()
    pods = [a_pod("chat-0"), a_pod("chat-1")]
    known = Snapshot(
        now=NOW,
        model=a_model(),
        engines=ENGINES,
        profiles={"llamacpp": PROFILE},
        suites={"starter-facts": SUITE},
        services={"chat": service},
        home_pods=pods,
        home_owner=owner,
        users_pods=pods,
        users_owner=owner,
        claims=frozenset({"models"}),
        config_maps={each["metadata"]["name"]: each for each in map(read, URIS)},
        nodes=[node_from_manifests(scenery.a_node(), [])],
        user_route=route,
    )
    return replace(known, **changes)


def promoted(snapshot: Snapshot, rung: int = 0) -> Snapshot:
    """The same cluster after a rung was promoted: users come from its pods, by the Service that is ours."""
    revision = see(snapshot).releases[rung].revision
    labels = names.labels("chat", revision=revision, role="release")
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    service = {"metadata": {"name": "chat-release"}, "spec": {"selector": labels, "ports": ports}}
    container = {"name": "engine", "image": "elsewhere/engine:1", "args": ["--ctx-size", "512"]}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": {"spec": {"containers": [container]}}}
    owner = {"kind": "Deployment", "metadata": {"name": revision, "labels": labels}, "spec": spec}
    pods = [a_pod(f"{revision}-0", **labels)]
    return replace(
        snapshot,
        services={**snapshot.services, "chat-release": service},
        home_pods=pods,
        home_owner=owner,
        workloads={revision: owner},
        pods=pods,
    )
