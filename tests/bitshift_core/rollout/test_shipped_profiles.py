"""Each profile that ships, rendered for ten specs: whatever it says, the engine knows."""

from dataclasses import replace

import pytest

from bitshift_core.api.catalogue import ArgumentSource, NodeRole
from bitshift_core.rollout.engine import flags_of, read_args
from bitshift_core.rollout.errors import SpecRefusedError
from bitshift_core.rollout.profiles import read_profile
from bitshift_core.rollout.releases import Beside, engine_values, render_args, resolve
from tests.bitshift_core.artifact.test_adapter import an_adapter
from tests.builders import a_spec, some_facts
from tests.engine_profiles import ENGINES, known_flags, shipped

CHECKPOINT = some_facts(
    format="safetensors", scheme="awq", attentionHeads=32, contextTokens=8192,
    attention=({"kind": "full", "layers": 30, "kvHeads": 8, "keyDim": 128, "valueDim": 128},),
)  # fmt: skip
ADAPTERS = [{"name": "support", "artifact": "pvc://models/support"}, {"name": "law", "artifact": "pvc://other/law"}]
SPECS = {
    "nothing": {},
    "a name and a key": {"servedModelName": "chat", "apiKeySecret": {"name": "keys"}},
    "many users": {"concurrentSequences": 256, "contextTokens": 4096, "batchedTokens": 8192},
    "two GPUs": {"gpusPerReplica": 2},
    "four GPUs in two stages": {"gpusPerReplica": 4, "pipelineParallel": 2},
    "four GPUs on two nodes": {"gpusPerReplica": 4, "nodesPerReplica": 2},
    "a small cache": {"kvCacheDtype": "fp8", "dtype": "bfloat16", "quantization": "awq"},
    "caches and prefill": {"prefixCaching": "Disabled", "chunkedPrefill": "Enabled"},
    "a draft": {"speculative": {"method": "ngram", "tokens": 4, "lookupTokens": 3}},
    "adapters": {"adapters": ADAPTERS},
    "parsers": {
        "toolCallParser": "hermes", "reasoningParser": "deepseek", "chatTemplate": {"name": "t"},
        "guidedDecodingBackend": "xgrammar",
    },
}  # fmt: skip
SPANNING = {"four GPUs on two nodes"}
CANNOT = {
    "llamacpp": {"adapters", "four GPUs in two stages", *SPANNING, "a small cache", "caches and prefill", "parsers"},
    "sglang": {"caches and prefill"},
    "tensorrt-llm": {
        "a name and a key",
        *SPANNING,
        "a small cache",
        "caches and prefill",
        "a draft",
        "adapters",
        "parsers",
    },
    "tgi": {"a name and a key", "four GPUs in two stages", *SPANNING, "caches and prefill", "parsers"},
    "vllm": set(),
}
"""Specs with a field that an engine has no argument for: refused, not passed over."""


def resolved(engine, serving, **more):
    ladder = [{"name": "awq", "artifact": "pvc://models/awq", "serving": serving}]
    spec = a_spec(ladder=ladder)
    facts = CHECKPOINT if engine != "llamacpp" else some_facts(contextTokens=8192)
    adapters = {"support": an_adapter(rank=12), "law": an_adapter(rank=8)}
    beside = Beside(adapters=adapters, chat_template="{{ messages }}" if "chatTemplate" in serving else "")
    return resolve(
        spec,
        spec.ladder[0],
        name="chat",
        runtime=engine,
        profile=shipped(engine),
        stable=None,
        facts=facts,
        beside=beside,
        **more,
    )


def rendered(engine, serving, version="", role=NodeRole.LEADER):
    found = resolved(engine, serving)
    return render_args(shipped(engine), engine_values(found, role), (), version or found.image_version)


@pytest.mark.parametrize("case", SPECS)
@pytest.mark.parametrize("engine", ENGINES)
def test_every_flag_of_a_profile_is_one_that_the_engine_knows(engine, case):
    if case in CANNOT[engine]:
        with pytest.raises(SpecRefusedError) as refused:
            rendered(engine, SPECS[case])
        assert refused.value.reason == ("MultiNodeNotServed" if case in SPANNING else "NotServedByRuntime")
        return
    flags = {flag.partition(".")[0] for flag in flags_of(rendered(engine, SPECS[case]))} - {"-m"}

    assert flags <= known_flags(engine)
    assert flags


