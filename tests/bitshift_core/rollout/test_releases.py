from dataclasses import replace

import pytest

from bitshift_core.api.catalogue import ArgumentSource
from bitshift_core.rollout import names
from bitshift_core.rollout.errors import SpecRefusedError
from bitshift_core.rollout.needs import need_of
from bitshift_core.rollout.places import check_source, claim_of
from bitshift_core.rollout.releases import identity, resolve, seal
from bitshift_core.rollout.stable import StableFacts
from tests.bitshift_core.rollout.snapshots import PROFILE
from tests.builders import a_spec, some_facts

STABLE = StableFacts(
    "chat", 80, 2, 2, image="ghcr.io/ggml-org/llama.cpp:b9000", cpu_millis=500, node_selector={"pool": "cpu"},
    arguments={
        ArgumentSource.SERVED_MODEL_NAME: "chat",
        ArgumentSource.TOTAL_CONTEXT_TOKENS: "2048",
        ArgumentSource.CONCURRENT_SEQUENCES: "2",
    },
)  # fmt: skip
FACTS = some_facts(contextTokens=8192)


def resolved(rung=None, *, stable=STABLE, facts=FACTS, **serving):
    ladder = [{"name": "q4", "artifact": "pvc://models/q4.gguf", "serving": rung or {}}]
    spec = a_spec(ladder=ladder, serving=serving)
    return resolve(spec, spec.ladder[0], name="chat", runtime="llamacpp", profile=PROFILE, stable=stable, facts=facts)


def release_name(rung=None, **more):
    spec = a_spec()
    sealed = seal("chat", spec.ladder[0], resolved(rung, **more), PROFILE, FACTS, 123)
    return names.revision_name("chat", "q4", identity(sealed))


def test_a_rung_comes_before_the_spec_before_stable_before_the_artifact():
    assert resolved({"contextTokens": 256}, contextTokens=512).context_tokens == 256
    assert resolved(contextTokens=512).context_tokens == 512
    assert resolved().context_tokens == 1024
    assert resolved(stable=None).context_tokens == 8192


def test_what_is_not_said_is_inherited_from_stables_own_pods():
    found = resolved()

    assert (found.served_model_name, found.concurrent_sequences, found.replicas) == ("chat", 2, 2)
    assert (found.image, found.cpu_millis, found.node_selector) == (STABLE.image, 500, {"pool": "cpu"})


def test_users_find_a_release_by_the_name_that_they_ask_for_already():
    nameless = replace(STABLE, arguments={ArgumentSource.MODEL_PATH: "org/model"})

    assert resolved(servedModelName="said").served_model_name == "said"
    assert resolved(stable=nameless).served_model_name == "org/model"
    assert resolved(stable=None).served_model_name == "chat"


def test_the_image_of_another_engine_is_not_inherited():
    assert resolved(stable=replace(STABLE, image="vllm/vllm-openai:v1")).image == PROFILE.image


def test_more_context_than_the_model_was_trained_for_is_refused_with_both_numbers():
    with pytest.raises(SpecRefusedError, match="is 9000, but rung 'q4' was trained for 8192") as refused:
        resolved(contextTokens=9000)

    assert refused.value.reason == "ContextTooLong"


def test_the_same_release_has_the_same_name():
    assert release_name() == release_name({"contextTokens": 1024})


@pytest.mark.parametrize("serving", [{"replicas": 7}, {"cpuMillis": 900}, {"nodeSelector": {"pool": "gpu"}}])
def test_how_many_pods_run_and_where_makes_no_other_release(serving):
    assert release_name(serving) == release_name()


@pytest.mark.parametrize(
    "serving",
    [
        {"contextTokens": 256},
        {"image": "ghcr.io/ggml-org/llama.cpp:b9001"},
        {"kvCacheDtype": "q8_0"},
        {"extraArgs": ["--seed", "1"]},
    ],
)
def test_what_changes_answers_or_memory_makes_another_release(serving):
    assert release_name(serving) != release_name()


def test_another_file_behind_the_same_name_is_another_release():
    spec, found = a_spec(), resolved()
    one, other = (
        seal("chat", spec.ladder[0], found, PROFILE, some_facts(weightsDigest=f"sha256:{digit * 64}"), 1)
        for digit in "12"
    )

    assert identity(one) != identity(other)


def test_a_better_size_estimate_makes_no_other_release():
    one, other = (seal("chat", a_spec().ladder[0], resolved(), PROFILE, FACTS, size) for size in (1, 2))

    assert identity(one) == identity(other)


def test_the_engine_version_that_is_sized_is_the_images():
    assert need_of(resolved(), FACTS).engine_version == "b9000"


def test_an_artifact_lies_where_its_claim_or_download_puts_it():
    assert claim_of("pvc://models/a/q4.gguf") == ("models", "a/q4.gguf")
    assert claim_of("https://host/a/q4.gguf") is None


def test_a_source_that_nobody_reads_is_refused_by_the_field_that_names_it():
    with pytest.raises(SpecRefusedError, match="Rung 'q4': `artifact` uses 'ftp://'"):
        check_source("Rung 'q4': `artifact`", "ftp://registry/model")
