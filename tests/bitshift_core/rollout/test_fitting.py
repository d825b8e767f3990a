"""Where a release fits in a cluster with GPUs: kernels, room beside stable, and why this rung."""

from typing import Any

import pytest

from bitshift_core.fit.placement import node_from_manifests
from bitshift_core.rollout.phases import decide
from bitshift_core.rollout.seeing import see
from bitshift_core.rollout.status import report
from bitshift_operator.cluster.kernels import load_kernels, load_losses
from tests.bitshift_core.rollout.snapshots import a_model, a_pod, a_snapshot, promoted

H100 = {
    "nvidia.com/gpu.memory": "81559",
    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
    "nvidia.com/gpu.compute.major": "9",
    "nvidia.com/gpu.compute.minor": "0",
}
K80 = {
    "nvidia.com/gpu.memory": "11441",
    "nvidia.com/gpu.product": "Tesla-K80",
    "nvidia.com/gpu.compute.major": "3",
    "nvidia.com/gpu.compute.minor": "7",
}


def a_gpu_node(labels=H100, count=1, pods=()):
    allocatable = {"cpu": "64", "memory": "256Gi", "nvidia.com/gpu": str(count)}
    ready = {"type": "Ready", "status": "True"}
    manifest = {"metadata": {"name": "gpu-1", "labels": labels}, "spec": {},
                "status": {"allocatable": allocatable, "conditions": [ready]}}  # fmt: skip
    return node_from_manifests(manifest, pods)


def stables_pod(name="chat-0"):
    pod: dict[str, Any] = a_pod(name)
    container = pod["spec"]["containers"][0] | {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
    pod["metadata"] |= {"namespace": "team"}
    return pod | {"spec": pod["spec"] | {"nodeName": "gpu-1", "containers": [container]}}


def on_gpus(node, *, pods=None, **spec):
    found = pods or [stables_pod()]
    model = a_model(serving={"gpusPerReplica": 1, "replicas": 1}, **spec)
    return a_snapshot(
        model=model, nodes=[node], kernels=load_kernels(), losses=load_losses(), home_pods=found, users_pods=found
    )


def first(snapshot):
    return see(snapshot).releases[0]


def test_a_rung_without_a_kernel_is_refused_before_any_pod_starts():
    seen = see(on_gpus(a_gpu_node(K80)))
    decision = decide(seen)

    assert (decision.phase, decision.plan.reason, decision.plan.actions) == ("Blocked", "NoKernel", ())
    assert "on compute capability 3.7 (Tesla-K80)" in decision.plan.message
    assert report(seen, decision).rungs[0].state == "DoesNotFit"


def test_a_cluster_whose_one_gpu_stable_holds_is_told_what_a_swap_would_take():
    release = first(on_gpus(a_gpu_node(pods=[stables_pod()])))

    assert (release.fit.verdict, release.fit.room.mode) == ("Waiting", "Serial")
    assert "1 GPU is missing: team/chat-0 holds 1 on gpu-1." in release.fit.message
    assert "scaled down by its only replica it would leave its GPUs to the pending pods" in release.fit.message
    assert "which may take 121 s" in release.fit.message  # the profile's 120 s, and 10^8 bytes at 10^8 a second


def test_a_gpu_that_others_hold_is_waited_for():
    other = stables_pod("train-0")
    release = first(on_gpus(a_gpu_node(pods=[other])))

    assert (release.fit.verdict, release.fit.room.mode) == ("Waiting", "Wait")
    assert "team/train-0 holds 1 on gpu-1" in release.fit.message


def test_beside_stable_is_the_first_choice():
    assert first(on_gpus(a_gpu_node(count=2, pods=[stables_pod()]))).fit.room.mode == "Parallel"


def test_why_this_rung_is_said_where_the_user_says_what_they_care_for():
    price = {"gpuHourCents": 250, "currency": "EUR"}
    seen = see(on_gpus(a_gpu_node(), scenario="Memory", price=price))
    told = report(seen, decide(seen)).rungs[0].why

    assert told.startswith("For memory")
    assert "1,825 EUR" in told


@pytest.mark.parametrize("scenario", [None])
def test_without_a_scenario_nothing_is_explained(scenario):
    assert first(on_gpus(a_gpu_node(), scenario=scenario)).fit.why == ""


def test_a_release_inherits_the_tolerations_of_stable():
    template = a_snapshot().users_owner["spec"]["template"]["spec"]
    toleration = {"key": "team", "operator": "Exists"}
    owner = {
        "metadata": {"name": "chat"},
        "spec": {"replicas": 1, "template": {"spec": template | {"tolerations": [toleration]}}},
    }
    release = first(a_snapshot(users_owner=owner, home_owner=owner))

    assert release.resolved.tolerations == (toleration,)
    assert release.fit.tolerations == (toleration,)


def test_what_serves_is_not_planned_away_by_its_own_pods():
    """Users are on the release: without its own pods there is room for it."""
    snapshot = promoted(a_snapshot())

    assert first(snapshot).fit.verdict == "Fits"
