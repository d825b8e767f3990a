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
from e2e.vllm.steps import BOUNDED, FORMAT, INSTRUCTIONS, JUDGED_ONLY, KERNELS, RUNS_FOUR_BITS, TRAFFIC, a_spec

FOUR_BITS = ("AWQ", "GPTQ", "W4A16")


def judged(cluster: Cluster, spec: dict[str, Any], what: str = "judged") -> Status:
    """Return the status once the only rung was judged; the object is gone afterwards."""
    model = Model(cluster, "judged", NAMESPACE).given(spec)
    status = model.comes_to(
        lambda status: status.get("reason") == "Judged" or status.get("phase") in ("Rejected", "Blocked"),
        seconds=900, called=what,
    )  # fmt: skip
    model.gone()
    return status


def is_named_for_its_kernel(rung: dict[str, Any]) -> bool:
    """Say whether a rung was refused because this CPU's build of vLLM lacks what it chose."""
    return (rung["state"], rung["reason"]) == ("Refused", "MissingKernel") and "cpu_gemm_wna16" in rung["message"]


@pytest.mark.parametrize("name", KERNELS)
def test_a_format_passes_its_gates_by_a_kernel_that_is_named_or_is_refused_for_want_of_one(
    cluster: Cluster, vllm_users: Users, name: str
):
    make_checkpoints(name, paths=cluster.paths)

    (rung,) = judged(cluster, a_spec(name))["rungs"]

    if name in FOUR_BITS and not RUNS_FOUR_BITS:
        assert is_named_for_its_kernel(rung), rung["message"]
    else:
        assert KERNELS[name] in rung["engine"]
        assert [gate["verdict"] for gate in rung["gates"]] == ["Passed", "Passed", "Passed"], rung["message"]


def test_awq_is_promoted_where_it_runs_and_where_not_the_next_rung_is_tried(cluster: Cluster, vllm_users: Users):
    make_checkpoints("AWQ", FORMAT, paths=cluster.paths)
    model = Model(cluster, "chat", NAMESPACE).given(a_spec("AWQ", FORMAT, traffic=TRAFFIC))

    def is_tried(status: Status) -> bool:
        return bool(status.get("currentRevision")) if RUNS_FOUR_BITS else status.get("rung") == FORMAT.lower()

    status = model.comes_to(is_tried, seconds=1_500, called="the promotion, or the next rung")

    awq, other = status["rungs"]
    assert awq["state"] == "Current" if RUNS_FOUR_BITS else is_named_for_its_kernel(awq), awq["message"]
    assert RUNS_FOUR_BITS or other["state"] in ("Starting", "Fits"), other["message"]
    model.gone()


def test_weights_packed_in_another_order_load_and_are_refused_by_their_numbers(cluster: Cluster, vllm_users: Users):
    make_checkpoints("AWQ-SHUFFLED", paths=cluster.paths)

    (rung,) = judged(cluster, a_spec("AWQ-SHUFFLED"))["rungs"]

    assert rung["state"] == "Refused"
    assert rung["reason"] == "WrongNumbers" if RUNS_FOUR_BITS else is_named_for_its_kernel(rung), rung["message"]


def test_where_labels_tell_what_the_cpu_can_do_a_kernel_that_it_lacks_is_refused_before_a_pod_starts(
    cluster: Cluster, vllm_users: Users
):
    lacking, needs = ("FP8-BLOCK", "AMXTILE") if RUNS_FOUR_BITS else ("W4A16", "AVX512F")
    make_checkpoints(lacking, paths=cluster.paths)
    labels = [
        f"feature.node.kubernetes.io/cpu-cpuid.{each}" for each in ("AVX", "AVX2", "AVX512F") if each in INSTRUCTIONS
    ]
    cluster.kubectl("label", "node", cluster.node, *(f"{label}=true" for label in labels))
    try:
        status = judged(cluster, a_spec(lacking), "NoKernel")
    finally:
        cluster.kubectl("label", "node", cluster.node, *(f"{label}-" for label in labels))

    assert status["phase"] == "Blocked"
    assert status["rungs"][0]["reason"] == "NoKernel"
    assert f"it has some for CPUs with {needs}" in status["rungs"][0]["message"]


TOO_LARGE = ["--enforce-eager", "--kv-cache-memory-bytes", str(64 << 30)]
TOO_SMALL = ["--enforce-eager", "--kv-cache-memory-bytes", str(64 << 20)]
BEFORE_A_POD = {
    "no kernel": (a_spec("W8A16"), "NoKernel", ("w8a16", "uint8b128")),
    "no bound on memory": (a_spec("INT8", extraArgs=["--enforce-eager"]), "UnboundedKVCache", ("--kv-cache-memory-bytes",)),
    "more cache than the node has": (
        a_spec("INT8", extraArgs=TOO_LARGE), "InsufficientMemory", ("GiB", "`--kv-cache-memory-bytes` ")),
    "too long for its cache": (
        a_spec("INT8", contextTokens=8192, extraArgs=TOO_SMALL), "KVCacheTooSmall", ("8,192 tokens", "`serving.contextTokens`")),
    "longer than it was trained for": (a_spec("INT8", contextTokens=16_384), "ContextTooLong", ("8192",)),
    "another method than the artifact's": (a_spec("INT8", quantization="awq"), "QuantizationMismatch", ("awq",)),
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
        a_spec(FORMAT, extraArgs=[*BOUNDED, "--no-such-flag"]), "UnknownArgument", ("no-such-flag",)),
}  # fmt: skip


@pytest.mark.parametrize("failure", FROM_LOGS, ids=lambda text: text.replace(" ", "-"))
def test_what_only_the_engine_finds_is_named_from_its_log(cluster: Cluster, vllm_users: Users, failure: str):
    spec, reason, words = FROM_LOGS[failure]
    make_checkpoints("FP8-BLOCK", FORMAT, paths=cluster.paths)

    (rung,) = judged(cluster, spec | {"traffic": JUDGED_ONLY}, reason)["rungs"]

    assert (rung["state"], rung["reason"]) == ("Refused", reason)
    for word in words:
        assert word in rung["message"]


def test_memory_that_somebody_else_holds_is_named_at_the_load(cluster: Cluster, vllm_users: Users):
    make_checkpoints(FORMAT, paths=cluster.paths)
    cluster.apply(a_hog())
    cluster.kubectl("-n", NAMESPACE, "wait", "pod/hog", "--for=condition=Ready", "--timeout=120s")
    cache = ["--enforce-eager", "--kv-cache-memory-bytes", str(CACHE_GIB << 30)]
    try:
        (rung,) = judged(cluster, a_spec(FORMAT, extraArgs=cache), "HostMemoryTooLow")["rungs"]
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
    make_checkpoints(FORMAT, paths=cluster.paths)
    model = Model(cluster, "drained", NAMESPACE).given(a_spec(FORMAT, traffic={"mode": "None", "drainSeconds": 120}))
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
