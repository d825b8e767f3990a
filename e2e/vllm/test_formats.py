"""Every format on a real vLLM: what its kernels run is judged, what they do not is refused by a name with its way out."""

from typing import Any

import httpx
import pytest

from e2e.cluster import Cluster
from e2e.demo.target import get
from e2e.demo.users import Users
from e2e.steps import Model, Status
from e2e.vllm.artifacts import make_checkpoints
from e2e.vllm.conftest import NAMESPACE
from e2e.vllm.steps import BOUNDED, JUDGED_ONLY, TRAFFIC, a_spec

KERNELS = {
    "AWQ": "CPUWNA16LinearKernel",
    "GPTQ": "CPUWNA16LinearKernel",
    "INT8": "CPUInt8ScaledMMLinearKernel",
    "FP8": "ChannelWiseTorchFP8ScaledMMLinearKernel",
}


def judged(cluster: Cluster, spec: dict[str, Any], what: str = "judged") -> Status:
    """Return the status once the only rung was judged; the object is gone afterwards."""
    model = Model(cluster, "judged", NAMESPACE).given(spec)
    status = model.comes_to(
        lambda status: status.get("reason") == "Judged" or status.get("phase") in ("Rejected", "Blocked"),
        seconds=600, called=what,
    )  # fmt: skip
    model.gone()
    return status


@pytest.mark.parametrize("name", KERNELS)
def test_a_format_whose_kernel_is_here_passes_its_gates_and_names_it(cluster: Cluster, vllm_users: Users, name: str):
    make_checkpoints(name, paths=cluster.paths)

    status = judged(cluster, a_spec(name))

    (rung,) = status["rungs"]
    assert [gate["verdict"] for gate in rung["gates"]] == ["Passed", "Passed", "Passed"], rung["message"]
    assert KERNELS[name] in rung["engine"]


def test_awq_goes_from_apply_to_promoted(cluster: Cluster, vllm_users: Users):
    make_checkpoints("AWQ", paths=cluster.paths)
    model = Model(cluster, "chat", NAMESPACE).given(a_spec("AWQ", traffic=TRAFFIC))

    status = model.comes_to(lambda status: bool(status.get("currentRevision")), seconds=900, called="promoted")

    assert status["rungs"][0]["state"] == "Current"
    model.gone()


def test_weights_packed_in_another_order_load_and_are_refused_by_their_numbers(cluster: Cluster, vllm_users: Users):
    make_checkpoints("AWQ-SHUFFLED", paths=cluster.paths)

    (rung,) = judged(cluster, a_spec("AWQ-SHUFFLED"))["rungs"]

    assert (rung["state"], rung["reason"]) == ("Refused", "WrongNumbers")


SEQUENCES = 4096
BEFORE_A_POD = {
    "no kernel": (a_spec("W8A16"), "NoKernel", ("w8a16", "uint8b128")),
    "no bound on memory": (a_spec("INT8", extraArgs=["--enforce-eager"]), "UnboundedKVCache", ("--kv-cache-memory-bytes",)),
    "too long for the node": (
        a_spec("INT8", contextTokens=8192, concurrentSequences=SEQUENCES), "InsufficientMemory", ("GiB", "`serving.")),
    "longer than it was trained for": (a_spec("INT8", contextTokens=16_384), "ContextTooLong", ("8192",)),
    "another method than the artifact's": (a_spec("INT8", quantization="awq"), "QuantizationContradicts", ("awq",)),
}  # fmt: skip


@pytest.mark.parametrize("mistake", BEFORE_A_POD, ids=lambda text: text.replace(" ", "-"))
def test_what_facts_can_tell_is_refused_before_a_pod_starts(cluster: Cluster, vllm_users: Users, mistake: str):
    spec, reason, words = BEFORE_A_POD[mistake]
    make_checkpoints("W8A16", "INT8", paths=cluster.paths)

    status = judged(cluster, spec, reason)

    assert status["phase"] == "Blocked"
    assert reason in (status["reason"], status["rungs"][0]["reason"] if status.get("rungs") else ""), status["message"]
    for word in words:
        assert word in status["message"]


