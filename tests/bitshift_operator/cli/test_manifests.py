"""Files are held against what the API server would hold them against, and every problem is told at once."""

import time
import tracemalloc

import pytest
import yaml

from bitshift_core.api.crd import structural
from bitshift_core.api.v1alpha1 import QuantizedModelSpec
from bitshift_operator.cli.access import Refusal
from bitshift_operator.cli.manifests import models_in
from bitshift_operator.cli.rules import Unsupported, holds

SPEC = {
    "stable": {"service": "chat"},
    "ladder": [{"name": "awq", "artifact": "pvc://models/awq"}],
    "traffic": {"route": "chat"},
}
HEAD = {"apiVersion": "bitshift.dev/v1alpha1", "kind": "QuantizedModel", "metadata": {"name": "chat"}}


def a_file(tmp_path, *specs, text=""):
    path = tmp_path / "models.yaml"
    path.write_text(text or "---\n".join(yaml.safe_dump(HEAD | {"spec": spec}) for spec in specs))
    return path


def refusal_of(path) -> str:
    with pytest.raises(Refusal) as caught:
        models_in(path)
    return str(caught.value)


def test_several_documents_are_read_and_what_is_somebody_elses_is_left_alone(tmp_path):
    path = a_file(tmp_path, SPEC, SPEC)
    path.write_text(path.read_text() + "---\napiVersion: v1\nkind: Service\nmetadata: {name: x}\n---\n")

    found = models_in(path)

    assert [each.name for each in found] == ["chat", "chat"]
    assert [each.source for each in found] == [f"{path}, document 1", f"{path}, document 2"]


@pytest.mark.parametrize(
    "change, sentence",
    [
        (
            {"serving": {"contextTokens": 12}},
            "`spec.serving.contextTokens` is 12: must be greater than or equal to 64.",
        ),
        ({"serving": {"contextTokens": "8192"}}, '`spec.serving.contextTokens` is "8192": must be a valid integer.'),
        ({"serving": {"gpusPerReplica": 65}}, "`spec.serving.gpusPerReplica` is 65: must be less than or equal to 64."),
        ({"serving": {"contxtTokens": 1}}, "`spec.serving.contxtTokens` is no field of `spec.serving`: did you mean"),
        ({"afterPromotion": "Drop"}, "`spec.afterPromotion` is \"Drop\": must be 'Keep' or 'ScaleToZero'."),
        ({"ladder": []}, "`spec.ladder` is []: must have at least 1 item."),
        ({"ladder": [{"name": "a"}]}, "`spec.ladder[0].artifact` is missing; it must be given."),
        (
            {"ladder": [{"name": "a", "artifact": "ftp://models/x"}]},
            '`spec.ladder[0].artifact` is "ftp://models/x": must start with pvc://CLAIM/PATH, https://, hf://',
        ),
        ({"ladder": SPEC["ladder"] * 2}, "`spec.ladder` has 2 entries with the name 'awq': each must have its own."),
        ({"stable": None}, "`spec` must name `stable` (what runs now) or `parent`"),
        ({"traffic": {"route": "a", "gateway": "b", "hostname": "c"}}, "must name either `route`"),
        (
            {"gates": {"load": {"seconds": 10}}},
            "`spec.gates.load` must send 50 requests or more, for no 95th percentile",
        ),
        (
            {"gates": {"load": {"seconds": 109, "ttftMillis": 700}}},
            "`spec.gates.load` must send 110 requests or more where `ttftMillis` or `itlMillis` is a target",
        ),
        ({"traffic": {"gateway": "b"}}, "`spec.traffic` must give `hostname` with `gateway`."),
        ({"traffic": {"gateway": "b", "hostname": "c"}}, "must give `traffic.route`, not `traffic.gateway`"),
    ],
)
def test_a_problem_names_its_field_its_value_and_what_must_be(tmp_path, change, sentence):
    spec = {name: value for name, value in (SPEC | change).items() if value is not None}

    _, *said = refusal_of(a_file(tmp_path, spec)).splitlines()
    assert any(line.startswith("- QuantizedModel 'chat': `spec") and sentence in line for line in said)


