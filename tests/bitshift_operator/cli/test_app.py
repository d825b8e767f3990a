import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bitshift_core.rollout import names
from bitshift_operator.cli import main
from bitshift_operator.cli.story import understand
from bitshift_operator.cli.watch import one_line
from bitshift_operator.cluster.kinds import QUANTIZED_MODEL
from tests.bitshift_operator.cli.models import AWQ, a_model
from tests.fake_store import Refused


async def run(kubeconfig, *args):
    return await asyncio.to_thread(CliRunner().invoke, main, [*args, "--kubeconfig", kubeconfig])


async def test_why_shows_one_screen_of_the_contexts_namespace(api, kubeconfig):
    api.put(a_model())

    result = await run(kubeconfig, "why", "chat")

    assert result.exit_code == 0, result.output
    assert result.output.startswith("chat in team  Shifting")


async def test_why_speaks_json_to_programs(api, kubeconfig):
    api.put(a_model())

    result = await run(kubeconfig, "why", "chat", "-o", "json")

    assert json.loads(result.output)["status"]["rung"] == "awq"


async def test_a_verb_writes_one_annotation_and_leaves_the_spec_alone(api, kubeconfig):
    before = api.put(a_model(annotations={"mine": "1"}))

    result = await run(kubeconfig, "rollback", "chat")

    after = api.get(QUANTIZED_MODEL, "team", "chat")
    assert result.exit_code == 0, result.output
    assert after["metadata"]["annotations"] == {"mine": "1", names.ROLLBACK: AWQ["revision"]}
    assert after["spec"] == before["spec"]
    assert "kubectl bitshift -n team watch chat" in result.output


async def test_resume_takes_the_pause_away(api, kubeconfig):
    api.put(a_model(annotations={names.PAUSE: AWQ["revision"]}))

    assert (await run(kubeconfig, "resume", "chat")).exit_code == 0
    assert names.PAUSE not in api.get(QUANTIZED_MODEL, "team", "chat")["metadata"]["annotations"]


async def test_a_verb_that_would_do_nothing_says_why(api, kubeconfig):
    api.put(a_model("Gating"))

    result = await run(kubeconfig, "promote", "chat")

    assert result.exit_code == 4
    assert "chat was left as it is: it is in phase Gating" in result.output


async def test_a_wrong_name_is_answered_with_those_that_there_are(api, kubeconfig):
    api.put(a_model())

    result = await run(kubeconfig, "why", "chatt")

    assert result.exit_code == 3
    assert "Namespace 'team' has no QuantizedModel 'chatt'. It has chat." in result.output


@pytest.mark.parametrize(
    "refusal, sentence",
    [
        (Refused(403, "Forbidden", "no get"), "You may not do that in namespace 'team': no get"),
        (Refused(401, "Unauthorized", "who?"), "does not accept your credentials"),
        (Refused(503, "ServiceUnavailable", "later"), "does not answer: is the cluster up"),
        (Refused(404, "NotFound", "no such kind"), "does not know QuantizedModels: install the chart"),
    ],
)
async def test_what_the_cluster_refuses_becomes_one_sentence_with_a_way_out(api, kubeconfig, refusal, sentence):
    def interrupt(verb, target):
        raise refusal

    api.interrupt = interrupt

    result = await run(kubeconfig, "why", "chat")

    assert result.exit_code in (1, 3)
    assert sentence in result.output
    assert "Traceback" not in result.output


async def test_a_cluster_that_is_not_there_is_named(api, kubeconfig, tmp_path):
    gone = tmp_path / "gone"
    gone.write_text(Path(kubeconfig).read_text().replace(api.url, "http://127.0.0.1:9"))

    result = await run(str(gone), "why", "chat")

    assert (result.exit_code, "http://127.0.0.1:9 does not answer" in result.output) == (1, True)


async def test_a_context_or_kubeconfig_that_is_not_there_is_named(kubeconfig):
    wrong = await run(kubeconfig, "why", "chat", "--context", "elsewhere")
    missing = await run("/does/not/exist", "why", "chat")

    assert "has no context 'elsewhere'. It has: here." in wrong.output
    assert "There is no kubeconfig at /does/not/exist" in missing.output


async def test_watch_without_a_terminal_prints_each_change_until_the_object_is_gone(api, kubeconfig, monkeypatch):
    monkeypatch.setattr("bitshift_operator.cli.watch.LOOK_SECONDS", 0.02)
    api.put(a_model("Gating"))
    running = asyncio.create_task(run(kubeconfig, "watch", "chat"))
    while len([verb for verb, target in api.requests if target.name == "chat"]) < 3:
        await asyncio.sleep(0.01)
    api.put(a_model("Shifting"))
    while len([verb for verb, target in api.requests if target.name == "chat"]) < 8:
        await asyncio.sleep(0.01)
    api.remove(QUANTIZED_MODEL, "team", "chat")

    result = await running

    assert result.output.splitlines()[:2] == ["Gating  awq", "Shifting  awq"]
    assert result.exit_code == 3


def test_a_line_holds_what_changes_from_moment_to_moment():
    assert one_line(understand(a_model(reason="EvidenceGrows", canary="all"))) == "Shifting  EvidenceGrows  awq  all"


def test_help_shows_examples_and_exit_codes():
    help_text = CliRunner().invoke(main, ["-h"]).output

    assert "kubectl bitshift why chat" in help_text and "Exit codes:" in help_text
    assert CliRunner().invoke(main, ["why"]).exit_code == 2
