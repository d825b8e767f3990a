"""Where a release may go: kinds of GPUs that differ, and what pods carry so that the scheduler keeps to it."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitshift_core.fit.affinity import admits
from bitshift_core.fit.fleet import fleet_of
from bitshift_core.fit.offers import Offer
from bitshift_core.fit.placement import Holder, Taint
from bitshift_core.fit.plan import plan_release
from bitshift_core.fit.units import GIB, MIB
from tests.bitshift_core.fit.builders import (
    A100,
    H100,
    T4,
    a_cpu_node,
    a_gpu_node,
    a_need,
    constants,
    kernels,
    smollm,
    some_facts,
)
from tests.examples import examples

V100 = {"nvidia.com/gpu.memory": "32768", "nvidia.com/gpu.product": "Tesla-V100-SXM2-32GB"}
L4 = {"nvidia.com/gpu.memory": "23034", "nvidia.com/gpu.product": "NVIDIA-L4"}
RTX5090 = {"nvidia.com/gpu.memory": "32607", "nvidia.com/gpu.product": "NVIDIA-GeForce-RTX-5090"}
B200 = {"nvidia.com/gpu.memory": "183359", "nvidia.com/gpu.product": "NVIDIA-B200"}
MI300X = {"amd.com/gpu.vram": "192G", "amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"}
MI210 = {"amd.com/gpu.vram": "64G", "amd.com/gpu.product-name": "AMD_Instinct_MI210"}
CAPABILITIES = {"V100": "7.0", "T4": "7.5", "A100": "8.0", "L4": "8.9", "H100": "9.0", "5090": "12.0", "B200": "10.0"}


def plan(need, *nodes, **more):
    return plan_release(need, nodes, constants(), kernels=kernels(), **more)


def small(scheme="awq", **change):
    """A release of a few GiB, which fits every card here: what decides is anything but memory."""
    facts = some_facts(scheme=scheme, tensors=some_facts().tensors[:1])
    change = {"concurrent_sequences": 1, "context_tokens": 1024, "dtype": "half"} | change
    return a_need(facts=facts, engine_version="0.30.0", **change)


def an_amd_node(name, labels, *, count=8, free=8):
    offer = Offer("amd.com/gpu", count, free, int(labels["amd.com/gpu.vram"][:-1]) * GIB,
                  labels["amd.com/gpu.product-name"], memory_label="amd.com/gpu.vram",
                  product_label="amd.com/gpu.product-name")  # fmt: skip
    return replace(a_cpu_node(name, memory_bytes=512 * GIB, labels=labels), other_offers=(offer,))


def terms(fit):
    return fit.affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]


def admitted(fit, *nodes):
    """The nodes that the scheduler would let a pod with the fit's affinity onto."""
    if fit.affinity is None:
        return {node.name for node in nodes}
    named = {field["values"][0] for term in terms(fit) for field in term.get("matchFields", ())}
    expressions = [term["matchExpressions"] for term in terms(fit) if "matchExpressions" in term]
    return named | {node.name for node in nodes for each in expressions if admits(each, node.labels)}


def test_a_rung_without_a_kernel_anywhere_is_refused_with_numbers_and_its_source():
    fit = plan(small("compressed-tensors/w8a8"), a_gpu_node(labels=RTX5090))

    assert (fit.verdict, fit.reason) == ("DoesNotFit", "NoKernel")
    assert "compute capability 12.0 (NVIDIA-GeForce-RTX-5090): it has some from compute capability 7.5" in fit.message
    assert "issue 54311" in fit.message


def test_cards_without_a_kernel_are_left_out_though_they_have_the_memory():
    nodes = (a_gpu_node("v", labels=V100), a_gpu_node("l", labels=L4))
    fit = plan(small("awq"), *nodes)

    assert (fit.verdict, fit.node_names) == ("Fits", ("l",))
    assert admitted(fit, *nodes) == {"l"}


def test_a_bound_on_the_generation_lets_a_newer_card_qualify_later():
    majors = [
        a_gpu_node("v", labels=V100 | {"nvidia.com/gpu.compute.major": "7", "nvidia.com/gpu.compute.minor": "0"}),
        a_gpu_node("l", labels=L4 | {"nvidia.com/gpu.compute.major": "8", "nvidia.com/gpu.compute.minor": "9"}),
    ]

    assert terms(plan(small("awq"), *majors))[0]["matchExpressions"][1] == {
        "key": "nvidia.com/gpu.compute.major",
        "operator": "Gt",
        "values": ["7"],
    }


