from dataclasses import replace

import pytest

from bitshift_core.rollout import names
from bitshift_core.rollout.loans import Loan, lent_to, loan_of
from tests.bitshift_core.rollout.snapshots import a_snapshot

LOAN = Loan(model="chat", before=4, after=3, reload_seconds=340)


def a_lender(name="chat", note=None, replicas=3):
    note = LOAN.model_dump_json(by_alias=True) if note is None else note
    return {"metadata": {"name": name, "annotations": {names.LENT: note}}, "spec": {"replicas": replicas}}


def test_a_note_is_read_as_it_was_written():
    assert loan_of(a_lender()) == LOAN


@pytest.mark.parametrize(
    "note", ["", "no JSON", "{}", '{"model": "chat", "before": 0, "after": 0, "reloadSeconds": 1}']
)
def test_what_is_no_note_is_no_loan(note):
    assert loan_of(a_lender(note=note)) is None
    assert loan_of({"metadata": {"name": "chat"}}) is None


def test_loans_to_other_models_are_theirs():
    other = LOAN.model_copy(update={"model": "other"}).model_dump_json(by_alias=True)
    snapshot = replace(a_snapshot(), lenders=[a_lender("a"), a_lender("b", other)])

    assert [each.deployment for each in lent_to(snapshot)] == ["a"]


def test_a_deployment_that_the_spec_names_no_longer_still_counts():
    snapshot = replace(a_snapshot(), lenders=[a_lender("former")])

    assert [each.deployment for each in lent_to(snapshot)] == ["former"]


def test_what_was_read_live_counts_before_what_a_cache_holds():
    live = a_lender(note="", replicas=4)
    snapshot = replace(a_snapshot(), lenders=[a_lender()], home_owner=live, users_owner=live)

    assert lent_to(snapshot) == ()


@pytest.mark.parametrize(("replicas", "contested"), [(3, False), (4, True), (0, True)])
def test_another_size_than_it_was_left_with_is_somebody_elses(replicas, contested):
    (lent,) = lent_to(replace(a_snapshot(), lenders=[a_lender("former", replicas=replicas)]))

    assert lent.contested is contested