CACHE_GIB, HOGGED_GIB = 12, 10
FROM_LOGS = {
    "a shape that blocks do not divide": (a_spec("FP8-BLOCK"), "UnsupportedShape", ("576",)),
    "an argument that nobody knows": (
        a_spec("INT8", extraArgs=[*BOUNDED, "--no-such-flag"]), "UnknownArgument", ("no-such-flag",)),
}  # fmt: skip


@pytest.mark.parametrize("failure", FROM_LOGS, ids=lambda text: text.replace(" ", "-"))
def test_what_only_the_engine_finds_is_named_from_its_log(cluster: Cluster, vllm_users: Users, failure: str):
    spec, reason, words = FROM_LOGS[failure]
    make_checkpoints("FP8-BLOCK", "INT8", paths=cluster.paths)

    (rung,) = judged(cluster, spec | {"traffic": JUDGED_ONLY}, reason)["rungs"]

    assert (rung["state"], rung["reason"]) == ("Refused", reason)
    for word in words:
        assert word in rung["message"]


def test_memory_that_somebody_else_holds_is_named_at_the_load(cluster: Cluster, vllm_users: Users):
    make_checkpoints("INT8", paths=cluster.paths)
    cluster.apply(a_hog())
    cluster.kubectl("-n", NAMESPACE, "wait", "pod/hog", "--for=condition=Ready", "--timeout=120s")
    cache = ["--enforce-eager", "--kv-cache-memory-bytes", str(CACHE_GIB << 30)]
    try:
        (rung,) = judged(cluster, a_spec("INT8", extraArgs=cache), "HostMemoryTooLow")["rungs"]
    finally:
        cluster.kubectl("-n", NAMESPACE, "delete", "pod", "hog", "--grace-period=1", "--timeout=60s")

    assert (rung["state"], rung["reason"]) == ("Refused", "HostMemoryTooLow")
    assert f"{CACHE_GIB}" in rung["message"]


def a_hog() -> dict[str, Any]:
    """Return a pod that holds memory which it never asked for, so that no plan can know."""
    fill = f"head -c {HOGGED_GIB}G /dev/zero > /held/zeros && touch /held/ready && sleep 900"
    container = {
        "name": "hog",
        "image": "bitshift.local/base-python:1",
        "command": ["sh", "-c", fill],
        "readinessProbe": {"exec": {"command": ["test", "-e", "/held/ready"]}, "periodSeconds": 1},
        "volumeMounts": [{"name": "held", "mountPath": "/held"}],
    }
    volumes = [{"name": "held", "emptyDir": {"medium": "Memory", "sizeLimit": f"{HOGGED_GIB + 1}Gi"}}]
    spec = {"containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": NAMESPACE, "name": "hog"}, "spec": spec}


def test_a_stream_outlives_the_end_of_its_pod(cluster: Cluster, vllm_users: Users):
    make_checkpoints("INT8", paths=cluster.paths)
    model = Model(cluster, "drained", NAMESPACE).given(a_spec("INT8", traffic={"mode": "None", "drainSeconds": 120}))
    status = model.comes_to(lambda status: status.get("phase") == "Gating", seconds=300, called="answering")
    pods = get(cluster, "pods", "-n", NAMESPACE, "-l", f"bitshift.dev/revision={status['rungs'][0]['revision']}")[
        "items"
    ]
    (address,) = (pod["status"]["podIP"] for pod in pods if pod["metadata"]["labels"]["bitshift.dev/role"] == "release")
    body = {"model": "smollm2", "prompt": "Once upon a time", "max_tokens": 400, "ignore_eos": True, "stream": True}

    with httpx.stream("POST", f"http://{address}:8000/v1/completions", json=body, timeout=120) as answer:
        lines = answer.iter_lines()
        began = [next(lines) for _ in range(4)]
        cluster.kubectl("-n", NAMESPACE, "delete", "quantizedmodel", "drained", "--wait=false")
        rest = [line for line in lines if line]

    assert began[0].startswith("data: ")
    assert rest[-1] == "data: [DONE]"
    assert sum(line.startswith("data: {") for line in rest) > 300
    model.gone()