def test_a_slower_kernel_fits_and_says_its_name():
    fit = plan(small("fp8"), a_gpu_node(labels=A100))

    assert (fit.verdict, fit.kernels[0].runs, fit.kernels[0].name) == ("Fits", "fallback", "Marlin FP8")
    assert "Kernel: Marlin FP8. vllm 0.30.0 runs the slower path Marlin FP8" in fit.message


def test_a_gpu_that_is_shared_in_time_is_never_planned_on():
    shared = a_gpu_node("s", labels=H100 | {"nvidia.com/gpu.sharing-strategy": "time-slicing"})
    own = a_gpu_node("h")

    assert plan(small(), shared).reason == "SharedGPUs"
    assert "s shares its GPUs in time" in plan(small(), shared).message
    assert admitted(plan(small(), shared, own), shared, own) == {"h"}


def test_a_slice_is_asked_for_by_its_own_name_where_it_is_the_smallest_that_holds():
    labels = H100 | {"nvidia.com/mig-3g.40gb.memory": "40448"}
    node = replace(
        a_gpu_node("h", labels=labels),
        other_offers=(
            Offer("nvidia.com/mig-3g.40gb", 2, 2, 40_448 * MIB, "NVIDIA-H100-80GB-HBM3-MIG-3g.40gb", is_slice=True,
                  memory_label="nvidia.com/mig-3g.40gb.memory"),
        ),
    )  # fmt: skip
    fit = plan(small(), node)

    assert (fit.verdict, fit.resource) == ("Fits", "nvidia.com/mig-3g.40gb")
    assert terms(fit)[0]["matchExpressions"][0]["key"] == "nvidia.com/mig-3g.40gb.memory"
    assert plan(small(gpus_per_replica=2), node).resource == "nvidia.com/gpu"  # nothing is split over slices


def test_amd_cards_are_planned_under_their_own_name_and_told_apart_by_product():
    nodes = an_amd_node("new", MI300X), an_amd_node("old", MI210)
    fit = plan(small("fp8"), *nodes)

    assert (fit.verdict, fit.resource, fit.node_names) == ("Fits", "amd.com/gpu", ("new",))
    assert admitted(fit, *nodes) == {"new"}
    assert plan(small("fp8"), nodes[1]).reason == "NoKernel"


def test_devices_that_are_claimed_carry_a_claim_and_no_affinity():
    offer = Offer("gpu.nvidia.com", 8, 8, 81_559 * MIB, "NVIDIA H100 80GB HBM3", claim_driver="gpu.nvidia.com",
                  capability=(9, 0))  # fmt: skip
    fit = plan(small(gpus_per_replica=2), replace(a_cpu_node("d"), other_offers=(offer,)))

    assert (fit.verdict, fit.resource, fit.affinity) == ("Fits", "gpu.nvidia.com", None)
    assert fit.claim["devices"]["requests"][0]["exactly"]["count"] == 2
    assert fit.kernels[0].name == "Marlin"


def test_pods_carry_the_tolerations_that_the_plan_counted_on():
    taints = (Taint("nvidia.com/gpu", "present", "NoSchedule"), Taint("team", "a", "NoSchedule"))
    node = replace(a_gpu_node(), taints=taints)
    need = small(tolerations=({"key": "team", "value": "a"},))

    assert plan(small(), node).verdict == "DoesNotFit"
    assert plan(need, node).verdict == "Fits"
    assert plan(need, node).tolerations == (
        {"key": "team", "value": "a"},
        {"key": "nvidia.com/gpu", "operator": "Exists"},
        {"key": "amd.com/gpu", "operator": "Exists"},
    )


def test_waiting_says_how_many_gpus_are_missing_and_who_holds_them():
    holders = (Holder("team/train-0", "nvidia.com/gpu", 6), Holder("team/chat-0", "nvidia.com/gpu", 1))
    fit = plan(small(gpus_per_replica=4), replace(a_gpu_node(free=1), holders=holders))

    assert fit.verdict == "Waiting"
    assert "4 GPUs are missing: team/train-0 holds 6 on gpu-1; team/chat-0 holds 1 on gpu-1. " in fit.message


