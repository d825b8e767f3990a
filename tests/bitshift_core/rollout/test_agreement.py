"""What an engine cannot do with an artifact is refused before a pod starts, with the numbers and the way out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitshift_core.api.v1alpha1 import Serving
from bitshift_core.rollout.agreement import Parallelism, check_artifact, check_groups, parallelism_of
from bitshift_core.rollout.errors import SpecRefusedError
from bitshift_core.rollout.releases import Beside, resolve
from tests.bitshift_core.artifact.test_adapter import an_adapter
from tests.builders import a_spec, some_facts
from tests.engine_profiles import shipped

VLLM = shipped("vllm")


def checkpoint(**changes):
    attention = ({"kind": "full", "layers": 30, "kvHeads": changes.pop("kvHeads", 3), "keyDim": 64, "valueDim": 64},)
    known = {"format": "safetensors", "scheme": "awq", "attentionHeads": 9, "attention": attention}
    return some_facts(**(known | changes))


def refusal(serving=None, *, facts=None, beside=None, runtime="vllm"):
    ladder = [{"name": "awq", "artifact": "pvc://models/awq", "serving": {"contextTokens": 1024} | (serving or {})}]
    spec = a_spec(ladder=ladder)
    with pytest.raises(SpecRefusedError) as refused:
        resolve(
            spec, spec.ladder[0], name="chat", runtime=runtime, profile=shipped(runtime), stable=None,
            facts=facts or checkpoint(), beside=beside,
        )  # fmt: skip
    return refused.value.reason, refused.value.message


DRAFT = {"speculative": {"method": "draft_model", "draft": "pvc://models/draft"}}
ADAPTED = {"adapters": [{"name": "support", "artifact": "pvc://models/support"}]}


@pytest.mark.parametrize(
    ("serving", "facts", "beside", "reason", "words"),
    [
        ({}, {"scheme": "awq-int3"}, None, "SchemeNotServed", "quantized as awq-int3"),
        ({"quantization": "gptq"}, {}, None, "QuantizationMismatch", "for awq it knows awq, auto_awq, awq_marlin"),
        ({"quantization": "magic"}, {}, None, "QuantizationMismatch", "does not know 'magic'"),
        ({"gpusPerReplica": 2}, {}, None, "TensorParallelDoesNotDivide", "9 attention heads, which 2 GPUs"),
        ({"gpusPerReplica": 2}, {}, None, "TensorParallelDoesNotDivide", "one of 1, 3, 9"),
        ({"gpusPerReplica": 6}, {"attentionHeads": 12, "kvHeads": 4}, None, "TensorParallelDoesNotDivide", "4 key-v"),
        ({"gpusPerReplica": 4, "tensorParallel": 3}, {}, None, "ParallelismMismatch", "3 × 1 = 3"),
        ({"gpusPerReplica": 64, "pipelineParallel": 64}, {}, None, "PipelineTooLong", "30 layers"),
        ({"nodesPerReplica": 2}, {}, None, "NodesDoNotDivide", "`serving.gpusPerReplica` is 0"),
        ({"nodesPerReplica": 2, "gpusPerReplica": 3}, {}, None, "NodesDoNotDivide", "make it a multiple of 2"),
        (
            {"nodesPerReplica": 2, "gpusPerReplica": 18, "pipelineParallel": 3}, {}, None, "NodesDoNotDivide",
            "`serving.pipelineParallel` is 3",
        ),
        ({"nodesPerReplica": 2, "gpusPerReplica": 6, "tensorParallel": 1}, {}, None, "ParallelismMismatch", "1 × 2"),
        ({"batchedTokens": 64, "concurrentSequences": 65}, {}, None, "BatchedTokensTooFew", "65 sequences"),
        ({"batchedTokens": 512, "chunkedPrefill": "Disabled"}, {}, None, "BatchedTokensTooFew", "1024 tokens"),
        (DRAFT, {}, Beside(draft=checkpoint(vocabSize=32000)), "DraftOfAnotherVocabulary", "32000 tokens"),
        (
            DRAFT, {"tokenizerDigest": "sha256:" + 64 * "a"},
            Beside(draft=checkpoint(tokenizerDigest="sha256:" + 64 * "b")), "DraftOfAnotherVocabulary", "tokenizers",
        ),
        (ADAPTED, {}, Beside(adapters={"support": an_adapter(hidden_size=960)}), "AdapterOfAnotherBase", "960 wide"),
        (ADAPTED, {}, Beside(adapters={"support": an_adapter(layers=32)}), "AdapterOfAnotherBase", "changes layer 31"),
        (ADAPTED, {}, Beside(adapters={"support": an_adapter(rank=513)}), "AdapterTooLarge", "rank 513"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_reason(serving, facts, beside, reason, words):
    found = refusal(serving, facts=checkpoint(**facts), beside=beside)

    assert found[0] == reason
    assert words in found[1] and "Rung 'awq'" in found[1]


def test_a_trained_head_may_speak_fewer_tokens():
    ladder = [
        {"name": "awq", "artifact": "pvc://m/a", "serving": {"speculative": {"method": "eagle3", "draft": "pvc://m/d"}}}
    ]
    spec = a_spec(ladder=ladder)
    beside = Beside(draft=checkpoint(vocabSize=32000))
    found = resolve(
        spec, spec.ladder[0], name="chat", runtime="vllm", profile=VLLM, stable=None, facts=checkpoint(), beside=beside
    )

    assert [place.path for place in found.places] == ["/models/a", "/beside/draft/d"]


@given(heads=st.integers(1, 128), kv_heads=st.integers(1, 128), tensor=st.integers(1, 64))
def test_a_split_is_refused_exactly_when_heads_cannot_be_shared(heads, kv_heads, tensor):
    facts = checkpoint(attentionHeads=heads, kvHeads=kv_heads)
    shared = heads % tensor == 0 and (kv_heads % tensor == 0 or tensor % kv_heads == 0)
    try:
        check_artifact("awq", "vllm", VLLM, Serving(), Parallelism(tensor, 1), facts)
    except SpecRefusedError as error:
        assert not shared and error.reason == "TensorParallelDoesNotDivide"
    else:
        assert shared


@given(gpus=st.integers(0, 64), pipeline=st.integers(1, 8))
def test_all_gpus_of_a_replica_are_used(gpus, pipeline):
    try:
        found = parallelism_of("awq", Serving(pipeline_parallel=pipeline), gpus)
    except SpecRefusedError as error:
        assert gpus % pipeline and error.reason == "ParallelismMismatch"
    else:
        assert found.tensor * found.pipeline in (gpus, pipeline) and (not gpus or found.tensor * pipeline == gpus)


@given(nodes=st.integers(2, 16), gpus=st.integers(0, 64), pipeline=st.none() | st.integers(1, 64))
def test_nodes_have_equal_shares_of_gpus_and_whole_groups_of_layers(nodes, gpus, pipeline):
    try:
        found = parallelism_of("awq", Serving(pipeline_parallel=pipeline), gpus, nodes)
    except SpecRefusedError as error:
        assert error.reason in ("NodesDoNotDivide", "ParallelismMismatch")
    else:
        per_node = gpus // nodes
        assert per_node * nodes == found.tensor * found.pipeline == gpus
        assert per_node % found.tensor == 0 and found.pipeline == (pipeline or nodes)


def test_layers_go_across_nodes_where_nothing_else_is_said():
    assert parallelism_of("awq", Serving(), 16, 2) == Parallelism(tensor=8, pipeline=2, nodes=2)


def test_an_engine_that_cannot_be_told_of_nodes_is_refused_several():
    serving = {"nodesPerReplica": 2, "gpusPerReplica": 2}
    with pytest.raises(SpecRefusedError) as refused:
        spec = a_spec(ladder=[{"name": "q4", "artifact": "pvc://m/q4.gguf", "serving": serving}])
        resolve(
            spec, spec.ladder[0], name="chat", runtime="llamacpp", profile=shipped("llamacpp"), stable=None,
            facts=some_facts(contextTokens=8192),
        )  # fmt: skip

    assert refused.value.reason == "MultiNodeNotServed"
    assert "`serving.nodesPerReplica` is 2, but runtime 'llamacpp'" in refused.value.message


def test_a_cluster_without_leader_worker_sets_is_told_of_with_every_way_out():
    with pytest.raises(SpecRefusedError) as refused:
        check_groups("awq", 2, served=False)

    assert refused.value.reason == "LeaderWorkerSetNotServed"
    assert all(
        words in refused.value.message
        for words in ("nodesPerReplica` is 2", "install LeaderWorkerSet", "to 1", "smaller artifact")
    )
    check_groups("awq", 2, served=True)
    check_groups("awq", 1, served=False)


def test_llama_cpp_splits_layers_and_needs_no_heads_to_divide():
    facts = some_facts(attentionHeads=9, contextTokens=8192)
    spec = a_spec(ladder=[{"name": "q4", "artifact": "pvc://m/q4.gguf", "serving": {"gpusPerReplica": 2}}])
    found = resolve(
        spec, spec.ladder[0], name="chat", runtime="llamacpp", profile=shipped("llamacpp"), stable=None, facts=facts
    )

    assert found.gpus_per_replica == 2
