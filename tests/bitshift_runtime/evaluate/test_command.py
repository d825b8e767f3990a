import asyncio
import json
import threading

import pytest
from click.testing import CliRunner

from bitshift_runtime.evaluate import endpoint
from bitshift_runtime.evaluate.command import evaluate
from tests.fake_openai import FakeEngine, serving


@pytest.fixture
def termination_log(tmp_path, monkeypatch):
    path = tmp_path / "termination-log"
    path.touch()
    monkeypatch.setenv("BITSHIFT_TERMINATION_LOG", str(path))
    return path


async def run_command(*arguments):
    """Run the command, which brings its own event loop, beside the servers of this one."""
    ended, results = threading.Event(), []

    def run():
        results.append(CliRunner().invoke(evaluate, arguments))
        ended.set()

    threading.Thread(target=run).start()
    while not ended.is_set():
        await asyncio.sleep(0.01)
    return results[0]


def a_config(path, gate, candidate_url, parent_url):
    suite = {
        "name": "numbers",
        "scorer": "Contains",
        "marginPoints": 10,
        "items": [{"name": f"i{n}", "prompt": str(n), "expected": [str(n)]} for n in range(80)],
    }
    content = {"gate": gate, "revision": "m-q2-k-0", "suites": [suite]}
    sides = {"candidate": candidate_url, "parent": parent_url}
    path.write_text(json.dumps(content | {side: {"url": url, "model": "m"} for side, url in sides.items()}))
    return str(path)


async def test_a_failed_gate_is_a_successful_job_with_its_report_in_the_termination_message(tmp_path, termination_log):
    candidate, parent = FakeEngine(), FakeEngine(reply=lambda prompt: prompt)
    async with serving(candidate, parent):
        config = a_config(tmp_path / "gate.json", "quality", candidate.url, parent.url)
        result = await run_command("--gate", "quality", "--config", config)

    assert result.exit_code == 0
    report = json.loads(termination_log.read_text())
    assert (report["gate"], report["revision"], report["verdict"]) == ("quality", "m-q2-k-0", "Failed")
    assert "Failed: 0 of 1 suites passed" in result.output


async def test_a_run_without_a_verdict_is_a_failed_job_that_says_why(tmp_path, termination_log, monkeypatch):
    monkeypatch.setattr(endpoint, "SET_UP_PAUSES_SECONDS", (0.01,))
    config = a_config(tmp_path / "gate.json", "quality", "http://127.0.0.1:9", "http://127.0.0.1:9")

    result = await run_command("--gate", "quality", "--config", config)

    assert result.exit_code == 1
    assert json.loads(termination_log.read_text())["reason"] == "EndpointUnreachable"


async def test_another_gates_configuration_is_refused(tmp_path, termination_log):
    config = a_config(tmp_path / "gate.json", "compatibility", "http://127.0.0.1:9", "http://127.0.0.1:9")

    result = await run_command("--gate", "quality", "--config", config)

    assert result.exit_code == 1
    assert "is for the gate 'compatibility'" in termination_log.read_text()