def test_a_cluster_of_pools_without_gpu_nodes_waits_for_one_to_scale_from_zero():
    pooled = a_cpu_node(labels={"karpenter.sh/nodepool": "general"})

    assert (plan(small(), pooled).verdict, plan(small(), pooled).reason) == ("Waiting", "NoSuchNodeYet")
    assert plan(small(), a_cpu_node()).reason == "NoGPUNodes"


def test_a_fit_says_how_many_sequences_there_would_be_room_for():
    fit = plan(a_need(concurrent_sequences=4), a_gpu_node())

    assert fit.sequences_held > 4
    assert f"There {fit.sequences_held} sequences of 8,192 tokens would fit." in fit.message
    assert plan(a_need(concurrent_sequences=fit.sequences_held), a_gpu_node()).verdict == "Fits"
    assert plan(a_need(concurrent_sequences=fit.sequences_held + 1), a_gpu_node()).verdict == "DoesNotFit"


def test_a_smaller_cache_is_a_way_out_where_it_has_a_kernel():
    need = a_need(concurrent_sequences=60, engine_version="0.19.0")

    assert "`serving.kvCacheDtype` fp8" in plan(need, a_gpu_node()).message
    tight = replace(need, concurrent_sequences=14, engine_version="0.30.0", dtype="half")
    v100 = plan(tight, a_gpu_node(labels=V100))
    assert v100.reason == "InsufficientGPUMemory"
    assert "fp8" not in v100.message


def test_more_gpus_than_a_node_has_would_span_nodes_and_says_so():
    assert (
        "With `serving.nodesPerReplica` 2 it would have 8 GPUs on each of 2 nodes"
        in plan(a_need(gpus_per_replica=16), a_gpu_node()).message
    )


def test_the_pods_of_a_replica_may_lie_on_different_nodes_but_a_pod_may_not():
    need = small(gpus_per_replica=8, pipeline_stages=2, nodes_per_replica=2)

    assert plan(need, a_gpu_node("a", count=4, free=4), a_gpu_node("b", count=4, free=4)).verdict == "Fits"
    assert plan(replace(need, nodes_per_replica=1), a_gpu_node(count=4, free=4)).reason == "TooFewGPUs"
    assert plan(need, a_gpu_node(count=4, free=4)).reason == "TooFewNodes"


def labelled(labels, capability):
    major, minor = capability.split(".")
    return labels | {"nvidia.com/gpu.compute.major": major, "nvidia.com/gpu.compute.minor": minor}


CARDS = [V100, T4, A100, L4, H100, RTX5090, B200]
SHARED = [card | {"nvidia.com/gpu.sharing-strategy": "time-slicing"} for card in CARDS[:3]]
LABELS = CARDS + [labelled(card, each) for card, each in zip(CARDS, CAPABILITIES.values(), strict=True)] + SHARED
NODES = st.lists(
    st.builds(
        lambda labels, count, held: a_gpu_node(labels=labels, count=count, free=max(0, count - held)),
        st.sampled_from(LABELS),
        st.integers(1, 8),
        st.integers(0, 8),
    ),
    max_size=8,
).map(lambda nodes: [replace(node, name=f"n{index}") for index, node in enumerate(nodes)])
NEEDS = st.builds(
    small,
    st.sampled_from(["awq", "fp8", "compressed-tensors/w8a8", "modelopt/nvfp4", "gptq"]),
    context_tokens=st.sampled_from([1024, 8192, 65_536]),
    concurrent_sequences=st.sampled_from([1, 16, 64]),
    gpus_per_replica=st.sampled_from([1, 2, 4]),
    replicas=st.integers(1, 6),
)


@settings(max_examples=examples(150))
@given(NEEDS, NODES)
def test_the_affinity_admits_every_node_that_was_named_and_no_card_that_does_not_fit(need, nodes):
    fit = plan(need, *nodes)
    if fit.verdict == "DoesNotFit":
        return
    alone = {node.name for node in nodes if plan(replace(need, gpus_per_replica=1, replicas=1), node).affinity}
    fitting = {node.name for node in nodes if plan(replace(need, replicas=1), node).affinity}

    assert set(fit.node_names) <= admitted(fit, *nodes)
    assert fitting <= admitted(fit, *nodes)
    too_small = {node.name for node in nodes if node.name not in alone}
    enough_gpus = {node.name for node in nodes if node.gpu_count >= need.gpus_per_replica}
    if need.gpus_per_replica == 1:
        assert not admitted(fit, *nodes) & too_small & enough_gpus


