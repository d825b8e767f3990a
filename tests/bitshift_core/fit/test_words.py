"""Why this rung: what it saves against its parent, what others measured that it loses, what it costs."""

import pytest

from bitshift_core.api.v1alpha1 import Price, Scenario
from bitshift_core.fit.plan import plan_release
from bitshift_core.fit.published import Loss, loss_sentence
from bitshift_core.fit.words import cost_sentence, why_this_rung
from bitshift_operator.cluster.kernels import load_losses
from tests.bitshift_core.fit.builders import A100, a_cpu_need, a_gpu_node, a_need, constants, kernels, some_facts

FP8 = some_facts(scheme="fp8", tensors=tuple(
    group.model_copy(update={"bytes": group.elements}) if group.role == "block" else group
    for group in some_facts().tensors
))  # fmt: skip


def why(scenario, need, *, parent=None, losses=(), price=None, labels=None):
    fit = plan_release(need, [a_gpu_node(labels=labels)], constants(), kernels=kernels())
    return why_this_rung(
        scenario, need, fit, parent=parent or some_facts(), engines=constants(), losses=losses, price=price
    )


def test_memory_is_what_each_gpu_must_have():
    text = why(Scenario.MEMORY, a_need(facts=FP8))

    assert text.startswith("For memory: ")
    assert "GiB needed of each GPU, where the parent has 3" in text


def test_throughput_is_how_many_sequences_one_replica_holds():
    text = why(Scenario.THROUGHPUT, a_need(facts=FP8))

    assert "sequences of 8,192 tokens at once, where the parent has " in text
    assert "(+" in text


def test_context_is_how_long_each_sequence_may_be():
    text = why(Scenario.CONTEXT, a_need(facts=FP8, concurrent_sequences=8))

    assert "tokens in each of 8 sequences, where the parent has " in text


def test_latency_is_what_each_step_reads_and_a_slower_kernel_is_not_hidden():
    native, slower = (why(Scenario.LATENCY, a_need(facts=FP8), labels=labels) for labels in (None, A100))

    assert "of weights read for each step, where the parent has 15.0 GiB (-43 %)." in native
    assert "not a native one" in slower and "not a native one" not in native


def test_a_parent_that_does_not_fit_there_is_said():
    huge = some_facts(tensors=tuple(
        group.model_copy(update={"bytes": group.bytes * 20, "elements": group.elements * 20}) for group in some_facts().tensors
    ))  # fmt: skip

    assert "the parent does not fit there at all" in why(Scenario.THROUGHPUT, a_need(facts=FP8), parent=huge)


def test_a_rung_that_changes_nothing_says_so():
    assert "it changes nothing" in why(Scenario.MEMORY, a_need())


def test_money_is_said_where_the_user_gave_a_price():
    need = a_need(gpus_per_replica=2, replicas=3)

    assert cost_sentence(need, None) == "It takes 2 GPUs for each replica."
    assert cost_sentence(need, Price(gpu_hour_cents=250, currency="EUR")) == (
        "It takes 2 GPUs for each replica, 5.00 EUR an hour; 3 replicas for a month cost 10,950 EUR."
    )
    assert cost_sentence(a_cpu_need(), None) == ""


def test_a_published_loss_is_cited_with_its_worst_case():
    losses = (
        Loss(("awq",), "A-7B", "MMLU", "score", 70, 68.6, "https://a.example/1"),
        Loss(("awq", "gptq"), "B-70B", "PPL WikiText-2", "perplexity", 4.0, 4.0, "https://b.example/2"),
    )

    assert loss_sentence("awq", losses) == (
        "Published of awq: 98.0 to 100.0 % of the parent's result is kept, in 2 measurements of 2 models; the worst is "
        "MMLU of A-7B, 70 → 68.6 (https://a.example/1). The quality gate measures this one."
    )
    assert "1 measurement of 1 model" in loss_sentence("gptq", losses)


def test_no_loss_is_invented():
    assert loss_sentence("aqlm", load_losses()).startswith("No loss of aqlm is published here")


@pytest.mark.parametrize("loss", load_losses(), ids=lambda loss: f"{loss.schemes[0]} {loss.model} {loss.metric}")
def test_every_published_loss_names_its_primary_source(loss):
    assert loss.source.startswith("https://")
    assert 40 < loss.kept_percent < 110
