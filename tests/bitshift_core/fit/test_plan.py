"""The verdict a user reads: what fits, what waits, what would make it fit."""

import re
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from bitshift_core.fit.plan import plan_release
from bitshift_core.fit.units import GIB, MIB
from tests.bitshift_core.fit.builders import (
    A100,
    H100,
    T4,
    a_cpu_need,
    a_cpu_node,
    a_gpu_node,
    a_need,
    constants,
    kernels,
    smollm,
)
from tests.examples import examples


def plan(need, *nodes):
    return plan_release(need, nodes, constants(), kernels=kernels())


def terms(fit):
    required = fit.affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return required["nodeSelectorTerms"][0]["matchExpressions"][0]


def test_a_model_that_fits_names_the_nodes_and_the_sum():
    fit = plan(a_need(), a_gpu_node("a"), a_gpu_node("b", free=0))

    assert (fit.verdict, fit.reason, fit.node_names) == ("Fits", "Fits", ("a",))
    assert [item.name for item in fit.items] == ["weights", "kv-cache", "activations", "graphs", "other", "margin"]
    assert sum(item.bytes for item in fit.items) == fit.needed_bytes
    assert "GiB of GPU memory (weights 15.0 GiB" in fit.message


def test_gpus_that_are_taken_are_waited_for():
    fit = plan(a_need(), a_gpu_node("a", free=0))

    assert (fit.verdict, fit.reason, fit.node_names) == ("Waiting", "WaitsForRoom", ("a",))
    assert "0 of 1 replica fit beside what runs now" in fit.message


def test_all_replicas_count_not_the_first():
    two = a_need(replicas=2)

    assert plan(two, a_gpu_node(count=2, free=1)).verdict == "Waiting"
    assert plan(two, a_gpu_node("a", count=1, free=1), a_gpu_node("b", count=1, free=1)).verdict == "Fits"
    assert plan(two, a_gpu_node(count=1, free=1)).reason == "TooFewNodes"


def test_a_card_that_is_too_small_is_answered_with_what_would_fit():
    fit = plan(a_need(), a_gpu_node("t4", labels=T4))

    assert (fit.verdict, fit.reason) == ("DoesNotFit", "InsufficientGPUMemory")
    assert "t4 has the largest GPU and offers 14.7 GiB" in fit.message
    assert "GiB short" in fit.message
    assert fit.affinity is None


def test_every_way_out_is_true():
    need = a_need(concurrent_sequences=64)
    node = a_gpu_node(labels=H100 | {"nvidia.com/gpu.memory": "46068"})
    message = plan(need, node).message
    context = int(re.search(r"contextTokens` (\d+)", message)[1])
    sequences = int(re.search(r"concurrentSequences` (\d+)", message)[1])
    gpus = int(re.search(r"gpusPerReplica` (\d+)", message)[1])

    assert plan(replace(need, context_tokens=context), node).verdict == "Fits"
    assert plan(replace(need, context_tokens=context + 256), node).verdict == "DoesNotFit"
    assert plan(replace(need, concurrent_sequences=sequences), node).verdict == "Fits"
    assert plan(replace(need, concurrent_sequences=sequences + 1), node).verdict == "DoesNotFit"
    assert plan(replace(need, gpus_per_replica=gpus), node).verdict == "Fits"


def test_no_way_out_is_invented():
    fit = plan(a_need(), a_gpu_node(labels=T4, count=1, free=1))

    assert "would fit with" not in fit.message
    assert "fewer bits" in fit.message


def test_pods_carry_the_smallest_card_that_fits_not_todays():
    fit = plan(a_need(), a_gpu_node("a"), a_gpu_node("t", labels=T4))

    assert terms(fit)["operator"] == "Gt"
    assert 15_360 < int(terms(fit)["values"][0]) < 81_559


