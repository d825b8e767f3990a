"""The real scheduler places the pods that a plan lets start on the nodes that it names, and leaves the others pending."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest
import yaml

from bitshift_core.api.catalogue import RuntimeProfileSpec
from bitshift_core.api.v1alpha1 import QuantizedModelSpec
from bitshift_core.fit.need import Need
from bitshift_core.fit.offers import NVIDIA_GPU
from bitshift_core.fit.placement import Node, label_for
from bitshift_core.fit.plan import Fit, plan_release
from bitshift_core.fit.swap import room_beside
from bitshift_core.rollout.needs import need_of
from bitshift_core.rollout.releases import resolve, seal
from bitshift_core.rollout.snapshot import Snapshot
from bitshift_operator.cluster.caches import Caches
from bitshift_operator.cluster.client import Kube
from bitshift_operator.cluster.engines import load_engines
from bitshift_operator.cluster.kernels import load_kernels
from bitshift_operator.cluster.kinds import DEPLOYMENT, NODE, POD, QUANTIZED_MODEL
from bitshift_operator.cluster.room import Room
from bitshift_operator.resources import Owner, deployment
from e2e.cluster import Cluster
from e2e.cluster.commands import wait_until
from e2e.demo.scenes import ROOT
from e2e.placement.models import facts_of
from e2e.placement.nodes import TOLERATION, gpu_nodes

NAMESPACE = "placement"
CONTEXT_TOKENS = 8_192
SETTLES_SECONDS = 30
UNSEEN = ("SharedGPUs", "NoKernel")
"""Why a plan refuses what the scheduler, which knows neither, would place."""
OWNERLESS = Owner("placed", NAMESPACE, "")


@dataclass(frozen=True)
class Case:
    """One release that somebody might ask for."""

    size: str
    scheme: str
    gpus: int
    sequences: int = 8
    replicas: int = 1
    product: str = ""
    """Only on such GPUs, where the user says so."""

    def __str__(self) -> str:
        more = f"-on-{self.product}" if self.product else ""
        return f"{self.size}-{self.scheme}-{self.replicas}x{self.gpus}-{self.sequences}{more}"


CASES = [
    *(Case("8b", scheme, 1, sequences) for scheme in ("bf16", "fp8", "awq", "gptq", "nvfp4") for sequences in (4, 64)),
    *(Case("8b", scheme, 2) for scheme in ("bf16", "awq")),
    *(Case("8b", "awq", 1, replicas=replicas) for replicas in (6, 20, 60)),
    *(Case("8b", "bf16", 1, product=product) for product in ("NVIDIA-L4", "Tesla-T4", "NVIDIA-GeForce-RTX-4090")),
    *(Case("8b", "fp8", 1, product=product) for product in ("NVIDIA-A100-SXM4-40GB", "NVIDIA-L40S", "Tesla-T4")),
    *(Case("8b", "nvfp4", 1, product=product) for product in ("NVIDIA-B200", "NVIDIA-L4", "NVIDIA-H100-80GB-HBM3")),
    *(Case("8b", "awq", 1, product=product) for product in ("NVIDIA-L4-SHARED", "NVIDIA-L4", "Tesla-T4")),
    *(Case("70b", scheme, gpus) for scheme in ("bf16", "fp8", "awq", "gptq", "nvfp4") for gpus in (1, 2, 4, 8)),
    *(Case("70b", "fp8", 2, product=product) for product in ("NVIDIA-H100-80GB-HBM3", "NVIDIA-L40S", "NVIDIA-B200")),
    *(Case("70b", "awq", 4, replicas=replicas) for replicas in (2, 3)),
    *(Case("405b", scheme, gpus) for scheme in ("bf16", "fp8", "awq", "nvfp4") for gpus in (4, 8)),
    Case("405b", "fp8", 8, product="NVIDIA-B200"),
    Case("8b", "awq", 16),
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def nodes(cluster: Cluster) -> Iterator[None]:
    with gpu_nodes(cluster):
        yield


@cache
def profile() -> RuntimeProfileSpec:
    text = (ROOT / "charts/bitshift/files/profiles/vllm.yaml").read_text()
    return RuntimeProfileSpec.model_validate(yaml.safe_load(text)["spec"])


async def room(cluster: Cluster) -> list[Node]:
    """Return the nodes as the operator counts them."""
    caches = Caches()
    async with await Kube.connect(str(cluster.kubeconfig)) as kube:
        for kind, cached in ((NODE, caches.nodes), (POD, caches.pods)):
            found, _ = await kube.list(kind)
            for each in found:
                cached.put(each)
    model = QUANTIZED_MODEL.new(NAMESPACE, "placed", spec={})
    nodes: list[Node] = Room(caches).beside(Snapshot(now=0, model=model, engines=load_engines()))["nodes"]
    return nodes


def plan(need: Need, nodes: Sequence[Node]) -> Fit:
    return plan_release(need, nodes, load_engines(), kernels=load_kernels())


def planned(case: Case, nodes: list[Node]) -> tuple[Fit, Need, dict[str, Any]]:
    """Return the plan, what it is for, and the Deployment that the operator would make of it."""
    facts = facts_of(case.size, case.scheme)
    serving = {
        "image": "bitshift.local/pause:1",
        "contextTokens": CONTEXT_TOKENS,
        "concurrentSequences": case.sequences,
        "gpusPerReplica": case.gpus,
        "replicas": case.replicas,
        "nodeSelector": {"nvidia.com/gpu.product": case.product} if case.product else {},
    }
    rung = {"name": "asked", "artifact": "pvc://models/asked", "serving": serving}
    spec = QuantizedModelSpec.model_validate({"runtime": "vllm", "ladder": [rung], "traffic": {"mode": "None"}})
    resolved = resolve(spec, spec.ladder[0], runtime="vllm", profile=profile(), stable=None, facts=facts)
    resolved = replace(resolved, tolerations=(TOLERATION,))
    need = replace(need_of(resolved, facts), engine_version="0.20.0")
    fit = plan(need, nodes)
    sealed = seal("placed", spec.ladder[0], resolved, profile(), facts, fit.needed_bytes)
    made = deployment.release(
        OWNERLESS, "placed", sealed, resolved, profile(), affinity=fit.affinity or bound(fit), tolerations=fit.tolerations,
        gpu_resource=fit.resource, runtime_image="none", pull_policy="IfNotPresent", start_seconds=1, drain_seconds=1,
    )  # fmt: skip
    return fit, need, without_claims(made)


def bound(fit: Fit) -> dict[str, Any]:
    """Return what such pods say of memory where no node qualifies, so that the scheduler may show it."""
    label = {"key": "nvidia.com/gpu.memory", "operator": "Gt", "values": [str(label_for(fit.needed_bytes) - 1)]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [label]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def without_claims(made: dict[str, Any]) -> dict[str, Any]:
    """Return the Deployment without the model's volume, of which there is none, and without an owner."""
    pod = made["spec"]["template"]["spec"]
    pod["volumes"] = [each for each in pod["volumes"] if "persistentVolumeClaim" not in each]
    (container,) = pod["containers"]
    kept = {each["name"] for each in pod["volumes"]}
    container["volumeMounts"] = [each for each in container["volumeMounts"] if each["name"] in kept]
    made["metadata"].pop("ownerReferences", None)
    return made


