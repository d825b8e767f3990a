import re

from hypothesis import given
from hypothesis import strategies as st

from bitshift_core.rollout import names

NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True)
GATES = st.sampled_from(["start", "compatibility", "quality", "load"])


@given(model=NAMES, rung=NAMES, sealed=st.dictionaries(st.text(), st.integers()))
def test_a_release_has_a_name_that_a_service_may_have_and_that_ends_in_what_it_is(model, rung, sealed):
    name = names.revision_name(model, rung, sealed)

    assert len(name) <= 60 and re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)
    assert name.endswith(names.digest(sealed))


@given(model=NAMES, rung=NAMES, sealed=st.dictionaries(st.text(), st.integers()))
def test_a_release_that_spans_nodes_has_a_name_that_a_thousand_stateful_sets_may_begin_with(model, rung, sealed):
    name = names.revision_name(model, rung, sealed, spans_nodes=True)

    assert len(f"{name}-999") <= 52 and name.endswith(names.digest(sealed))


@given(model=NAMES, rung=NAMES, gate=GATES)
def test_a_gates_job_has_a_name_that_a_label_may_have(model, rung, gate):
    name = names.gate_job_name(names.revision_name(model, rung, {}), names.gate_key(gate, {}))

    assert len(name) <= 63 and re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)


@given(left=st.text(), right=st.text())
def test_a_fingerprint_does_not_depend_on_the_order_of_keys(left, right):
    assert names.digest({"a": left, "b": right}) == names.digest({"b": right, "a": left})


def test_another_reading_of_an_artifact_is_another_job_over_the_same_facts():
    one, other = (names.facts_job_name("pvc://m/q4.gguf", None, reading) for reading in ("1", "2"))

    assert one != other
    assert one.startswith(names.facts_name("pvc://m/q4.gguf", None))
