"""Which kernel runs what, where, since which version; every line below is what an engine really did."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitshift_core.artifact.schemes import scheme_of
from bitshift_core.fit.accelerators import CPU, Accelerator, amd, by_product, cpu, nvidia
from bitshift_core.fit.kernels import KernelTable, worst
from tests.bitshift_core.fit.builders import a_cpu_need, a_need, kernels, smollm, some_facts, tensors

V100, T4, A100, A10, ADA = ((7, 0), (7, 5), (8, 0), (8, 6), (8, 9))
H100, B200, RTX5090 = ((9, 0), (10, 0), (12, 0))
VERSIONS = ["0.6.3", "0.9.2", "0.11.0", "0.13.0", "0.14.0", "0.15.1", "0.19.0", "0.24.0", "0.30.0"]
CAPABILITIES = [V100, T4, A100, A10, ADA, H100, B200, (10, 3), RTX5090, (12, 1)]


def run(scheme, version, capability=None, *, on=None, **change):
    need = a_need(facts=some_facts(scheme=scheme, tensors=halves()), engine_version=version, dtype="half", **change)
    return kernels().support(need, on or Accelerator("cuda", capability, product="a-card"))


def halves():
    return tuple(group.model_copy(update={"dtype": "F16"}) for group in tensors(block=1, embedding=1))


@pytest.mark.parametrize(
    ("scheme", "version", "capability", "runs", "name"),
    [
        ("awq", "0.19.0", H100, "native", "Marlin"),
        ("awq", "0.19.0", T4, "native", "Marlin"),
        ("awq", "0.13.0", T4, "fallback", "awq"),
        ("awq", "0.30.0", V100, "none", ""),
        ("gptq", "0.19.0", H100, "native", "Machete"),
        ("gptq", "0.19.0", A10, "native", "Marlin"),
        ("gptq", "0.11.0", V100, "fallback", "Exllama"),
        ("compressed-tensors/w4a16", "0.11.0", T4, "none", ""),
        ("compressed-tensors/w4a16", "0.13.0", T4, "fallback", "Exllama"),
        ("compressed-tensors/w4a16", "0.14.0", T4, "native", "Marlin"),
        ("compressed-tensors/w8a8", "0.30.0", A100, "native", "CUTLASS INT8"),
        ("compressed-tensors/w8a8", "0.30.0", RTX5090, "none", ""),
        ("fp8", "0.30.0", ADA, "native", "CUTLASS FP8"),
        ("fp8", "0.30.0", A100, "fallback", "Marlin FP8"),
        ("fp8", "0.13.0", T4, "none", ""),
        ("fp8", "0.14.0", T4, "fallback", "Marlin FP8"),
        ("compressed-tensors/fp8", "0.14.0", T4, "none", ""),
        ("fp8-block", "0.24.0", ADA, "native", "Triton block FP8"),
        ("fp8-block", "0.29.0", ADA, "fallback", "Marlin FP8"),
        ("fp8-block", "0.18.0", A100, "unknown", "Triton block FP8"),
        ("fp8-block", "0.30.0", (12, 1), "unknown", "CUTLASS block FP8"),
        ("compressed-tensors/nvfp4", "0.30.0", B200, "native", "FlashInfer or CUTLASS NVFP4"),
        ("compressed-tensors/nvfp4", "0.30.0", RTX5090, "native", "FlashInfer or CUTLASS NVFP4"),
        ("compressed-tensors/nvfp4", "0.30.0", H100, "fallback", "Marlin FP4"),
        ("modelopt/nvfp4", "0.30.0", V100, "none", ""),
        ("mxfp4", "0.30.0", H100, "native", "Triton MXFP4"),
        ("mxfp4", "0.12.0", H100, "fallback", "Marlin MXFP4"),
        ("mxfp4", "0.12.0", T4, "none", ""),
        ("bitsandbytes/nf4", "0.19.0", A100, "fallback", "bitsandbytes"),
        ("BF16", "0.19.0", (6, 1), "none", ""),
    ],
)
def test_the_kernel_of_a_scheme_on_a_card_since_a_version(scheme, version, capability, runs, name):
    weights = run(scheme, version, capability)[0]

    assert (weights.runs, weights.name) == (runs, name)


@pytest.mark.parametrize(
    ("scheme", "family", "runs"),
    [
        ("fp8", "gfx942", "native"),
        ("fp8", "gfx90a", "none"),
        ("fp8", "gfx1100", "none"),
        ("fp8", "gfx1201", "native"),
        ("awq", "gfx942", "fallback"),
        ("compressed-tensors/nvfp4", "gfx942", "emulation"),
        ("modelopt/nvfp4", "gfx950", "none"),
        ("mxfp4", "gfx950", "native"),
        ("bitsandbytes/nf4", "gfx942", "unknown"),
    ],
)
def test_amd_cards_are_told_apart_by_their_instruction_set(scheme, family, runs):
    assert run(scheme, "0.30.0", on=Accelerator("rocm", family=family, product="an AMD"))[0].runs == runs


def test_on_a_cpu_integers_run_and_four_bit_floats_do_not():
    assert run("compressed-tensors/w8a8", "0.14.0", on=CPU)[0].runs == "native"
    assert run("modelopt/nvfp4", "0.19.0", on=CPU)[0].runs == "none"
    assert kernels().support(a_cpu_need(), CPU)[0].runs == "native"


@pytest.mark.parametrize(
    ("scheme", "runs"),
    [
        ("BF16", "native"),
        ("gptq-int8", "none"),
        ("compressed-tensors/w8a16", "none"),
        ("compressed-tensors/w8a8", "native"),
        ("compressed-tensors/fp8", "fallback"),
        ("fp8", "none"),
        ("bitsandbytes/nf4", "none"),
        ("compressed-tensors/nvfp4a16", "none"),
    ],
)
def test_on_a_cpu_the_kernels_are_those_that_its_log_named(scheme, runs):
    assert run(scheme, "0.32.0", on=CPU)[0].runs == runs


@pytest.mark.parametrize("scheme", ["awq", "gptq", "compressed-tensors/w4a16"])
def test_on_a_cpu_four_bits_run_where_its_labels_tell_of_avx_512(scheme):
    (wide, *_), (narrow, *_), (silent, *_) = (
        run(scheme, "0.32.0", on=cpu({f"feature.node.kubernetes.io/cpu-cpuid.{each}": "true" for each in labels}))
        for labels in (("AVX", "AVX2", "AVX512F"), ("AVX", "AVX2"), ())
    )

    assert (wide.runs, narrow.runs, silent.runs) == ("native", "none", "unknown")
    assert "it has some for CPUs with AVX512F" in narrow.sentence
    assert "on CPUs with AVX512F alone, and no node has the labels" in silent.sentence


def test_a_cpu_that_is_no_x86_is_not_judged_by_what_x86_can_do():
    assert cpu({"feature.node.kubernetes.io/cpu-cpuid.ASIMD": "true"}).instructions is None


def test_a_refusal_cites_its_rule_its_source_and_where_it_would_run():
    (refused, *_) = run("compressed-tensors/w8a8", "0.30.0", RTX5090)

    assert refused.sentence == (
        "vllm 0.30.0 has no kernel for compressed-tensors/w8a8 weights on compute capability 12.0 (a-card): it has some "
        f"from compute capability 7.5 to below 10.0 (from 0.6; {refused.source})."
    )
    assert "issue 54311" in refused.source


def test_a_slower_path_is_named():
    assert run("fp8", "0.30.0", A100)[0].sentence == (
        "vllm 0.30.0 runs the slower path Marlin FP8 for fp8 weights on compute capability 8.0 (a-card): weights stay in "
        "8 bits, the work is done in 16."
    )


def test_capabilities_are_numbers():
    """As text, 10.0 would be less than 8.9, and 12.0 less than 9.0."""
    assert run("fp8", "0.30.0", (10, 0))[0].runs == run("fp8", "0.30.0", RTX5090)[0].runs == "native"


@pytest.mark.parametrize("tag", ["latest", "", "@sha256:0f"])
def test_a_version_that_is_not_known_is_said_and_passes_nothing_silently(tag):
    (guess, *_) = run("awq", tag, T4)

    assert (guess.runs, guess.name) == ("unknown", "Marlin")
    assert "No version of vllm is known" in guess.sentence
    assert run("awq", tag, V100)[0].runs == "none"  # no version ever did


def test_a_version_newer_than_the_rules_says_so():
    assert "newer than the kernels that were checked (up to 0.30)" in run("awq", "0.41.0", H100)[0].sentence
    assert run("awq", "0.30.0", H100)[0].sentence == ""


def test_a_version_older_than_the_rules_says_so():
    (kernel, *_) = run("mxfp4", "0.9.0", H100)

    assert (kernel.runs, kernel.sentence) == (
        "unknown",
        "Mxfp4 weights were not checked with vllm 0.9.0, only from 0.10.1 on.",
    )


@pytest.mark.parametrize("scheme", ["aqlm", "compressed-tensors/w3a16", "quip"])
def test_a_scheme_that_is_not_known_is_said(scheme):
    (kernel, *_) = run(scheme, "0.30.0", H100)

    assert kernel.runs == "unknown"
    assert f"No rule says which kernel of vllm 0.30.0 runs {scheme} weights" in kernel.sentence


def test_an_engine_that_is_not_known_is_said():
    (kernel,) = kernels().support(a_need(runtime="sglang"), Accelerator("cuda", H100))

    assert (kernel.runs, "kernels of sglang" in kernel.sentence) == ("unknown", True)
    assert KernelTable().support(a_need(), Accelerator("cuda", H100))[0].runs == "unknown"


def test_a_card_without_labels_is_said_to_be_unknown():
    (kernel, *_) = run("awq", "0.30.0", None)

    assert (kernel.runs, "no label that tells" in kernel.sentence) == ("unknown", True)


def test_bfloat16_that_is_asked_for_is_refused_below_8_with_the_way_out():
    kernel = kernels().support(a_need(dtype="bfloat16"), Accelerator("cuda", T4, product="Tesla-T4"))[-1]

    assert kernel.runs == "none"
    assert kernel.sentence.endswith("Way out: `--dtype half` in `serving.extraArgs`.")
    assert kernels().support(a_need(dtype="bfloat16"), Accelerator("cuda", A100))[-1].runs == "native"


def test_a_bfloat16_checkpoint_is_cast_below_8_since_vllm_0_9_2():
    on_t4 = Accelerator("cuda", T4, product="Tesla-T4")

    assert worst(kernels().support(a_need(engine_version="0.9.1"), on_t4)) == "none"
    assert worst(kernels().support(a_need(engine_version="0.9.2"), on_t4)) == "fallback"
    assert worst(kernels().support(a_need(engine_version="0.9.1", dtype="half"), on_t4)) == "native"


@pytest.mark.parametrize(
    ("dtype", "on", "runs"),
    [
        ("fp8", Accelerator("cuda", ADA), "native"),
        ("fp8", Accelerator("cuda", A10), "fallback"),
        ("fp8", Accelerator("cuda", V100), "none"),
        ("fp8_e5m2", Accelerator("cuda", A100), "native"),
        ("fp8", Accelerator("rocm", family="gfx90a"), "emulation"),
        ("fp8", CPU, "none"),
        ("nvfp4", Accelerator("cuda", B200), "native"),
        ("nvfp4", Accelerator("cuda", RTX5090), "none"),
        ("int8_per_token_head", Accelerator("cuda", H100), "unknown"),
    ],
)
def test_a_smaller_kv_cache_needs_kernels_of_its_own(dtype, on, runs):
    support = run("awq", "0.19.0", on=on, kv_cache_dtype=dtype)

    assert support[1].runs == runs


def test_llama_cpp_runs_every_gguf_and_is_slower_on_pascal_100():
    need = a_need(facts=smollm(scheme="Q4_K_M"), runtime="llamacpp", engine_version="b11669")

    assert worst(kernels().support(need, Accelerator("cuda", (6, 0)))) == "fallback"
    assert worst(kernels().support(need, Accelerator("cuda", H100))) == "native"
    assert worst(kernels().support(a_cpu_need(engine_version="latest"), CPU)) == "native"  # true of every version


@pytest.mark.parametrize(
    ("product", "told"),
    [
        ("Tesla-T4", "7.5"),
        ("NVIDIA-A10", "8.6"),
        ("NVIDIA-A10G", "8.6"),
        ("NVIDIA-A100-SXM4-40GB", "8.0"),
        ("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", "8.0"),
        ("NVIDIA-L4", "8.9"),
        ("NVIDIA-L40S", "8.9"),
        ("NVIDIA-RTX-A4000", "8.6"),
        ("NVIDIA-RTX-A3000", ""),
        ("NVIDIA-GeForce-RTX-4090", "8.9"),
        ("NVIDIA-H20", "9.0"),
        ("NVIDIA-H200", "9.0"),
        ("NVIDIA-GB200", "10.0"),
        ("NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition", "12.0"),
        ("AMD_Instinct_MI300X_OAM", "gfx942"),
        ("Quadro-K620", ""),
        ("", ""),
    ],
)
def test_a_products_name_tells_what_labels_do_not(product, told):
    assert by_product(product, kernels().products) == told


def test_labels_come_before_the_name_of_a_product():
    labels = {"nvidia.com/gpu.compute.major": "12", "nvidia.com/gpu.compute.minor": "0"}

    assert nvidia(labels, "NVIDIA-A100", kernels().products).capability == (12, 0)
    assert nvidia({}, "NVIDIA-A100", kernels().products).capability == (8, 0)
    assert nvidia({"nvidia.com/gpu.compute.major": "x"}, "NVIDIA-X", kernels().products).capability is None
    assert amd("AMD_Instinct_MI210", kernels().products).family == "gfx90a"


def test_every_scheme_that_a_checkpoint_can_name_has_a_rule_or_is_said_to_have_none():
    known = {scheme for rule in kernels().engines["vllm"].weights for scheme in rule.schemes}
    named = {
        scheme_of({"quant_method": "awq", "bits": 4}),
        scheme_of({"quant_method": "gptq", "bits": 4}),
        scheme_of({"quant_method": "gptq", "bits": 8}),
        scheme_of({"quant_method": "fp8"}),
        scheme_of({"quant_method": "fp8", "weight_block_size": [128, 128]}),
        scheme_of({"quant_method": "mxfp4"}),
        scheme_of({"quant_method": "bitsandbytes", "load_in_4bit": True}),
        scheme_of({"quant_method": "bitsandbytes"}),
        scheme_of({"quant_method": "modelopt", "quant_algo": "NVFP4"}),
        scheme_of({"quant_method": "modelopt", "quant_algo": "FP8"}),
    }

    assert named <= known


SCHEMES = sorted({scheme for rule in kernels().engines["vllm"].weights for scheme in rule.schemes})


@given(st.sampled_from(SCHEMES), st.sampled_from(VERSIONS), st.sampled_from(CAPABILITIES))
def test_every_answer_but_a_native_kernel_says_why_and_never_in_half_a_sentence(scheme, version, capability):
    for kernel in run(scheme, version, capability):
        assert (kernel.sentence == "") == (kernel.runs == "native")
        assert kernel.runs in ("none", "unknown") or kernel.name
        assert not kernel.sentence or re.fullmatch(r"\S.*[.]", kernel.sentence)


@given(st.sampled_from(SCHEMES), st.sampled_from(CAPABILITIES), st.integers(0, len(VERSIONS) - 2))
def test_no_newer_version_loses_a_card_that_an_older_one_served(scheme, capability, older):
    before, after = (run(scheme, version, capability)[0] for version in (VERSIONS[older], VERSIONS[older + 1]))

    assert before.runs not in ("native", "fallback") or after.runs != "none"


@pytest.mark.parametrize(
    ("method", "capability", "name"),
    [("fp8", A100, "Marlin FP8"), ("fp8", H100, "CUTLASS FP8"), ("bitsandbytes", H100, "bitsandbytes")],
)
def test_what_is_quantized_while_loading_runs_on_the_kernels_of_its_new_scheme(method, capability, name):
    assert run("BF16", "0.30.0", capability, quantization=method)[0].name == name


@pytest.mark.parametrize(
    ("scheme", "version", "on", "runs"),
    [
        ("modelopt/mxfp8", "0.19.0", Accelerator("cuda", B200), "native"),
        ("modelopt/mxfp8", "0.19.0", Accelerator("cuda", H100), "fallback"),
        ("modelopt/mxfp8", "0.30.0", Accelerator("cuda", V100), "none"),
        ("modelopt/mxfp8", "0.16.0", Accelerator("cuda", B200), "unknown"),
        ("compressed-tensors/mxfp8", "0.30.0", Accelerator("rocm", family="gfx950"), "native"),
        ("compressed-tensors/mxfp8", "0.30.0", Accelerator("rocm", family="gfx942"), "emulation"),
        ("compressed-tensors/mxfp4", "0.15.1", Accelerator("cuda", B200), "fallback"),
        ("compressed-tensors/mxfp4", "0.24.0", Accelerator("cuda", B200), "native"),
        ("compressed-tensors/mxfp4a16", "0.19.0", Accelerator("cuda", A100), "native"),
    ],
)
def test_microscaled_weights_run_where_they_were_seen_to(scheme, version, on, runs):
    assert run(scheme, version, on=on)[0].runs == runs
