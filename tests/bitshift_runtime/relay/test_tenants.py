import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitshift_runtime.relay.tenants import TenantNames
from tests.examples import examples


@pytest.mark.parametrize("header", [None, ""])
def test_nobody_in_particular_is_anonymous(header):
    assert TenantNames().name_for(header, 0) == ""


@pytest.mark.parametrize("header", ["x" * 129, "a\tb", "a\x7f", "\udce9", "~other"])
def test_odd_names_are_counted_together(header):
    assert TenantNames().name_for(header, 0) == "~other"


def test_only_so_many_tenants_are_counted_singly():
    names = TenantNames(most=2)

    assert [names.name_for(name, 0) for name in ("a", "b", "c", "a")] == ["a", "b", "~other", "a"]
    assert set(names.seen(0)) == {"a", "b"}


def test_a_tenant_that_was_away_for_an_hour_makes_room():
    names = TenantNames(most=2)
    for name, now in (("a", 0), ("b", 10), ("a", 20)):
        names.name_for(name, now)

    assert names.name_for("c", 3_609) == "~other"
    assert names.name_for("c", 3_611) == "c"
    assert set(names.seen(3_611)) == {"a", "c"}


@settings(max_examples=examples(50))
@given(st.lists(st.text(max_size=140), max_size=40))
def test_whatever_clients_send_the_names_are_few_and_fit_a_report(headers):
    names = TenantNames(most=8)
    found = {names.name_for(header, 0) for header in headers}

    assert len(found) <= 8 + 2
    assert all(name.encode() is not None and len(name) <= 128 for name in found)