def test_all_problems_of_a_file_are_told_together(tmp_path):
    wrong = SPEC | {"serving": {"contextTokens": 1}, "stabel": {}}
    said = refusal_of(a_file(tmp_path, wrong, SPEC | {"holdSeconds": 1}))

    assert "did you mean `stable`?" in said and "contextTokens` is 1" in said
    assert "QuantizedModel 'chat' (document 2): `spec.holdSeconds` is no field" in said


def test_a_mode_that_is_not_said_has_its_default_as_in_the_api_server(tmp_path):
    judged = SPEC | {"traffic": {"mode": "None"}}

    assert models_in(a_file(tmp_path, judged))
    assert "must name either `route`" in refusal_of(a_file(tmp_path, SPEC | {"traffic": {}}))


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "it has nothing"),
        ("kind: Service\n", "it has Service"),
        ("a: [1\nb: }", "cannot be read as YAML"),
        ("kind: X\nkind: Y\n", "`kind` is said twice"),
        ("\x00", "cannot be read as YAML"),
        ("[" * 500, "nested too deeply"),
        ("a: &a [*a]", "unfolds to more than"),
        ("x" * (1 << 20) + "xx", "more than 1048576 bytes"),
        ("apiVersion: bitshift.dev/v1alpha1\nkind: QuantizedModel\nspec: {}\n", "`metadata.name` is missing"),
        ("apiVersion: bitshift.dev/v1alpha1\nkind: QuantizedModel\nmetadata: {name: x}\n", "`spec` is missing"),
        ("apiVersion: bitshift.dev/v1alpha1\nkind: QuantizedModel\nmetadata: [x]\nspec: 1\n", "must be given"),
    ],
)
def test_what_is_no_model_is_refused_in_a_sentence(tmp_path, text, words):
    path = tmp_path / "models.yaml"
    path.write_bytes(text.encode())

    assert words in refusal_of(path)


def test_aliases_that_unfold_to_billions_cost_neither_time_nor_memory(tmp_path):
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    path = a_file(tmp_path, text="\n".join(lines))
    tracemalloc.start()
    started = time.monotonic()
    said = refusal_of(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert "unfolds to more than" in said
    assert peak < 32 << 20
    assert time.monotonic() - started < 5


def rules_of(schema):
    yield from ((each["rule"], schema) for each in schema.get("x-kubernetes-validations", ()))
    for inner in (*schema.get("properties", {}).values(), schema.get("items")):
        yield from rules_of(inner) if inner else ()


def test_every_rule_of_the_schema_can_be_evaluated_here():
    found = list(rules_of(structural(QuantizedModelSpec)))

    assert len(found) >= 6
    for rule, schema in found:
        value = "x" if schema["type"] == "string" else {"traffic": {}, "method": "x"}
        assert holds(rule, value, schema) in (True, False)


@pytest.mark.parametrize(
    "rule, value, kept",
    [
        ("!has(self.a) || self.a > 3", {}, True),
        ("!has(self.a) || self.a > 3", {"a": 4}, True),
        ("!has(self.a) || self.a > 3", {"a": 3}, False),
        ("!has(self.a) == has(self.b)", {"b": 1}, True),
        ("!has(self.a) == has(self.b)", {"a": 1, "b": 1}, False),
        ("self.a in ['x', 'y'] && size(self.b) == 2", {"a": "y", "b": [1, 2]}, True),
        ("self.a.matches('^x[0-9]$')", {"a": "x7"}, True),
        ("self.a.matches('^x[0-9]$')", {"a": "x77"}, False),
        ("self.a == true", {"a": True}, True),
        ("self.a == '&& ||'", {"a": "&& ||"}, True),
    ],
)
def test_the_part_of_cel_that_is_known_means_what_it_means_in_the_api_server(rule, value, kept):
    assert holds(rule, value, {}) is kept


@pytest.mark.parametrize(
    "rule", ["self.a.all(x, x > 1)", "__import__('os')", "self.a[0] == 1", "self.a == 1 ? 2 : 3", "self.b"]
)
def test_anything_else_is_left_to_the_api_server(rule):
    with pytest.raises(Unsupported):
        holds(rule, {"a": [1]}, {})