def placed(cluster: Cluster, wanted: int) -> list[str]:
    """Return the nodes of the pods that the scheduler placed, once it has looked at all of them."""

    def pods() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = cluster.get("pods", "-n", NAMESPACE, "-l", "bitshift.dev/role=release")["items"]
        return found

    def looked_at(pod: dict[str, Any]) -> bool:
        conditions = pod.get("status", {}).get("conditions") or []
        return any(each["type"] == "PodScheduled" for each in conditions)

    wait_until(
        lambda: len(pods()) == wanted and all(map(looked_at, pods())),
        "all pods were looked at",
        seconds=SETTLES_SECONDS,
    )
    return [pod["spec"]["nodeName"] for pod in pods() if pod["spec"].get("nodeName")]


def away(cluster: Cluster, *names: str) -> None:
    """Delete Deployments and wait until their pods are gone."""
    cluster.kubectl("-n", NAMESPACE, "delete", "deployment", *names, "--cascade=foreground", "--timeout=60s")
    gone = lambda: not cluster.get("pods", "-n", NAMESPACE, "-l", "bitshift.dev/role=release")["items"]  # noqa: E731
    wait_until(gone, "the pods are gone", seconds=SETTLES_SECONDS)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_scheduler_does_what_the_plan_says(cluster: Cluster, case: Case):
    fit, _, made = planned(case, asyncio.run(room(cluster)))
    cluster.apply(made)
    try:
        found = placed(cluster, case.replicas)
    finally:
        away(cluster, "placed")

    if fit.verdict == "Fits":
        assert len(found) == case.replicas, fit.message
        assert set(found) <= set(fit.node_names), fit.message
    else:
        assert len(found) < case.replicas or fit.reason in UNSEEN, fit.message


