import io

from rich.console import Console

from bitshift_operator.cli.screen import screen, size
from bitshift_operator.cli.story import understand
from bitshift_operator.cluster.kinds import QUANTIZED_MODEL
from tests.bitshift_operator.cli.models import AWQ, SPEC, a_model


def shown(model, width=160):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(screen(understand(model)))
    return console.file.getvalue()


def test_the_first_lines_say_what_it_does_and_what_it_waits_for():
    lines = shown(
        a_model(reason="EvidenceGrows", canary="3/12 tenants", message="The pause ends in 40 s.")
    ).splitlines()

    assert lines[0] == "chat in team  Shifting (EvidenceGrows)"
    assert lines[1] == "rung awq · canary 3/12 tenants"
    assert lines[2] == "The pause ends in 40 s."
    assert lines[3].startswith("Waits for evidence")


def test_every_rung_says_its_size_its_gates_and_why_it_was_refused():
    text = shown(a_model())

    assert "✗ fp8  DoesNotFit  needs 42.0 GiB" in text
    assert "InsufficientGPUMemory  It needs 42.0 GiB per GPU; the largest GPU offers 24.0 GiB." in text
    assert "weights 18.0 GiB  +  kv-cache 512 MiB" in text
    assert "quality Passed" in text and "load Running" in text


def test_a_bar_shows_what_is_taken_of_what_the_gpu_offers():
    headline = "Fits 57 sequences at 8,192 tokens; 16 were asked for."
    text = shown(a_model(rungs=[AWQ | {"offeredBytes": 24 << 30, "headline": headline}]))

    assert "█████" in text and "┃ end of what is offered: 24.0 GiB" in text
    assert headline in text


def test_what_an_engine_reported_after_its_start_is_shown_with_its_rung():
    text = shown(a_model(rungs=[AWQ | {"engine": "The engine reports 46,592 KV tokens."}]))

    assert "engine  " in text and "The engine reports 46,592 KV tokens." in text


def test_sentences_are_shown_as_they_are_and_never_taken_for_markup():
    assert "[a/b] 180 of 192 against 182 of 192." in shown(a_model())


def test_evidence_refusals_conditions_and_commands_are_on_the_same_screen():
    text = shown(
        a_model(
            traffic={"step": "half", "enrolled": 3, "known": 12, "candidateRequests": 1234, "stableRequests": 99,
                     "worst": [{"name": "acme", "requests": 40, "message": "errors 2 of 40 against 0 of 38"}]},
            refused=[{"revision": "chat-q2-1", "rung": "q2", "reason": "EmptyAnswers", "message": "5 of 9.",
                      "live": True}],
            conditions=[{"type": "Ready", "status": "True", "reason": "EvidenceGrows", "message": "Users are served."}],
        )
    )  # fmt: skip

    assert "step 'half': 3 of 12 known tenants enrolled; 1,234 requests on the candidate, 99 on stable" in text
    assert "acme  40 requests: errors 2 of 40 against 0 of 38" in text
    assert "chat-q2-1  EmptyAnswers (users had seen it): 5 of 9." in text
    assert "Ready True  EvidenceGrows: Users are served." in text
    assert "kubectl bitshift -n team rollback chat" in text


def test_the_lines_to_hand_over_are_shown():
    text = shown(a_model(phase="Serving", handover="spec.rules[0].backendRefs[0].name: chat-release"))

    assert "    spec.rules[0].backendRefs[0].name: chat-release" in text


def test_an_object_that_nobody_looked_at_is_explained():
    text = shown(QUANTIZED_MODEL.new("team", "chat", spec=SPEC))

    assert "chat in team  not looked at yet" in text
    assert "Is it running, and does it watch this namespace?" in text
    assert "· fp8  Unknown" in text


def test_where_an_artifact_was_pinned_is_told_and_what_the_spec_names_is_not_repeated():
    pinned = f"hf://org/awq@{40 * 'a'}"

    assert f"artifact {pinned}" in " ".join(shown(a_model(rungs=[AWQ | {"artifact": pinned}])).split())
    assert "artifact" not in shown(a_model(rungs=[AWQ | {"artifact": "hf://org/awq"}]))


def test_a_narrow_terminal_wraps_and_loses_nothing():
    assert "182 of" in shown(a_model(), width=40)


def test_sizes_are_told_as_people_read_them():
    assert (size(3 << 29), size(300 << 20)) == ("1.5 GiB", "300 MiB")


def test_a_size_says_what_it_is_a_size_of_where_the_spec_tells():
    assert "needs 42.0 GiB per GPU" in shown(a_model(spec={"serving": {"gpusPerReplica": 1}}))
    assert "needs 42.0 GiB of memory" in shown(a_model(spec={"serving": {"gpusPerReplica": 0}}))


def test_users_are_said_to_be_on_stable_only_while_all_of_them_are():
    assert "users are on stable" in shown(a_model("Gating"))
    assert "users are on stable" not in shown(a_model("Shifting"))
