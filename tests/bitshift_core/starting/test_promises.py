import pytest

from bitshift_core.starting.promises import Promise, held, is_same_kernel
from bitshift_core.starting.reading import EngineReport

GIB = 1 << 30
PLANNED = Promise(weight_bytes=12 * GIB, whole_bytes=24 * GIB, kv_tokens=65_536, context_tokens=1_024, kernel="Marlin")
AS_PLANNED = EngineReport(model_bytes=12 * GIB, kv_tokens=70_000, kernels=("MarlinLinearKernel",))


def test_an_engine_that_is_as_planned_is_told_and_nothing_is_wrong():
    kept = held(PLANNED, AS_PLANNED)

    assert kept.broken == ()
    assert kept.sentence == ("The engine reports 12.0 GiB of weights; 70,000 KV tokens; kernel MarlinLinearKernel.")


def test_an_engine_that_tells_nothing_is_not_judged():
    assert held(PLANNED, EngineReport()).sentence == ""


@pytest.mark.parametrize(("gib", "off"), [(10.3, False), (13.7, False), (10.1, True), (14, True)])
def test_model_bytes_may_differ_by_the_widest_band_of_the_plan(gib, off):
    kept = held(PLANNED, AS_PLANNED.model_copy(update={"model_bytes": int(gib * GIB)}))

    assert bool(kept.broken) is off
    assert not off or "12.0 GiB of weights were planned" in kept.sentence


def test_a_small_model_may_be_off_by_padding():
    small = Promise(weight_bytes=100 << 20)

    assert held(small, EngineReport(model_bytes=300 << 20)).broken == ()


def test_buffers_of_all_devices_are_held_against_the_whole():
    whole = EngineReport(model_bytes=24 * GIB, is_whole=True)

    assert held(PLANNED, whole).broken == ()


def test_fewer_tokens_than_promised_say_how_many_sequences_still_fit():
    kept = held(PLANNED, AS_PLANNED.model_copy(update={"kv_tokens": 46_592}))

    assert "65,536 KV tokens were planned: at full context it holds 45 sequences" in kept.sentence


def test_another_kernel_than_promised_is_told_by_both_names():
    kept = held(PLANNED, AS_PLANNED.model_copy(update={"kernels": ("ExllamaLinearKernel",)}))

    assert kept.other_kernel == "The kernel Marlin was promised: speed and memory may differ from the plan."
    assert "ExllamaLinearKernel" in kept.told and kept.other_kernel in kept.broken


@pytest.mark.parametrize(
    ("promised", "said", "same"),
    [
        ("Marlin", "MarlinLinearKernel", True),
        ("Machete", "MarlinLinearKernel", False),
        ("CUTLASS FP8", "CutlassFP8ScaledMMLinearKernel", True),
        ("CUTLASS FP8", "Marlin FP8", False),
        ("CUTLASS INT8", "CutlassScaledMMLinearKernel", True),
        ("CUTLASS INT8", "CutlassFP8ScaledMMLinearKernel", False),
        ("CPUWNA16", "CPUWNA16LinearKernel", True),
        ("CPUInt8ScaledMM", "CPUInt8ScaledMMLinearKernel", True),
        ("FlashInfer or CUTLASS NVFP4", "CutlassNvFp4LinearKernel", True),
        ("DeepGEMM or CUTLASS block FP8", "CutlassFp8BlockScaledMMKernel", True),
        ("Triton W4A16", "TritonW4A16LinearKernel", True),
        ("hipBLASLt FP8", "RowWiseTorchFP8ScaledMMLinearKernel", True),
    ],
)
def test_an_engines_long_name_is_recognised_by_the_plans_words(promised, said, same):
    assert is_same_kernel(promised, said) is same
