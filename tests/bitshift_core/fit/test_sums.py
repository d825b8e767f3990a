"""The sum of one replica: what else it has to hold besides one model."""

from bitshift_core.fit.plan import plan_release
from bitshift_core.fit.sums import Gpu, size_of
from tests.bitshift_core.fit.builders import a_cpu_need, a_gpu_node, a_need, constants, smollm, some_facts


def items(**change):
    need = a_cpu_need(**change)
    found = size_of(need, constants().choose(need.runtime, need.engine_version), None)
    return {item.name: item.bytes for item in found.items}


def test_a_llamacpp_draft_has_weights_a_cache_and_buffers_of_its_own_in_one_process():
    alone, both = items(), items(draft=smollm(), speculative_tokens=4)

    for name in ("weights", "kv-cache", "activations"):
        assert both[name] == 2 * alone[name]
    assert both["other"] == alone["other"]


def test_what_was_worked_out_from_a_configuration_is_sized_with_a_wider_margin_and_says_so():
    guessed = a_need(facts=some_facts(tensors_from="config"))
    sure, unsure = (plan_release(need, [a_gpu_node()], constants()) for need in (a_need(), guessed))

    assert unsure.needed_bytes > sure.needed_bytes
    assert "Sized from config.json" in unsure.message and "Sized from config.json" not in sure.message


def test_the_line_of_weights_says_what_else_is_among_them():
    need = a_need(quantization="fp8", adapters=4, draft=some_facts(), gpus_per_replica=2)
    items = size_of(need, constants().choose("vllm", "0.19.0"), Gpu(80 << 30)).items

    assert items[0].detail == "fp8, made while loading and 4 adapters and a draft model over 2 GPUs"
