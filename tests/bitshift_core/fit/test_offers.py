"""What nodes offer of their GPUs: whole cards, slices, shared cards, other makers'."""

import pytest

from bitshift_core.fit.placement import node_from_manifests
from bitshift_core.fit.units import GIB, MIB

H100 = {"nvidia.com/gpu.memory": "81559", "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}


def a_node(labels, **allocatable):
    offered = {"cpu": "64", "memory": "512Gi"} | {key.replace("__", "/"): value for key, value in allocatable.items()}
    return {
        "metadata": {"name": "n1", "labels": labels},
        "status": {"allocatable": offered, "conditions": [{"type": "Ready", "status": "True"}]},
    }


def a_pod(resource, gpus, name="p"):
    container = {"resources": {"limits": {resource: str(gpus)}}}
    return {"metadata": {"name": name, "namespace": "team"}, "spec": {"nodeName": "n1", "containers": [container]}}


def offers(labels, *pods, **allocatable):
    return node_from_manifests(a_node(labels, **allocatable), pods).offers


def test_whole_cards_are_offered_less_those_that_pods_hold():
    (offer,) = offers(H100, a_pod("nvidia.com/gpu", 3), **{"nvidia.com/gpu": "8"})

    assert (offer.resource, offer.count, offer.free, offer.memory_bytes) == ("nvidia.com/gpu", 8, 5, 81_559 * MIB)
    assert offer.refusal(8) == ""


def test_who_holds_gpus_is_known_by_name():
    node = node_from_manifests(a_node(H100, **{"nvidia.com/gpu": "8"}), [a_pod("nvidia.com/gpu", 3, "chat-0")])

    assert [(holder.pod, holder.gpus) for holder in node.holders] == [("team/chat-0", 3)]


@pytest.mark.parametrize(
    "labels",
    [
        {"nvidia.com/gpu.sharing-strategy": "time-slicing", "nvidia.com/gpu.replicas": "4"},
        {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3-SHARED"},
        {"nvidia.com/gpu.replicas": "4"},  # a plugin from before strategies had labels
    ],
)
def test_gpus_that_are_shared_in_time_are_refused_for_sizing(labels):
    (offer,) = offers(H100 | labels, **{"nvidia.com/gpu": "32"})

    assert "shares its GPUs in time: each pod may take the whole memory" in offer.refusal(1)


def test_a_gpu_that_mps_shares_offers_each_pod_an_equal_part_and_no_pod_two():
    labels = H100 | {"nvidia.com/gpu.sharing-strategy": "mps", "nvidia.com/gpu.replicas": "4"}
    (offer,) = offers(labels, **{"nvidia.com/gpu.shared": "32"})

    assert (offer.resource, offer.memory_bytes) == ("nvidia.com/gpu.shared", 81_559 * MIB // 4)
    assert offer.refusal(1) == ""
    assert "one part at most" in offer.refusal(2)


def test_mps_without_the_number_of_parts_is_refused():
    (offer,) = offers(H100 | {"nvidia.com/gpu.sharing-strategy": "mps"}, **{"nvidia.com/gpu": "8"})

    assert "what each pod may take is not known" in offer.refusal(1)


def test_slices_of_one_size_are_what_the_gpu_resource_means():
    labels = {
        "nvidia.com/mig.strategy": "single",
        "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3-MIG-3g.40gb",
        "nvidia.com/gpu.memory": "40448",
    }
    (offer,) = offers(labels, **{"nvidia.com/gpu": "16"})

    assert (offer.resource, offer.is_slice, offer.memory_bytes) == ("nvidia.com/gpu", True, 40_448 * MIB)
    assert "MIG slices" in offer.refusal(2)
    assert offer.refusal(1) == ""


def test_slices_of_many_sizes_have_names_and_labels_of_their_own():
    labels = H100 | {
        "nvidia.com/mig.strategy": "mixed",
        "nvidia.com/mig-3g.40gb.memory": "40448",
        "nvidia.com/mig-3g.40gb.product": "NVIDIA-H100-80GB-HBM3-MIG-3g.40gb",
    }
    allocatable = {"nvidia.com/gpu": "4", "nvidia.com/mig-3g.40gb": "4", "nvidia.com/mig-1g.10gb": "8"}
    whole, three, one = offers(labels, a_pod("nvidia.com/mig-3g.40gb", 1), **allocatable)

    assert (whole.resource, whole.is_slice) == ("nvidia.com/gpu", False)
    assert (three.resource, three.free, three.memory_bytes) == ("nvidia.com/mig-3g.40gb", 3, 40_448 * MIB)
    assert three.memory_label == "nvidia.com/mig-3g.40gb.memory"
    assert one.memory_bytes == 10 * GIB * 95 // 100  # no label: less than its name says, as slices are


def test_a_slice_that_is_shared_in_time_is_refused():
    labels = H100 | {"nvidia.com/mig-1g.10gb.memory": "9984", "nvidia.com/mig-1g.10gb.replicas": "4"}
    _, shared = offers(labels, **{"nvidia.com/gpu": "1", "nvidia.com/mig-1g.10gb": "8"})

    assert "in time" in shared.refusal(1)


@pytest.mark.parametrize(
    "labels",
    [
        {"amd.com/gpu.vram": "192G", "amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"},
        {"beta.amd.com/gpu.vram.192G": "8", "beta.amd.com/gpu.product-name.AMD_Instinct_MI300X_OAM": "8"},
    ],
)
def test_amd_cards_are_offered_under_their_own_name(labels):
    (offer,) = offers(labels, a_pod("amd.com/gpu", 2), **{"amd.com/gpu": "8"})

    assert (offer.resource, offer.platform, offer.free) == ("amd.com/gpu", "rocm", 6)
    assert (offer.memory_bytes, offer.product) == (192 * GIB, "AMD_Instinct_MI300X_OAM")
