"""The benchmark of a GPU, as far as it can be tested without one: what it reads, what it prints, what it says elsewhere."""

from dataclasses import replace

import pytest
from click.testing import CliRunner

from bitshift_core.evidence.report import LoadReport, SideLoad
from bitshift_core.fit.units import GIB
from bitshift_core.starting.reading import read_log
from bitshift_operator.cli.sizing import Asked, need_of, sized
from bitshift_operator.cluster.engines import load_engines
from bitshift_operator.cluster.kernels import load_kernels
from bitshift_operator.cluster.logs import load_log_rules
from e2e.bench import gpu
from e2e.bench.gpu_figures import ABSENT, Figures, as_json, cells, page, planned_from, remarks, seen_from
from tests.bitshift_core.fit.builders import some_facts

LOG = """
INFO 11-20 12:00:01 [__init__.py:210] Using MarlinLinearKernel for AutoGPTQLinearMethod
INFO 11-20 12:00:05 [gpu_model_runner.py:5000] Model loading took 4.70 GiB memory and 3.1 seconds
INFO 11-20 12:00:30 [gpu_worker.py:460] Available KV cache memory: 60.25 GiB
INFO 11-20 12:00:30 [kv_cache_utils.py:1700] GPU KV cache size: 493,520 tokens
INFO 11-20 12:00:41 [gpu_model_runner.py:6000] Graph capturing finished in 8 secs, took 0.31 GiB
"""


@pytest.fixture
def h100(tmp_path, monkeypatch):
    """A driver that tells of one H100, and of 3 MiB that are held already."""
    program = tmp_path / "nvidia-smi"
    program.write_text(
        '#!/bin/sh\ncase "$*" in *name*) echo "NVIDIA H100 80GB HBM3, 81559, 9.0, 570.86.15, 3";; *) echo 73731;; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return gpu.first_gpu()


def planned(device, scheme="BF16"):
    asked = Asked("vllm", "0.32.0", 4096, 64, gpus_per_replica=device.gpus)
    need = need_of(some_facts(scheme=scheme), asked, gpus=device.gpus)
    return planned_from(sized(need, (device.node,), load_engines(), load_kernels()))


def a_load(millis):
    return LoadReport(
        candidate=SideLoad(offered=9, completed=9, ttft_p50_millis=millis, tokens_per_second=1000 / millis)
    )


def seen(plan, millis=10.0, log=LOG):
    report = read_log(load_log_rules().of("vllm"), log).report
    told = {"memory_bytes": 70 * GIB, "ready_seconds": 61.0, "steady": a_load(millis), "crowd": a_load(millis)}
    return seen_from(log, report, plan.promise, **told)


def table(found):
    return {row[0]: row[1:] for row in cells(found)}


def test_a_gpu_is_a_node_with_the_labels_that_feature_discovery_writes(h100):
    assert h100.words == "NVIDIA H100 80GB HBM3, 81,559 MiB, compute capability 9.0, driver 570.86.15"
    assert h100.node.labels["nvidia.com/gpu.product"] == "NVIDIA-H100-80GB-HBM3"
    assert h100.held_bytes(1) == 72 * GIB


def test_a_plan_for_it_names_a_kernel_and_all_that_the_driver_will_count(h100):
    plan = planned(h100, "gptq")

    assert (plan.kernel, plan.runs, plan.verdict) == ("Machete", "native", "Fits")
    assert plan.pool_bytes > 0 and plan.kv_tokens > 0 and plan.graph_bytes > 0
    assert plan.weight_bytes + plan.pool_bytes + plan.graph_bytes < plan.memory_bytes < 80 * GIB


def test_what_an_engine_says_is_read_by_the_rules_of_the_operator(h100):
    found = seen(planned(h100))

    assert (found.kernels, found.kv_tokens) == ("MarlinLinearKernel", 493_520)
    assert found.weight_bytes == pytest.approx(4.70 * GIB, abs=1)
    assert found.pool_bytes == pytest.approx(60.25 * GIB, abs=1)
    assert found.graph_bytes == pytest.approx(0.31 * GIB, abs=1)


def test_a_plan_shows_how_far_it_was_off_and_what_was_seen_its_ratio_to_the_first_format(h100):
    plan = replace(planned(h100), weight_bytes=int(4.70 * 2 * GIB))
    rows = table([Figures("BF16", plan, seen(plan, 10.0)), Figures("GPTQ", plan, seen(plan, 5.0))])

    assert rows["weights, planned"] == ["9.40 GiB (+100.0 %)"] * 2
    assert rows["TTFT p50"] == ["10.0 ms", "5.0 ms (×0.50)"]
    assert rows["tokens/s, crowd"] == ["100", "200 (×2.00)"]
    assert rows["requests failed"] == ["0", "0"]


def test_an_engine_without_graphs_leaves_their_cell_empty(h100):
    found = seen(plan := planned(h100), log=LOG.replace("Graph capturing", "Nothing"))

    assert table([Figures("BF16", plan, found)])["CUDA graphs, seen"] == [ABSENT]


def test_a_format_that_was_not_served_is_told_beside_the_others(h100):
    plan = planned(h100)
    found = [Figures("BF16", plan, seen(plan)), Figures("FP8", plan, failure="No kernel.")]

    assert "FP8 was not served. No kernel." in remarks(found)
    assert table(found)["TTFT p50"] == ["10.0 ms", ABSENT]


def test_another_kernel_than_the_planned_one_is_told_in_the_words_of_the_operator(h100):
    plan = planned(h100, "gptq")

    assert any("The kernel Machete was promised" in each for each in remarks([Figures("GPTQ", plan, seen(plan))]))


def test_a_page_has_as_many_columns_in_each_row_and_says_how_it_was_written(h100):
    plan = planned(h100)
    text = page([Figures(name, plan, seen(plan)) for name in gpu.FORMATS], ["An H100."], "make bench-gpu WRITE=1")

    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {len(gpu.FORMATS) + 2}
    assert "- An H100." in text and "`make bench-gpu WRITE=1`" in text


def test_all_of_it_is_there_for_programs(h100):
    plan = planned(h100)
    (found,) = as_json([Figures("BF16", plan, seen(plan))], ["An H100."])["formats"]

    assert found["seen"]["kv_tokens"] == 493_520
    assert found["seen"]["steady"]["candidate"]["ttftP50Millis"] == 10.0


def test_without_a_gpu_it_says_so_in_one_sentence_and_ends_well(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    found = CliRunner().invoke(gpu.main)

    assert found.exit_code == 0
    assert found.output.count("\n") == 1
    assert "nothing was measured" in found.output and "make bench-gpu" in found.output


def test_figures_of_a_cpu_are_never_written_as_those_of_a_gpu():
    found = CliRunner().invoke(gpu.main, ["--device", "cpu", "--write"])

    assert found.exit_code == 2 and "figures of a GPU" in found.output
