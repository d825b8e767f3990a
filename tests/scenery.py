"""What stands in the cluster at play before a rollout: a user's model as it runs, its route and gateway, the catalogue.

Here: manifests. Not here: what happens to them (`tests.play`).
"""

from collections.abc import Sequence
from typing import Any

import yaml

from bitshift_core.artifact.facts import ArtifactFacts
from bitshift_operator.cluster.kinds import (
    DEPLOYMENT,
    EVAL_SUITE,
    GATEWAY,
    HTTP_ROUTE,
    NODE,
    PERSISTENT_VOLUME_CLAIM,
    QUANTIZED_MODEL,
    RUNTIME_PROFILE,
    SERVICE,
)
from tests.builders import some_facts
from tests.fake_objects import copied

HOST = "llm.example.com"
ENDPOINTS = ("/v1/chat/completions", "/v1/completions")
MANY_ENDPOINTS = (*ENDPOINTS, *(f"/v{number}/chat/completions" for number in range(2, 8)))
TENANTS = ("acme", "globex")
SILENT = tuple(f"silent-{number}" for number in range(14))
"""Tenants that send nothing: named in a spec, and with many endpoints, they need a second overlay route."""
SPEC = {
    "stable": {"service": "chat"},
    "ladder": [
        {"name": "q4", "artifact": "pvc://models/q4.gguf"},
        {"name": "q8", "artifact": "pvc://models/q8.gguf"},
    ],
    "traffic": {
        "route": "chat",
        "tenants": {"first": ["acme"]},
        "steps": [
            {"name": "first", "tenantsPercent": 10, "weightPercent": 50},
            {"name": "all", "tenantsPercent": 100, "weightPercent": 50},
        ],
        "evidence": {"errorRatePpm": 100_000, "promoteMarginPpm": 200_000},
        "holdSeconds": 6,
        "drainSeconds": 20,
    },
}
LLAMACPP = """
image: ghcr.io/ggml-org/llama.cpp:server
imageSubstrings: [llama.cpp]
formats: [gguf]
args:
- {flag: --model, source: ModelPath, aliases: [-m]}
- {flag: --alias, source: ServedModelName, aliases: [-a]}
- {flag: --port, source: Port}
- {flag: --ctx-size, source: TotalContextTokens, aliases: [-c]}
- {flag: --parallel, source: ConcurrentSequences, aliases: [-np]}
- {flag: --cache-type-k, source: KvCacheDtype, aliases: [-ctk]}
- {flag: --api-key, source: ApiKeyEnv}
- {flag: --metrics}
port: 8080
preStopSeconds: 5
"""
_PROFILE = yaml.safe_load(LLAMACPP)


def everything(created: str, *, endpoints: Sequence[str] = ENDPOINTS, **spec: Any) -> list[dict[str, Any]]:
    """Return all that is there when the user applies a model whose spec differs so from `SPEC`."""
    wanted = {key: value for key, value in (SPEC | spec).items() if value is not None}
    model = QUANTIZED_MODEL.new("team", "chat", spec=wanted)
    model["metadata"] |= {"creationTimestamp": created, "uid": "uid-of-chat"}
    profile = copied(_PROFILE) | {"endpoints": list(endpoints)}
    catalogue = [a_node(), RUNTIME_PROFILE.new("", "llamacpp", spec=profile), a_suite(), a_gateway()]
    running = [a_claim(), stable_service(), stable_deployment(), users_route()] if wanted.get("stable") else [a_claim()]
    return [*catalogue, *running, model]


def facts_of(uri: str) -> ArtifactFacts:
    """Return what a Job reads of an artifact: another one for each file."""
    name = uri.rpartition("/")[2]
    digest = f"sha256:{name.encode().hex():0>64}"
    return some_facts(files=({"name": name, "sizeBytes": 10**8},), weightsDigest=digest)


def stable_deployment() -> dict[str, Any]:
    container = {
        "name": "llama",
        "image": "ghcr.io/ggml-org/llama.cpp:server",
        "command": ["llama-server"],
        "args": ["-m", "/data/f16.gguf", "-a", "chat", "--port", "9000", "-c", "4096", "-np", "2"],
        "ports": [{"name": "http", "containerPort": 9000}],
        "volumeMounts": [{"name": "weights", "mountPath": "/data"}],
        "resources": {"requests": {"cpu": "500m"}},
    }
    volume = {"name": "weights", "persistentVolumeClaim": {"claimName": "models"}}
    template = {"metadata": {"labels": {"app": "chat"}}, "spec": {"containers": [container], "volumes": [volume]}}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "chat"}}, "template": template}
    return DEPLOYMENT.new("team", "chat", spec=spec)


def stable_service() -> dict[str, Any]:
    ports = [{"name": "http", "port": 9100, "targetPort": "http"}]
    return SERVICE.new("team", "chat", spec={"selector": {"app": "chat"}, "ports": ports})


def users_route() -> dict[str, Any]:
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        "backendRefs": [{"name": "chat", "port": 9100}],
    }
    spec = {"parentRefs": [{"name": "public"}], "hostnames": [HOST], "rules": [rule]}
    return HTTP_ROUTE.new("team", "chat", spec=spec)


def a_gateway() -> dict[str, Any]:
    listeners = [{"name": "web", "protocol": "HTTP", "port": 80}]
    status = {"addresses": [{"type": "IPAddress", "value": "192.0.2.1"}]}
    return GATEWAY.new("team", "public", spec={"listeners": listeners}, status=status)


def a_suite() -> dict[str, Any]:
    items = [{"name": "paris", "prompt": "The capital of France?", "expected": ["Paris"]}]
    suite = EVAL_SUITE.new("bitshift-system", "starter-facts", spec={"scorer": "Contains", "items": items})
    suite["metadata"]["labels"] = {"bitshift.dev/built-in": "true"}
    return suite


def a_claim() -> dict[str, Any]:
    return PERSISTENT_VOLUME_CLAIM.new("team", "models", spec={})


def a_node() -> dict[str, Any]:
    allocatable = {"cpu": "64", "memory": "256Gi", "pods": "110"}
    ready = {"type": "Ready", "status": "True"}
    return NODE.new("", "node-1", spec={}, status={"allocatable": allocatable, "conditions": [ready]})
