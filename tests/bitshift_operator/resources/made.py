"""One of each manifest that runs pods of ours, for tests."""

from dataclasses import replace
from typing import Any

from bitshift_core.api.v1alpha1 import SecretRef
from bitshift_core.rollout.places import mounted
from bitshift_core.rollout.releases import resolve, seal
from bitshift_operator.resources import OPEN_ACCESS, Owner, deployment, job
from tests.bitshift_core.rollout.snapshots import PROFILE
from tests.builders import a_spec, some_facts

OWNER = Owner("chat", "team", "u-1")
IMAGE = {"image": "bitshift-runtime:1", "pull_policy": "IfNotPresent"}
REVISION = "chat-q4-0a1b2c3d"


PLANNED = ("tolerations", "gpu_resource", "claims_devices")


def a_release(
    artifact: str = "pvc://models/q4.gguf", *, affinity: Any = None, profile=PROFILE, spec: Any = None, facts: Any = None,
    beside: Any = None, access: Any = OPEN_ACCESS, runtime: str = "llamacpp", nodes: Any = None, **serving: Any,
):  # fmt: skip
    planned = {name: serving.pop(name) for name in PLANNED if name in serving}
    ladder = [{"name": "q4", "artifact": artifact, "serving": serving, "digest": "sha256:" + 64 * "a"}]
    spec, facts = a_spec(ladder=ladder, **(spec or {})), some_facts(**(facts or {}))
    found = resolve(
        spec, spec.ladder[0], name="chat", runtime=runtime, profile=profile, stable=None, facts=facts, beside=beside
    )
    if nodes:
        found = replace(found, places=(mounted(found.places[0], facts, nodes, access.ca_bundle),))
    return deployment.release(
        OWNER, REVISION, seal("chat", spec.ladder[0], found, profile, facts, 10**9), found, profile,
        affinity=affinity, runtime_image=IMAGE["image"], pull_policy="IfNotPresent", start_seconds=90, drain_seconds=20,
        sources=access,
        **planned,
    )  # fmt: skip


def a_relay():
    return deployment.relay(
        OWNER, revision=REVISION, stable_url="http://chat", candidate_url="http://new", tenant_header="x-tenant-id",
        drain_seconds=20, **IMAGE,
    )  # fmt: skip


def a_facts_job(claim: str | None = "models", access: Any = OPEN_ACCESS):
    uri = f"pvc://{claim}/q4.gguf" if claim else "https://host/q4.gguf"
    return job.facts(
        OWNER, "facts-1", uri=uri, claim=claim, digest=None, config_map="facts", account="facts", sources=access, **IMAGE
    )  # fmt: skip


def a_gate_job(gate: str = "quality", api_key: SecretRef | None = None):
    return job.gate(
        OWNER, "gate-1", gate=gate, config_map="gate-1", scores_config_map="chat-scores", account="chat-gates",
        api_key=api_key, seconds=900, **IMAGE,
    )  # fmt: skip


def pod_of(manifest):
    return manifest["spec"]["template"]["spec"]


def container_of(manifest):
    return pod_of(manifest)["containers"][0]