def test_labels_are_listed_where_a_larger_card_needs_more_than_it_has():
    """vLLM batches four times as much on an H100 as on an A100 of the same size."""
    wide = smollm().model_copy(update={"intermediate_size": 1_800_000})
    fit = plan(
        a_need(facts=wide, concurrent_sequences=1),
        a_gpu_node("a", labels=A100),
        a_gpu_node("h", labels=H100 | {"nvidia.com/gpu.memory": "82000"}),
    )

    assert (fit.verdict, fit.node_names) == ("Fits", ("a",))
    assert terms(fit) == {"key": "nvidia.com/gpu.memory", "operator": "In", "values": ["81920"]}


def test_gpu_nodes_without_labels_ask_for_them():
    assert plan(a_need(), a_gpu_node(labels={})).reason == "GPUMemoryUnknown"


def test_more_gpus_than_any_node_has():
    assert plan(a_need(gpus_per_replica=16), a_gpu_node()).reason == "TooFewGPUs"


def test_without_gpu_nodes_the_answer_depends_on_a_pool_that_may_come():
    assert plan(a_need(), a_cpu_node()).reason == "NoGPUNodes"
    fit = plan(a_need(node_selector={"pool": "gpu"}), a_cpu_node())
    assert (fit.verdict, fit.reason) == ("Waiting", "NoSuchNodeYet")


def test_a_cpu_rung_is_sized_against_the_hosts_memory():
    fit = plan(a_cpu_need(), a_cpu_node("roomy"), a_cpu_node("full", requested_bytes=4 * GIB))

    assert (fit.verdict, fit.node_names, fit.affinity) == ("Fits", ("roomy",), None)
    assert 407 * MIB < fit.needed_bytes < 560 * MIB  # 407 MiB were measured with every slot filled


def test_a_cpu_rung_waits_for_memory_that_others_use():
    assert plan(a_cpu_need(), a_cpu_node(requested_bytes=4 * GIB)).verdict == "Waiting"


def test_a_cpu_rung_that_no_node_holds_names_the_context_that_fits():
    fit = plan(a_cpu_need(context_tokens=8192, concurrent_sequences=32), a_cpu_node("n"))

    assert fit.reason == "InsufficientMemory"
    assert "n is the largest node and offers 4.00 GiB" in fit.message
    assert "`serving.contextTokens`" in fit.message


def test_vllm_on_a_host_must_be_told_how_much_its_cache_may_have():
    asked = {"runtime": "vllm", "engine_version": "0.32.0", "facts": smollm(format="safetensors", scheme="BF16")}
    unbounded = plan(a_cpu_need(**asked), a_cpu_node(memory_bytes=32 * GIB))
    enough = int(unbounded.message.partition("--kv-cache-memory-bytes ")[2].partition("`")[0])
    bounded = plan(a_cpu_need(**asked, kv_cache_bytes=enough), a_cpu_node(memory_bytes=32 * GIB))

    assert (unbounded.verdict, unbounded.reason) == ("DoesNotFit", "UnboundedKVCache")
    assert bounded.verdict == "Fits"
    assert next(item.bytes for item in bounded.items if item.name == "kv-cache") == enough


def a_bounded_plan(*, sequences, kv_cache_bytes):
    facts = smollm(format="safetensors", scheme="BF16")
    asked = {"runtime": "vllm", "engine_version": "0.32.0", "facts": facts, "context_tokens": 1024}
    need = a_cpu_need(**asked, concurrent_sequences=sequences, kv_cache_bytes=kv_cache_bytes)
    return plan(need, a_cpu_node(memory_bytes=32 * GIB))


def test_sequences_that_a_bounded_cache_does_not_hold_take_turns_and_that_is_said():
    few, many = (a_bounded_plan(sequences=count, kv_cache_bytes=256 * MIB) for count in (11, 64))

    assert "take turns" not in few.message + few.headline
    assert "the 0.25 GiB that its KV cache may have hold 11: the others take turns." in many.message
    assert many.headline == "Fits 11 sequences at 1,024 tokens; 64 were asked for, and take turns."
    assert many.sequences_held == 11
    assert next(item.bytes for item in many.items if item.name == "kv-cache") == 256 * MIB


