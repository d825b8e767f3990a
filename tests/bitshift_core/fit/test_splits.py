"""Quantized matrices cut for several GPUs: splits that engines refused, and the numbers of the models they refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitshift_core.artifact.facts import LayerGroup, TensorGroup
from bitshift_core.fit.accelerators import Accelerator
from bitshift_core.fit.plan import plan_release
from bitshift_core.fit.splits import Cut, cuts_of, fewer_gpus, group_size_of, straddling, untiled
from tests.bitshift_core.fit.builders import A100, a_gpu_node, a_need, constants, kernels, some_facts

AMPERE = Accelerator("cuda", (8, 0), product="a-card")


def int4(weights, group, role="block"):
    parts = {"weight": ("I32", weights // 8), "scale": ("F16", weights // group)}
    return tuple(
        TensorGroup(role=role, part=part, dtype=dtype, count=1, elements=elements, bytes=elements * 4)
        for part, (dtype, elements) in parts.items()
    )


def a_model(width, *, heads=40, hidden=5120, group=128, scheme="awq", **change):
    """Return a dense model of that width; Qwen1.5-14B is 13696 wide."""
    facts = some_facts(
        scheme=scheme,
        hidden_size=hidden,
        intermediate_size=width,
        attention_heads=heads,
        attention=(LayerGroup(kind="full", layers=40, kv_heads=heads, key_dim=128, value_dim=128),),
        tensors=int4(1 << 30, group),
    )
    return facts.model_copy(update=change)


def experts(width, scheme, **change):
    return a_model(4096, experts=8, expert_intermediate_size=width, scheme=scheme, **change)


def kernel(facts, gpus, version="0.19.0", on=AMPERE):
    need = a_need(facts=facts, gpus_per_replica=gpus, engine_version=version, dtype="half")
    return kernels().support(need, on)


@pytest.mark.parametrize("group", [16, 32, 64, 128])
def test_the_group_is_told_from_packed_integers_and_their_scales(group):
    assert group_size_of(some_facts(scheme="gptq", tensors=int4(1 << 24, group)), "block") == group


def test_one_scale_for_a_column_is_no_group_that_could_straddle():
    assert group_size_of(some_facts(scheme="gptq", tensors=int4(1 << 24, 4096)), "block") == 0
    assert group_size_of(some_facts(), "block") == 0


@pytest.mark.parametrize("version", ["0.11.0", "0.30.0"])
def test_a_group_that_lies_on_two_gpus_is_refused_with_the_split_that_works(version):
    """Qwen1.5-14B-Chat-AWQ does not start on 2 or 4 GPUs: 13696 are 107 groups of 128 (vllm issue 2699)."""
    found = kernel(a_model(13_696), 2, version)[0]

    assert found.runs == "none"
    assert "6,848 inputs of the down projection on each of 2 GPUs are no whole groups of 128" in found.sentence
    assert "Way out: `serving.tensorParallel` 1." in found.sentence
    assert kernel(a_model(13_696), 1, version)[0].runs == "native"


def test_a_plan_refuses_such_a_split_before_a_pod_starts():
    fit = plan_release(a_need(facts=a_model(13_696), gpus_per_replica=2), [a_gpu_node(labels=A100)], constants(),
                       kernels=kernels())  # fmt: skip

    assert (fit.verdict, fit.reason) == ("DoesNotFit", "NoKernel")
    assert "no whole groups of 128" in fit.message


@pytest.mark.parametrize(
    ("scheme", "version", "runs"),
    [
        ("awq", "0.19.0", "fallback"),
        ("awq", "0.24.0", "native"),
        ("fp8", "0.19.0", "none"),
        ("fp8", "0.24.0", "fallback"),
    ],
)
def test_tiles_that_do_not_divide_are_slower_or_fail_until_marlin_pads_them(scheme, version, runs):
    found = kernel(a_model(4_640, group=32, scheme=scheme), 1, version)[0]

    assert found.runs == runs
    assert ("no whole tiles of Marlin's" in found.sentence) is (version == "0.19.0")


def test_other_kernels_than_marlins_have_no_such_tiles():
    hopper = Accelerator("cuda", (9, 0), product="a-card")

    assert kernel(a_model(4_640, scheme="fp8"), 1, on=hopper)[0].runs == "native"


def test_experts_have_kernels_of_their_own():
    assert [each.name for each in kernel(experts(1_536, "awq"), 2)][:2] == ["Marlin", "Marlin experts"]
    assert kernel(experts(1_536, "fp8"), 2)[1].runs == "fallback"


def test_narrow_experts_run_slower_or_fail_at_a_split_that_marlin_does_not_take():
    """Nemotron 3 Nano is 1856 wide: 464 on each of four GPUs (vllm pull request 36807)."""
    odd = experts(1_856, "modelopt/fp8", tensors=())
    int4_experts = experts(1_856, "awq", tensors=(*int4(1 << 30, 128), *int4(1 << 30, 32, "expert")))

    assert kernel(odd, 4)[1].runs == "none"
    assert kernel(odd, 4, "0.25.0")[1].runs == "fallback"
    assert kernel(int4_experts, 4)[1].name == "Triton WNA16 experts"


def test_whole_experts_are_not_cut():
    facts = experts(1_856, "awq", tensors=int4(1 << 30, 64, "expert"))
    split, whole = (a_need(facts=facts, gpus_per_replica=4, expert_parallel=each) for each in (False, True))

    assert straddling(split, "expert") and not straddling(whole, "expert")


WIDTHS = st.integers(1, 400).map(lambda count: 64 * count)


@given(WIDTHS, st.sampled_from([1, 2, 4, 8]), st.sampled_from([32, 64, 128]))
def test_the_way_out_of_a_straddling_group_straddles_no_more(width, gpus, group):
    need = a_need(facts=a_model(width, group=group), gpus_per_replica=gpus)
    torn = straddling(need, "block")
    if torn:
        out = fewer_gpus(need, *torn)
        assert out < gpus
        assert out == 1 or torn[0].of_inputs % (out * group) == 0


@given(st.integers(1, 4_096), st.integers(1, 4_096))
def test_a_part_of_128_by_128_steps_is_always_tiled(inputs, outputs):
    assert Cut("", 128 * inputs, 128 * outputs, 0).is_tiled


def test_parts_add_up_to_the_whole_matrix():
    need = a_need(facts=a_model(13_824), gpus_per_replica=4)

    assert all(cut.inputs * 4 == cut.of_inputs for cut in cuts_of(need, "block") if cut.of_inputs)
    assert untiled(need, "block") is None
