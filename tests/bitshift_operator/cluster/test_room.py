"""Nodes are counted from what the caches hold, and again only when something of them changed."""

import pytest

from bitshift_core.rollout import names
from bitshift_core.rollout.snapshot import Snapshot
from bitshift_operator.cluster.caches import Caches
from bitshift_operator.cluster.kinds import DEPLOYMENT, NODE, POD, QUANTIZED_MODEL
from bitshift_operator.cluster.room import Room
from tests.play import ENGINES

GIB = 1 << 30


def a_node(name, memory="8Gi"):
    ready = [{"type": "Ready", "status": "True"}]
    allocatable = {"memory": memory, "cpu": "4", "nvidia.com/gpu": "2"}
    return NODE.new("", name) | {"status": {"allocatable": allocatable, "conditions": ready}}


def a_pod(name, node, *, gpus=0, **labels):
    resources = {"requests": {"memory": "1Gi"}} | ({"limits": {"nvidia.com/gpu": str(gpus)}} if gpus else {})
    where = {"nodeName": node} if node else {}
    pod = POD.new("team", name, spec=where | {"containers": [{"name": "c", "resources": resources}]})
    pod["metadata"]["labels"] = labels
    return pod | {"status": {"phase": "Running" if node else "Pending"}}


def of(model, revision):
    return names.labels(model, revision=revision, role="release")


@pytest.fixture
def caches():
    caches = Caches()
    for name in ("n1", "n2"):
        caches.nodes.put(a_node(name))
    caches.pods.put(a_pod("here", "n1"))
    return caches


def read(*revisions):
    model = QUANTIZED_MODEL.new("team", "chat", spec={})
    made = {name: DEPLOYMENT.new("team", name, spec={}) for name in revisions}
    return Snapshot(now=0, model=model, engines=ENGINES, workloads=made)


def test_what_did_not_change_is_not_counted_again(caches):
    room = Room(caches)
    before = room.beside(read())["nodes"]
    caches.pods.put(a_pod("another", "n2"))
    after = room.beside(read())["nodes"]

    assert after[0] is before[0]
    assert (before[1].memory_requested_bytes, after[1].memory_requested_bytes) == (0, GIB)


@pytest.mark.parametrize("change", ["a pod that grew", "a pod that went", "a node that grew", "a node that went"])
def test_each_change_is_seen(caches, change):
    room = Room(caches)
    before = room.beside(read())["nodes"]
    match change:
        case "a pod that grew":
            caches.pods.put(a_pod("here", "n1", gpus=1))
        case "a pod that went":
            caches.pods.keep_only(set(), "")
        case "a node that grew":
            caches.nodes.put(a_node("n1", "9Gi"))
        case "a node that went":
            caches.nodes.keep_only(set(), "")

    assert room.beside(read())["nodes"] != before


def test_a_release_finds_the_room_that_its_own_pods_take(caches):
    caches.pods.put(a_pod("ours", "n2", **of("chat", "chat-q4-1")))
    found = Room(caches).beside(read("chat-q4-1"))

    assert found["nodes"][1].memory_requested_bytes == GIB
    assert [node.memory_requested_bytes for node in found["nodes_without_ours"]["chat-q4-1"]] == [GIB, 0]


def test_gpus_that_a_pod_of_others_waits_for_are_nobody_elses(caches):
    caches.pods.put(a_pod("waiting", "", gpus=2, **of("other", "other-q4-1")))
    found = Room(caches).beside(read("chat-q4-1"))

    assert sorted(node.gpu_free for node in found["nodes"]) == [0, 2]
    assert sorted(node.gpu_free for node in found["nodes_without_ours"]["chat-q4-1"]) == [0, 2]
