from dataclasses import replace

import pytest

from bitshift_core.api.catalogue import ArgumentSource
from bitshift_core.api.v1alpha1 import SizeItem
from bitshift_core.fit.kernels import Kernel
from bitshift_core.rollout.promised import broken_promise, kept_by
from bitshift_core.starting.reading import EngineReport
from tests.builders import a_fit, a_resolved, a_spec, some_facts

OTHER = EngineReport(kernels=("ExllamaLinearKernel",))
REFUSE = a_spec(gates={"compatibility": {"otherKernel": "Refuse"}})


def kept(report, *, kernel=None, **resolved):
    fit = replace(a_fit(), kernels=(kernel or Kernel("Marlin", "native"),))
    fit = replace(fit, items=(SizeItem(name="weights", bytes=10**9), SizeItem(name="kv-cache", bytes=10**9)))
    return kept_by(replace(a_resolved(), **resolved), some_facts(), fit, report)


def test_before_an_engine_started_nothing_is_kept_or_broken():
    assert kept(None).sentence == ""


def test_the_plans_own_items_are_what_is_promised():
    found = kept(EngineReport(model_bytes=2 * 10**9, kv_tokens=4_095))

    assert "0.93 GiB of weights were planned" in found.sentence
    assert "4,096 KV tokens were planned" in found.sentence


@pytest.mark.parametrize("runs", ["unknown", "none"])
def test_a_kernel_that_was_only_guessed_was_not_promised(runs):
    assert kept(OTHER, kernel=Kernel("Marlin", runs)).other_kernel == ""


def test_a_kernel_that_the_user_named_was_not_promised():
    assert kept(OTHER, options={ArgumentSource.LINEAR_BACKEND: ("exllama",)}).other_kernel == ""


def test_another_kernel_is_told_and_refused_only_where_the_spec_says_so():
    found = kept(OTHER)

    assert found.other_kernel
    assert broken_promise(a_spec(), found) == ""
    assert "`gates.compatibility.otherKernel`" in broken_promise(REFUSE, found)
    assert broken_promise(REFUSE, kept(EngineReport(kv_tokens=1))) == ""