def test_the_cases_are_mixed(cluster: Cluster):
    nodes = asyncio.run(room(cluster))
    verdicts = [planned(case, nodes)[0].verdict for case in CASES]

    assert len(CASES) >= 60
    assert all(verdicts.count(each) >= 5 for each in ("Fits", "DoesNotFit"))
    assert verdicts.count("Waiting") >= 3


def test_pods_take_the_place_of_as_many_replicas_of_stable_as_the_plan_says(cluster: Cluster):
    gpus, replicas = 2, 2
    cluster.apply(stable("NVIDIA-L4", gpus=gpus, replicas=replicas))
    names: list[str] = []
    try:
        ready = f"--for=jsonpath={{.status.readyReplicas}}={replicas}"
        cluster.kubectl("-n", NAMESPACE, "wait", "deployment/stable", ready, "--timeout=60s")
        case = Case("8b", "fp8", gpus, product="NVIDIA-L4")
        nodes = asyncio.run(room(cluster))
        fit, need, made = planned(case, nodes)
        found = cluster.get("pods", "-n", NAMESPACE, "-l", "app=stable")["items"]
        youngest_first = sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True)
        held = [(f"{NAMESPACE}/{pod['metadata']['name']}", pod["spec"]["nodeName"]) for pod in youngest_first]
        way = room_beside(need, nodes, lambda *asked: plan(*asked).verdict == "Fits", held, reload_seconds=60)
        cluster.apply(made)
        names.append("placed")
        before = placed(cluster, 1)
        cluster.kubectl("-n", NAMESPACE, "scale", "deployment/stable", f"--replicas={replicas - way.swaps}")
        wait_until(lambda: placed(cluster, 1) == ["l4"], "the pod has its GPUs", seconds=SETTLES_SECONDS)
    finally:
        away(cluster, "stable", *names)

    assert (fit.verdict, before) == ("Waiting", [])
    assert (way.mode, way.swaps) == ("Serial", 1)
    assert "scaled down by 1 of its 2 replicas" in way.sentence


def stable(product: str, *, gpus: int, replicas: int) -> dict[str, Any]:
    """Return what serves users from such GPUs."""
    container = {"name": "c", "image": "bitshift.local/pause:1", "resources": {"limits": {NVIDIA_GPU: str(gpus)}}}
    spec = {"containers": [container], "tolerations": [TOLERATION], "nodeSelector": {"nvidia.com/gpu.product": product}}
    template = {"metadata": {"labels": {"app": "stable"}}, "spec": spec}
    selector = {"matchLabels": {"app": "stable"}}
    return DEPLOYMENT.new(NAMESPACE, "stable", spec={"replicas": replicas, "selector": selector, "template": template})
