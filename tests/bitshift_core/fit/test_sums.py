"""The sum of one replica: what else it has to hold besides one model."""

from bitshift_core.fit.sums import size_of
from tests.bitshift_core.fit.builders import a_cpu_need, constants, smollm


def items(**change):
    need = a_cpu_need(**change)
    found = size_of(need, constants().choose(need.runtime, need.engine_version), None)
    return {item.name: item.bytes for item in found.items}


def test_a_llamacpp_draft_has_weights_a_cache_and_buffers_of_its_own_in_one_process():
    alone, both = items(), items(draft=smollm(), speculative_tokens=4)

    for name in ("weights", "kv-cache", "activations"):
        assert both[name] == 2 * alone[name]
    assert both["other"] == alone["other"]
