from pathlib import Path

import pytest
import yaml

from bitshift_operator.cluster.client import Kube
from bitshift_operator.cluster.kinds import EVAL_SUITE, RUNTIME_PROFILE
from bitshift_operator.controller import builtins
from bitshift_operator.controller.builtins import BUILT_IN, apply_built_ins
from tests.fake_api import FakeApi
from tests.fake_store import Refused

NS = "bitshift-system"
SUITE = {"scorer": "Contains", "items": [{"name": "one", "prompt": "1 + 1?", "expected": ["2"]}]}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write(tmp_path, RUNTIME_PROFILE.new("", "vllm", spec={"image": "vllm"}))
    write(tmp_path, EVAL_SUITE.new("anywhere", "facts", spec=SUITE))
    return tmp_path


def write(directory, *manifests):
    (directory / f"{manifests[0]['metadata']['name']}.yaml").write_text(yaml.safe_dump_all(manifests))


async def test_suites_go_into_the_operators_namespace_and_all_are_labelled(api: FakeApi, kube: Kube, directory):
    applied = await apply_built_ins(kube, directory, NS)

    assert applied == ("EvalSuite/facts", "RuntimeProfile/vllm")
    suite, profile = api.get(EVAL_SUITE, NS, "facts"), api.get(RUNTIME_PROFILE, "", "vllm")
    assert suite["spec"] == SUITE
    assert [each["metadata"]["labels"] for each in (suite, profile)] == [{BUILT_IN: "true"}] * 2


async def test_a_second_start_changes_nothing(api: FakeApi, kube: Kube, directory):
    await apply_built_ins(kube, directory, NS)
    version = api.version

    await apply_built_ins(kube, directory, NS)

    assert api.version == version


async def test_what_ships_no_longer_is_removed_and_what_users_made_stays(api: FakeApi, kube: Kube, directory):
    api.put(EVAL_SUITE.new(NS, "ours", spec=SUITE))
    await apply_built_ins(kube, directory, NS)
    (directory / "facts.yaml").unlink()

    await apply_built_ins(kube, directory, NS)

    assert [each["metadata"]["name"] for each in api.all(EVAL_SUITE)] == ["ours"]


async def test_an_empty_folder_removes_nothing(api: FakeApi, kube: Kube, directory, tmp_path):
    await apply_built_ins(kube, directory, NS)

    assert await apply_built_ins(kube, tmp_path / "missing", NS) == ()
    assert api.get(EVAL_SUITE, NS, "facts")


async def test_a_refused_suite_does_not_keep_the_others_out(api: FakeApi, kube: Kube, directory, caplog):
    api.admit = lambda manifest: "must have a scorer" if manifest["kind"] == "EvalSuite" else ""

    assert await apply_built_ins(kube, directory, NS) == ("RuntimeProfile/vllm",)
    assert "EvalSuite 'facts' is left out: must have a scorer" in caplog.text


@pytest.mark.parametrize("text", ["{", "just text", "kind: Secret\napiVersion: v1\nmetadata: {name: x}", "a: 1"])
async def test_a_file_that_is_something_else_is_left_out(kube: Kube, directory, caplog, text):
    (directory / "zzz.yaml").write_text(text)

    assert len(await apply_built_ins(kube, directory, NS)) == 2
    assert "zzz.yaml is left out" in caplog.text


async def test_an_api_server_that_is_away_for_a_moment_is_asked_again(api, kube, directory, monkeypatch):
    monkeypatch.setattr(builtins, "RETRY_SECONDS", 0.01)
    refusals = iter([Refused(503, "ServiceUnavailable", "starting")])

    def interrupt(verb, target):
        if refusal := next(refusals, None):
            raise refusal

    api.interrupt = interrupt

    assert len(await apply_built_ins(kube, directory, NS)) == 2


async def test_everything_that_the_chart_ships_is_applied(api: FakeApi, kube: Kube, tmp_path):
    shipped = sorted((Path(__file__).parents[3] / "charts" / "bitshift" / "files").glob("*/*.yaml"))
    for path in shipped:
        (tmp_path / path.name).write_text(path.read_text())

    assert len(await apply_built_ins(kube, tmp_path, NS)) == len(shipped) > 0