@pytest.mark.parametrize("engine", ENGINES)
def test_every_argument_and_alias_of_a_profile_is_known_whatever_is_asked_for(engine):
    newest = [argument for argument in shipped(engine).args if argument.until is None]
    flags = {argument.flag.partition(".")[0] for argument in newest if argument.flag} - {"-m"}

    assert flags <= known_flags(engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_shipped_profile_has_no_fault(engine):
    assert read_profile({"metadata": {"name": engine}, "spec": shipped(engine).as_json()}) == shipped(engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_a_profile_writes_it_reads_back_from_a_stable_pod(engine):
    found = read_args(shipped(engine), rendered(engine, {"contextTokens": 2048, "concurrentSequences": 4}))
    context = ArgumentSource.TOTAL_CONTEXT_TOKENS if engine == "llamacpp" else ArgumentSource.CONTEXT_TOKENS

    assert found[ArgumentSource.MODEL_PATH].startswith("/models/awq")
    assert found[context] == str(2048 * (4 if engine == "llamacpp" else 1))
    assert found[ArgumentSource.CONCURRENT_SEQUENCES] == "4"


def test_vllm_is_told_everything_in_its_own_words():
    asked = SPECS["adapters"] | SPECS["a draft"] | SPECS["parsers"] | SPECS["caches and prefill"]
    args = list(rendered("vllm", asked, "v0.32.0"))

    assert args[args.index("--lora-modules") + 1 : args.index("--lora-modules") + 3] == [
        "support=/beside/adapter-support/support", "law=/beside/adapter-law/law",
    ]  # fmt: skip
    assert args[args.index("--max-lora-rank") + 1] == "16"
    assert args[args.index("--speculative-config") + 1] == (
        '{"method":"ngram","num_speculative_tokens":4,"prompt_lookup_max":3}'
    )
    assert {"--no-enable-prefix-caching", "--enable-chunked-prefill", "--enable-auto-tool-choice"} <= set(args)
    assert args[args.index("--structured-outputs-config.backend") + 1] == "xgrammar"
    assert args[args.index("--chat-template") + 1] == "/chat-template/chat_template.jinja"


def test_gpus_are_shared_between_stages_and_parts():
    args = rendered("vllm", SPECS["four GPUs in two stages"])

    assert args[args.index("--tensor-parallel-size") + 1] == "2"
    assert args[args.index("--pipeline-parallel-size") + 1] == "2"


def test_pods_of_a_vllm_that_spans_nodes_know_their_leader_and_their_place():
    leader, worker = (list(rendered("vllm", SPECS["four GPUs on two nodes"], role=role)) for role in NodeRole)
    first = leader.index("--nnodes")

    assert leader[first : first + 6] == [
        "--nnodes", "2", "--node-rank", "$(LWS_WORKER_INDEX)", "--master-addr", "$(LWS_LEADER_ADDRESS)",
    ]  # fmt: skip
    assert leader[leader.index("--pipeline-parallel-size") + 1] == "2"
    assert leader[leader.index("--tensor-parallel-size") + 1] == "2"
    assert [each for each in worker if each not in leader] == ["--headless"]


def test_pods_of_an_sglang_that_spans_nodes_meet_at_their_leader():
    args = list(rendered("sglang", SPECS["four GPUs on two nodes"]))

    assert args[args.index("--dist-init-addr") + 1] == "$(LWS_LEADER_ADDRESS):20000"
    assert args[args.index("--node-rank") + 1] == "$(LWS_WORKER_INDEX)"


def test_a_vllm_that_needs_ray_to_span_nodes_is_refused():
    spec = a_spec(ladder=[{"name": "awq", "artifact": "pvc://models/awq", "serving": {
        "gpusPerReplica": 4, "nodesPerReplica": 2, "image": "vllm/vllm-openai:v0.11.2"}}])  # fmt: skip
    with pytest.raises(SpecRefusedError, match=r"version 'v0\.11\.2' spans nodes"):
        resolve(
            spec, spec.ladder[0], name="chat", runtime="vllm", profile=shipped("vllm"), stable=None, facts=CHECKPOINT
        )


@pytest.mark.parametrize(
    ("version", "flag"), [("v0.10.2", "--guided-decoding-backend"), ("v0.32.0", "--structured-outputs-config.backend")]
)
def test_an_engine_of_another_version_is_told_by_the_flag_that_it_knows(version, flag):
    asked = {"guidedDecodingBackend": "xgrammar"}
    args = rendered("vllm", asked, version)

    assert flag in args and args.count("xgrammar") == 1


def test_streams_are_waited_for_where_the_engine_can():
    assert "--shutdown-timeout" not in rendered("vllm", {}, "v0.17.1")
    assert "--shutdown-timeout" in rendered("vllm", {}, "v0.18.0")
    assert "--shutdown-timeout" in rendered("vllm", {}, "latest")


def test_an_engine_that_checks_no_key_is_not_put_behind_users_who_send_one():
    secret = {"apiKeySecret": {"name": "keys"}}
    with pytest.raises(SpecRefusedError, match="would answer anybody"):
        rendered("tensorrt-llm", secret)


def test_the_parent_is_served_as_it_is():
    found = resolved("vllm", {"quantization": "awq_marlin", "contextTokens": 512}, as_parent=True)

    assert ArgumentSource.QUANTIZATION not in found.options
    assert replace(found, options={}).context_tokens == 512
