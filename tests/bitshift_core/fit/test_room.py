"""Room beside what runs: what was promised and is not counted yet, and what pods that go would free."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from bitshift_core.fit.placement import Holder, Taint
from bitshift_core.fit.plan import plan_release
from bitshift_core.fit.promises import Promise, may_go, promises_of
from bitshift_core.fit.room import without_pods, without_promised
from bitshift_core.fit.workloads import SET_NAME, WORKER_INDEX
from tests.bitshift_core.fit.builders import T4, a_gpu_node, a_need, constants, kernels
from tests.examples import examples


def a_pod(name="p", gpus=1, node=None, **spec):
    limits = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    pod = {"metadata": {"name": name, "namespace": "team"}, "spec": {"containers": [{"resources": {"limits": limits}}]}}
    pod["spec"] |= ({"nodeName": node} if node else {}) | spec
    return pod


def a_deployment(name="other-awq", replicas=2, made=0, gpus=4, **spec):
    template = {"spec": a_pod(gpus=gpus, **spec)["spec"]}
    return {
        "metadata": {"name": name, "namespace": "team"},
        "spec": {"replicas": replicas, "template": template},
        "status": {"replicas": made} if made else {},
    }


def affinity(*terms):
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}}


def test_a_pod_without_a_node_is_promised_its_gpus():
    nodes = [a_gpu_node("a"), a_gpu_node("b")]
    (promise,) = promises_of([a_pod("x", 3), a_pod("y", 2, node="a"), a_pod("z", 0)], [], nodes)

    assert promise == Promise("team/x", "nvidia.com/gpu", 3, frozenset({"a", "b"}))


def test_a_pod_that_is_over_going_or_gated_is_promised_nothing():
    over = a_pod("over") | {"status": {"phase": "Failed"}}
    going = a_pod("going")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert promises_of([over, going, a_pod("gated", schedulingGates=[{"name": "wait"}])], [], [a_gpu_node()]) == []


def test_a_deployment_was_promised_the_gpus_of_pods_that_are_still_to_be_made():
    found = promises_of([], [a_deployment(replicas=3, made=1)], [a_gpu_node("a")])

    assert [(promise.pod, promise.gpus) for promise in found] == [("team/other-awq-1", 4), ("team/other-awq-2", 4)]


def a_group(replicas=2, size=3, made=0):
    template = {"spec": a_pod(gpus=4)["spec"]}
    group = {"size": size, "leaderTemplate": template, "workerTemplate": template}
    metadata = {"name": "other-awq", "namespace": "team"}
    return {
        "metadata": metadata, "spec": {"replicas": replicas, "leaderWorkerTemplate": group}, "status": {"replicas": made},
    }  # fmt: skip


def test_a_replica_that_spans_nodes_was_promised_the_gpus_of_all_its_pods():
    worker = a_pod("other-awq-0-1", node="a")
    worker["metadata"]["labels"] = {SET_NAME: "other-awq", WORKER_INDEX: "1"}
    found = promises_of([worker], [a_group(made=1)], [a_gpu_node("a")])

    assert [promise.gpus for promise in found] == [4] * (1 + 3)


def test_where_a_pod_may_go_is_read_as_the_scheduler_reads_it():
    node = a_gpu_node("a")
    memory = {"key": "nvidia.com/gpu.memory", "operator": "Gt", "values": ["80000"]}
    named = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}
    tainted = replace(node, taints=(Taint("team", "a", "NoSchedule"),))

    assert may_go({}, node)
    assert may_go({"affinity": affinity({"matchExpressions": [memory]})}, node)
    assert not may_go({"affinity": affinity({"matchExpressions": [memory]})}, a_gpu_node(labels=T4))
    assert may_go({"affinity": affinity(named)}, node)
    assert not may_go({"affinity": affinity(named)}, a_gpu_node("b"))
    assert not may_go({"affinity": affinity({})}, node)  # a term that says nothing admits nothing
    assert not may_go({"nodeSelector": {"pool": "x"}}, node)
    assert not may_go({}, tainted)
    assert may_go({"tolerations": [{"key": "team", "operator": "Exists"}]}, tainted)
    assert not may_go({}, replace(node, ready=False))


def test_two_rollouts_never_plan_on_the_same_free_gpu():
    """The first took its plan and started; the second looks before a pod of the first has a node."""
    nodes, need = [a_gpu_node(count=4, free=4)], a_need(gpus_per_replica=4)
    first = plan_release(need, nodes, constants(), kernels=kernels())
    started = a_deployment(replicas=1, affinity=first.affinity, tolerations=list(first.tolerations))
    left = without_promised(nodes, promises_of([], [started], nodes))
    second = plan_release(need, left, constants(), kernels=kernels())

    assert (first.verdict, second.verdict) == ("Fits", "Waiting")
    assert "4 GPUs are missing: team/other-awq-0 (pending) holds 4 on gpu-1." in second.message


def test_a_promise_takes_the_tightest_node_that_holds_it():
    nodes = [a_gpu_node("wide"), a_gpu_node("tight", free=2)]
    (wide, tight) = without_promised(nodes, [Promise("team/x", "nvidia.com/gpu", 2, frozenset({"wide", "tight"}))])

    assert (wide.gpu_free, tight.gpu_free) == (8, 0)


def test_pods_that_go_free_what_they_hold():
    holders = (Holder("team/chat-0", "nvidia.com/gpu", 4), Holder("team/train", "nvidia.com/gpu", 4))
    (node,) = without_pods([replace(a_gpu_node(free=0), holders=holders)], [("team/chat-0", "gpu-1")])

    assert (node.gpu_free, [holder.pod for holder in node.holders]) == (4, ["team/train"])


PROMISES = st.lists(
    st.builds(
        Promise,
        st.text("abc", min_size=1, max_size=3),
        st.just("nvidia.com/gpu"),
        st.integers(1, 8),
        st.frozensets(st.sampled_from(["n0", "n1", "n2"])),
    ),
    max_size=8,
)


@settings(max_examples=examples(200))
@given(st.lists(st.integers(0, 8), min_size=3, max_size=3), PROMISES)
def test_promises_never_take_more_than_is_free_nor_more_than_was_promised(free, promises):
    nodes = [a_gpu_node(f"n{index}", free=each) for index, each in enumerate(free)]
    left = without_promised(nodes, promises)
    taken = [before.gpu_free - after.gpu_free for before, after in zip(nodes, left, strict=True)]

    assert all(0 <= each <= had for each, had in zip(taken, free, strict=True))
    assert sum(taken) <= sum(promise.gpus for promise in promises)
    for node, gone in zip(left, taken, strict=True):
        assert sum(holder.gpus for holder in node.holders) == gone
