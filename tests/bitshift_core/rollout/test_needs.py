"""What sizing is told of a release: nothing that an engine is told and that takes memory may be missing."""

from dataclasses import fields

import pytest

from bitshift_core.fit.need import Need
from bitshift_core.rollout.needs import Said, need_of, said_in
from bitshift_core.rollout.releases import Beside, resolve
from tests.bitshift_core.rollout.test_agreement import ADAPTED, DRAFT, VLLM, an_adapter, checkpoint
from tests.builders import a_spec

ELSEWHERE = {"facts", "cpu_millis", "node_selector", "tolerations", "replicas", "engine_version", "gpu_layers"}


def need(serving=None, *, facts=None, beside=None):
    facts = facts or checkpoint()
    spec = a_spec(
        ladder=[{"name": "awq", "artifact": "pvc://models/awq", "serving": {"contextTokens": 512} | (serving or {})}]
    )
    found = resolve(
        spec, spec.ladder[0], name="chat", runtime="vllm", profile=VLLM, stable=None, facts=facts, beside=beside
    )
    return need_of(found, facts)


@pytest.mark.parametrize(
    ("serving", "said"),
    [
        ({"kvCacheDtype": "fp8"}, {"kv_cache_dtype": "fp8"}),
        ({"gpusPerReplica": 6, "pipelineParallel": 2}, {"gpus_per_replica": 6, "pipeline_stages": 2}),
        (
            {"gpusPerReplica": 6, "nodesPerReplica": 2, "replicas": 3},
            {"pipeline_stages": 2, "nodes_per_replica": 2, "gpus_per_pod": 3, "pods": 6},
        ),
        ({"batchedTokens": 1024, "dtype": "half"}, {"batched_tokens": 1024, "dtype": "half"}),
        ({"prefixCaching": "Enabled"}, {"prefix_caching": True}),
        ({"prefixCaching": "Disabled"}, {"prefix_caching": False}),
        ({"speculative": {"method": "mtp", "tokens": 2}}, {"speculative_tokens": 2, "loads_own_draft": True}),
        ({"speculative": {"method": "ngram", "tokens": 4}}, {"speculative_tokens": 4, "loads_own_draft": False}),
        ({"extraArgs": ["--gpu-memory-utilization", "0.855"]}, {"memory_utilization_percent": 85.5}),
        ({"extraArgs": ["--enforce-eager", "--block-size=32"]}, {"enforce_eager": True, "block_tokens": 32}),
        ({"extraArgs": ["--enable-expert-parallel"]}, {"expert_parallel": True}),
    ],
)
def test_what_the_engine_is_told_is_sized(serving, said):
    found = need(serving)

    assert {name: getattr(found, name) for name in said} == said


def test_what_is_not_said_is_left_to_the_engine():
    found = need()
    unsaid = {each.name: each.default for each in fields(Need) if each.name not in ELSEWHERE}

    for name in (
        "batched_tokens",
        "pipeline_stages",
        "quantization",
        "speculative_tokens",
        "adapters",
        "prefix_caching",
    ):
        assert getattr(found, name) == unsaid[name]


def test_a_draft_model_is_sized_beside_its_model():
    draft = checkpoint()
    found = need(DRAFT, beside=Beside(draft=draft))

    assert found.draft is draft
    assert found.speculative_tokens == 3


def test_adapters_are_sized_by_the_room_that_the_engine_makes_for_the_largest():
    found = need(ADAPTED, beside=Beside(adapters={"support": an_adapter(rank=24)}))

    assert (found.adapters, found.adapter_rank) == (1, 32)


def test_a_method_shrinks_only_what_was_not_quantized_before():
    plain = checkpoint(scheme="BF16")

    assert need({"quantization": "fp8"}, facts=plain).quantization == "fp8"
    assert need({"quantization": "awq_marlin"}, facts=checkpoint(scheme="awq")).quantization == ""


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), Said()),
        (("--gpu_memory_utilization=0.5",), Said(memory_utilization_percent=50)),
        (("--mem-fraction-static", "0.8", "--mem-fraction-static", "0.7"), Said(memory_utilization_percent=70)),
        (("--gpu-memory-utilization", "much"), Said()),
        (("--gpu-memory-utilization", "7"), Said()),
        (("--ep-size", "8"), Said(expert_parallel=True)),
        (("--ep-size", "1"), Said()),
        (("--disable-cuda-graph", "--page-size", "64"), Said(enforce_eager=True, block_tokens=64)),
        (("-ngl", "20"), Said(gpu_layers=20)),
    ],
)
def test_engines_own_flags_are_understood_as_engines_do(args, said):
    assert said_in(args) == said


@pytest.mark.parametrize(
    ("args", "env", "kv_cache_bytes"),
    [
        (["--kv-cache-memory-bytes", "184549376"], {}, 184_549_376),
        (["--kv-cache-memory-bytes=1000"], {"VLLM_CPU_KVCACHE_SPACE": "2"}, 2 << 30),
        ([], {"VLLM_CPU_KVCACHE_SPACE": ""}, 0),
        (["--kv-cache-memory-bytes", "1G"], {}, 0),
    ],
)
def test_what_a_cache_may_have_is_said_by_flag_or_by_variable(args, env, kv_cache_bytes):
    assert said_in(args, env).kv_cache_bytes == kv_cache_bytes
