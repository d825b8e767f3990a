"""The line that a reader looks for first; every number in it is one that the plan can be held to."""

import re
from dataclasses import replace

from bitshift_core.fit.headline import of_engine
from bitshift_core.fit.plan import plan_release
from tests.bitshift_core.fit.builders import A100, H100, T4, a_cpu_need, a_cpu_node, a_gpu_node, a_need, constants

SMALL = H100 | {"nvidia.com/gpu.memory": "46068"}


def plan(need, node):
    return plan_release(need, [node], constants())


def test_a_shortage_says_what_fits_what_is_missing_and_every_way_out():
    need, node = a_need(concurrent_sequences=128), a_gpu_node(labels=SMALL)
    line = plan(need, node).headline

    found = re.fullmatch(
        r"Fits (\d+) sequences at 8,192 tokens; [\d.]+ GiB missing for 128; ways out: TP (\d+), ([\d,]+) tokens\.", line
    )
    assert found, line
    sequences, gpus, context = (int(each.replace(",", "")) for each in found.groups())
    for change in ({"concurrent_sequences": sequences}, {"gpus_per_replica": gpus}, {"context_tokens": context}):
        assert plan(replace(need, **change), node).verdict == "Fits"


def test_a_smaller_cache_is_named_as_what_it_is():
    assert "KV fp8" in plan(a_need(concurrent_sequences=30), a_gpu_node(labels=SMALL)).headline


def test_gpus_of_several_stages_are_not_called_a_split_of_tensors():
    need = a_need(concurrent_sequences=256, gpus_per_replica=2, pipeline_stages=2)

    assert re.search(r"ways out: \d GPUs", plan(need, a_gpu_node(labels=SMALL)).headline)


def test_what_nothing_helps_needs_fewer_bits():
    line = plan(a_need(), a_gpu_node(labels=T4, count=1, free=1)).headline

    assert line.startswith("Fits no sequence at 8,192 tokens;")
    assert line.endswith("missing for 16; ways out: fewer bits.")


def test_room_says_how_many_more_sequences_and_how_much_more_context_fit():
    need, node = a_need(), a_gpu_node()
    line = plan(need, node).headline
    sequences = int(re.search(r"Fits (\d+) sequences at 8,192 tokens; 16 were asked for", line)[1])
    context = int(re.search(r"could have ([\d,]+) tokens each", line)[1].replace(",", ""))

    assert plan(replace(need, concurrent_sequences=sequences), node).verdict == "Fits"
    assert plan(replace(need, context_tokens=context), node).verdict == "Fits"
    assert plan(replace(need, context_tokens=context + 256), node).verdict == "DoesNotFit"


def test_no_more_context_is_promised_than_the_model_was_trained_for():
    assert "could have 8,192 tokens each" in plan(a_cpu_need(), a_cpu_node()).headline
    assert plan(a_cpu_need(context_tokens=8192, concurrent_sequences=1), a_cpu_node()).headline.endswith("asked for.")


def test_what_the_engine_will_make_of_a_card_is_told_with_its_band():
    need = a_need()
    held = plan(need, a_gpu_node(labels=A100)).held
    said = of_engine(need, held)

    low, high = (int(each.replace(",", "")) for each in re.search(r"\(([\d,]+) to ([\d,]+)\)", said).groups())
    assert low <= held.tokens.likely <= high
    assert f"surely {held.sequences} sequences of 8,192" in said


def test_llamacpp_takes_no_pool_by_itself():
    assert plan(a_cpu_need(), a_cpu_node()).held is None


def test_a_split_that_heads_do_not_divide_into_is_refused_however_large_the_card():
    fit = plan(a_need(gpus_per_replica=3), a_gpu_node())

    assert (fit.verdict, fit.reason) == ("DoesNotFit", "DoesNotDivide")
    assert "32 attention heads cannot be split over 3 GPUs" in fit.message