@settings(max_examples=examples(150))
@given(NEEDS, NODES)
def test_never_more_replicas_are_seated_than_there_are_gpus(need, nodes):
    fit = plan(need, *nodes)
    named = [node for node in nodes if node.name in fit.node_names]

    if fit.verdict == "Fits":
        assert sum(node.gpu_free for node in named) >= need.replicas * need.gpus_per_replica
        assert all(node.gpu_free >= need.gpus_per_replica for node in named)
    if fit.verdict == "Waiting" and fit.node_names:
        assert sum(node.gpu_count for node in named) >= need.replicas * need.gpus_per_replica


@settings(max_examples=examples(100))
@given(NEEDS, NODES, st.integers(0, 7))
def test_another_node_or_another_free_gpu_never_makes_a_verdict_worse(need, nodes, index):
    order = ("DoesNotFit", "Waiting", "Fits")
    before = order.index(plan(need, *nodes).verdict)

    assert order.index(plan(need, *nodes, a_gpu_node("more")).verdict) >= before
    freed = [replace(node, gpu_free=node.gpu_count) if at == index else node for at, node in enumerate(nodes)]
    assert order.index(plan(need, *freed).verdict) >= before


@settings(max_examples=examples(100))
@given(NEEDS, st.integers(12_000, 90_000), st.integers(0, 60_000))
def test_more_memory_of_the_same_card_never_turns_a_fit_into_none(need, mebibytes, more):
    """Below the size from which vLLM batches more by itself."""
    less, larger = (A100 | {"nvidia.com/gpu.memory": str(size)} for size in (mebibytes, mebibytes + more))

    if plan(need, a_gpu_node(labels=less)).verdict == "Fits":
        assert plan(need, a_gpu_node(labels=larger)).verdict == "Fits"


@pytest.mark.parametrize("ready", [True, False])
def test_nodes_that_are_alike_are_one_kind(ready):
    nodes = [replace(a_gpu_node(f"n{index}", free=index % 9), ready=ready) for index in range(100)]

    assert len([kind for kind in fleet_of(nodes).kinds if kind.offer]) == ready


def a_labelled_host(name, *instructions, **change):
    labels = {f"feature.node.kubernetes.io/cpu-cpuid.{each}": "true" for each in instructions}
    return a_cpu_node(name, memory_bytes=64 * GIB, labels=labels, **change)


def four_bits_on_hosts():
    return a_need(
        facts=smollm(format="safetensors", scheme="compressed-tensors/w4a16"), engine_version="0.32.0", context_tokens=1024,
        concurrent_sequences=4, gpus_per_replica=0, kv_cache_bytes=GIB,
    )  # fmt: skip


def test_hosts_without_the_instructions_of_a_kernel_are_kept_out_by_their_labels():
    old, new = a_labelled_host("old", "AVX", "AVX2"), a_labelled_host("new", "AVX", "AVX2", "AVX512F")

    fit = plan(four_bits_on_hosts(), old, new)

    assert (fit.verdict, fit.node_names) == ("Fits", ("new",))
    (term,) = terms(fit)
    assert term["matchExpressions"] == [
        {"key": "feature.node.kubernetes.io/cpu-cpuid.AVX512F", "operator": "In", "values": ["true"]}
    ]


def test_where_every_host_will_do_pods_carry_nothing():
    assert plan(four_bits_on_hosts(), a_labelled_host("new", "AVX", "AVX512F")).affinity is None


def test_hosts_that_all_lack_an_instruction_are_refused_before_a_pod_starts():
    fit = plan(four_bits_on_hosts(), a_labelled_host("old", "AVX", "AVX2"))

    assert (fit.verdict, fit.reason) == ("DoesNotFit", "NoKernel")


def test_a_cache_that_is_bounded_holds_no_more_sequences_than_the_bound_does():
    fit = plan(four_bits_on_hosts(), a_labelled_host("new", "AVX", "AVX512F"))

    assert 4 < fit.sequences_held < 64