def test_a_cache_that_holds_no_sequence_is_refused_with_what_would():
    fit = a_bounded_plan(sequences=4, kv_cache_bytes=16 * MIB)

    assert (fit.verdict, fit.reason) == ("DoesNotFit", "KVCacheTooSmall")
    enough = int(fit.message.rpartition("takes ")[2].partition(":")[0])
    assert a_bounded_plan(sequences=4, kv_cache_bytes=enough).verdict == "Fits"
    assert a_bounded_plan(sequences=4, kv_cache_bytes=enough - 1).verdict == "DoesNotFit"


def test_a_cache_larger_than_the_node_is_refused_with_one_that_fits():
    fit = a_bounded_plan(sequences=4, kv_cache_bytes=64 * GIB)

    assert (fit.verdict, fit.reason) == ("DoesNotFit", "InsufficientMemory")
    less = int(fit.message.partition("`--kv-cache-memory-bytes` ")[2].partition(" ")[0])
    assert a_bounded_plan(sequences=4, kv_cache_bytes=less).verdict == "Fits"


def test_cores_count_too():
    assert plan(a_cpu_need(cpu_millis=4_000), a_cpu_node()).reason == "InsufficientCPU"
    assert plan(a_cpu_need(cpu_millis=1_500), a_cpu_node(cpu_requested_millis=1_000)).verdict == "Waiting"


def test_an_unknown_version_costs_room_and_says_so():
    known, unknown = plan(a_cpu_need(), a_cpu_node()), plan(a_cpu_need(engine_version="latest"), a_cpu_node())

    assert unknown.needed_bytes > known.needed_bytes
    assert "No version of llamacpp is known by 'latest'" in unknown.message


def test_an_fp8_cache_holds_twice_the_sequences():
    need = a_need(concurrent_sequences=60, engine_version="0.19.0")

    assert plan(need, a_gpu_node()).verdict == "DoesNotFit"
    assert plan(replace(need, kv_cache_dtype="fp8"), a_gpu_node()).verdict == "Fits"


NEEDS = st.builds(
    a_need,
    context_tokens=st.integers(64, 200_000),
    concurrent_sequences=st.integers(1, 512),
    gpus_per_replica=st.sampled_from([1, 2, 4, 8]),
    engine_version=st.sampled_from(["0.8", "0.12", "0.19", "0.25", ""]),
)
CPU_NEEDS = st.builds(a_cpu_need, context_tokens=st.integers(64, 50_000), concurrent_sequences=st.integers(1, 64))


@settings(max_examples=examples(60))
@given(st.one_of(NEEDS, CPU_NEEDS), st.integers(1, 50_000), st.integers(1, 64))
def test_asking_for_more_never_needs_less(need, tokens, sequences):
    node = a_gpu_node() if need.gpus_per_replica else a_cpu_node()
    less = plan(need, node)
    longer = plan(replace(need, context_tokens=need.context_tokens + tokens), node)
    more = plan(replace(need, concurrent_sequences=need.concurrent_sequences + sequences), node)

    assert longer.needed_bytes >= less.needed_bytes
    assert more.needed_bytes >= less.needed_bytes


@settings(max_examples=examples(60))
@given(NEEDS, st.integers(16_000, 200_000), st.integers(0, 8))
def test_every_answer_has_a_reason_a_sentence_and_a_sum(need, label, free):
    fit = plan(need, a_gpu_node(labels=T4 | {"nvidia.com/gpu.memory": str(label)}, free=free))

    assert fit.reason and fit.message and len(fit.message) < 1_500
    assert sum(item.bytes for item in fit.items) == fit.needed_bytes
    assert bool(fit.node_names) == (fit.verdict != "DoesNotFit")
