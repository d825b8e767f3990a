"""What the chart ships besides code: suites and profiles."""

from pathlib import Path

import pytest
import yaml

from bitshift_core.api.base import API_VERSION
from bitshift_core.api.catalogue import EvalSuiteSpec, RuntimeProfileSpec
from bitshift_runtime.evaluate.scoring import fault

FILES = Path(__file__).parents[2] / "charts" / "bitshift" / "files"
SUITES = sorted((FILES / "suites").glob("*.yaml"))
PROFILES = sorted((FILES / "profiles").glob("*.yaml"))


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_a_shipped_suite_is_what_the_api_takes_and_can_be_scored(path):
    manifest = yaml.safe_load(path.read_text())
    spec = EvalSuiteSpec.model_validate(manifest["spec"])
    unknown = set(manifest["spec"]) - {field.alias for field in EvalSuiteSpec.model_fields.values()}

    assert (manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"]) == (
        API_VERSION,
        "EvalSuite",
        path.stem,
    )
    assert not unknown
    assert len({item.name for item in spec.items}) == len(spec.items) >= 60
    assert len({item.prompt for item in spec.items}) == len(spec.items)
    assert fault(spec.scorer, spec.items, spec.json_schema) == ""


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_a_shipped_profile_is_what_the_api_takes(path):
    manifest = yaml.safe_load(path.read_text())
    spec = RuntimeProfileSpec.model_validate(manifest["spec"])
    unknown = set(manifest["spec"]) - {field.alias for field in RuntimeProfileSpec.model_fields.values()}

    assert (manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"]) == (
        API_VERSION,
        "RuntimeProfile",
        path.stem,
    )
    assert not unknown
    flags = [argument.flag for argument in spec.args if argument.flag]
    assert len(set(flags)) == len(flags)
    assert {"ModelPath", "Port", "ConcurrentSequences"} <= {argument.source for argument in spec.args}


def test_the_starter_suites_and_the_engines_are_there():
    assert {path.stem for path in SUITES} >= {"starter-facts", "starter-json", "starter-agreement"}
    assert {path.stem for path in PROFILES} == {"llamacpp", "sglang", "tensorrt-llm", "tgi", "vllm"}
