from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitshift_core.api.catalogue import Argument, ArgumentSource
from bitshift_core.rollout.engine import EngineValues, read_args, recognise, render_args
from bitshift_core.rollout.errors import SpecRefusedError
from tests.bitshift_core.rollout.snapshots import PROFILE

VALUES = EngineValues("/models/q4.gguf", "chat", 8080, 2048, 4, None, 0, False)
WORDS = st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters="/._-"), min_size=1).filter(
    lambda word: not word.startswith("-")
)


@given(
    path=WORDS,
    name=st.none() | WORDS,
    port=st.integers(1, 65_535),
    context=st.integers(64, 1 << 24),
    sequences=st.integers(1, 4096),
)
def test_what_is_written_for_a_release_is_read_back_from_its_container(path, name, port, context, sequences):
    args = render_args(PROFILE, EngineValues(path, name, port, context, sequences, None, 0, False), ())
    found = read_args(PROFILE, args)

    wanted = {
        ArgumentSource.MODEL_PATH: path,
        ArgumentSource.SERVED_MODEL_NAME: name,
        ArgumentSource.PORT: str(port),
        ArgumentSource.TOTAL_CONTEXT_TOKENS: str(context * sequences),
        ArgumentSource.CONCURRENT_SEQUENCES: str(sequences),
    }
    assert found == {source: value for source, value in wanted.items() if value is not None}


def test_an_argument_without_a_value_is_left_out():
    args = render_args(PROFILE, replace(VALUES, served_model_name=None), ())

    assert "--alias" not in args and "--api-key" not in args


def test_an_api_key_is_named_and_never_written():
    args = render_args(PROFILE, replace(VALUES, has_api_key=True), ())

    assert args[args.index("--api-key") + 1] == "$(BITSHIFT_API_KEY)"


@pytest.mark.parametrize("extra", ["--ctx-size", "-c", "--ctx-size=512", "-c=512"])
def test_an_extra_argument_that_contradicts_ours_is_refused_with_the_field_that_sets_it(extra):
    with pytest.raises(SpecRefusedError, match=r"must not set '(--ctx-size|-c)'.*`serving.contextTokens`") as refused:
        render_args(PROFILE, VALUES, (extra, "512"))

    assert refused.value.reason == "ExtraArgContradicts"


def test_other_extra_arguments_come_last_and_negative_numbers_are_no_flags():
    assert render_args(PROFILE, VALUES, ("--seed", "-1"))[-2:] == ("--seed", "-1")


@pytest.mark.parametrize("args", [["-c", "512"], ["--ctx-size=512"], ["llama-server", "--ctx-size", "512"]])
def test_every_spelling_of_a_stable_pods_flag_is_understood(args):
    assert read_args(PROFILE, args) == {ArgumentSource.TOTAL_CONTEXT_TOKENS: "512"}


def test_an_engine_is_recognised_by_its_image_only_when_one_profile_claims_it():
    fork = PROFILE.model_copy(update={"image_substrings": ("llama.cpp-fork",)})

    assert recognise({"a": PROFILE}, "ghcr.io/ggml-org/llama.cpp:server") == "a"
    assert recognise({"a": PROFILE, "b": fork}, "me/llama.cpp-fork:1") is None
    assert recognise({"a": PROFILE}, "vllm/vllm-openai:v1") is None


@pytest.mark.parametrize("extra", ["--ctx_size", "--no-ctx-size", "--ctx", "--ctx-size.tokens"])
def test_no_spelling_slips_past(extra):
    with pytest.raises(SpecRefusedError, match=f"must not set '{extra}'.*Leave the flag out and set `serving.context"):
        render_args(PROFILE, VALUES, (extra, "512"))


def test_a_flag_of_the_profiles_own_is_refused_with_the_way_out():
    with pytest.raises(SpecRefusedError, match=r"'--metrics'.*from the runtime profile.*a RuntimeProfile of your own"):
        render_args(PROFILE, VALUES, ("--metrics",))


def test_what_no_field_says_may_be_said_in_extra_arguments():
    argument = Argument(flag="--speculative-config", source=ArgumentSource.SPECULATIVE_CONFIG)
    profile = PROFILE.model_copy(update={"args": (*PROFILE.args, argument)})
    extra = ("--speculative-config", "{}")
    asked = replace(VALUES, options={ArgumentSource.SPECULATIVE_CONFIG: ('{"method":"ngram"}',)})

    assert render_args(profile, VALUES, extra)[-2:] == extra
    with pytest.raises(SpecRefusedError, match=r"set `serving.speculative` instead"):
        render_args(profile, asked, extra)


@pytest.mark.parametrize(
    "args",
    [
        ["vllm", "serve", "/data/m", "--port", "80"],
        ["/usr/bin/trtllm-serve", "/data/m"],
        ["serve", "--port=1", "/data/m"],
    ],
)
def test_a_model_that_is_named_by_no_flag_is_found(args):
    profile = PROFILE.model_copy(update={"args": (Argument(source=ArgumentSource.MODEL_PATH),)})

    assert read_args(profile, args) == {ArgumentSource.MODEL_PATH: "/data/m"}
