"""Every live signal has a fault that it alone sees: users are taken back, and the sentence names it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from e2e.cluster import Cluster
from e2e.conftest import CONSOLE
from e2e.demo import scenes
from e2e.demo.target import OwnCluster, apply, get
from e2e.demo.users import Users
from e2e.steps import Model

FAULTS = {
    "error4xx": "error4xx",
    "error5xx": "error5xx",
    "no_first_token": "no_first_token",
    "aborted": "aborted",
    "empty": "empty",
    "repeating": "repeating",
    "broken_json": "broken_json",
    "broken_tool": "broken_tool",
    "ttft": "the first token took",
    "itl": "the time between tokens was",
}
"""What the refusal says of each fault."""


@pytest.fixture(scope="module")
def busy_users(cluster: OwnCluster, users: Users, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Users]:
    """Users of whom some ask for JSON, in place of those before; one profile more makes an engine of the faulty image."""
    users.stop()
    profile = yaml.safe_load((scenes.ROOT / "charts/bitshift/files/profiles/llamacpp.yaml").read_text())
    profile["metadata"]["name"] = "faulty"
    profile["spec"] |= {"image": "bitshift.local/faulty-engine:1", "imageSubstrings": ["faulty-engine"]}
    apply(cluster, yaml.safe_dump(profile))
    busy = scenes.before(
        cluster, CONSOLE, Path(tmp_path_factory.mktemp("busy")), per_second=1.2, more=("--json-percent", "25")
    )
    yield busy
    busy.stop()


def faulty_release(attempt: int) -> dict[str, Any]:
    """Return a spec whose release is the same at every attempt, so that its gates' verdicts are kept."""
    return {
        "stable": {"service": "chat"},
        "runtime": "faulty",
        "serving": {
            "image": "bitshift.local/faulty-engine:1",
            "extraArgs": ["--upstream", "http://chat.demo.svc"],
        },
        "ladder": [{"name": "faulty", "artifact": "pvc://models/SmolLM2-135M-Instruct-F16.gguf"}],
        "gates": {
            "quality": {"suites": [{"name": "starter-facts", "marginPoints": 20}], "maxSeconds": 240},
            "load": {
                "requestsPerMinute": 60,
                "seconds": 130,
                "promptTokens": 100,
                "replyTokens": 2,
                "ttftMillis": 60_000,
                "itlMillis": 30_000,
            },
        },
        "traffic": {
            "route": "chat",
            "steps": [{"name": "all", "tenantsPercent": 100, "weightPercent": 50}],
            "evidence": {
                "errorRatePpm": 50_000,
                "promoteMarginPpm": 200_000,
                "promoteLatencyPoints": 40,
                "latencyMarginPercent": 100,
            },
            "holdSeconds": 600 + attempt,
            "drainSeconds": 10,
        },
    }


def break_it(cluster: Cluster, revision: str, fault: str) -> None:
    """Tell the release's pods how to fail from now on."""
    pods = get(cluster, "pods", "-n", scenes.NAMESPACE, "-l", f"bitshift.dev/revision={revision}")["items"]
    serving = [pod["status"]["podIP"] for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    assert serving
    for address in serving:
        httpx.post(f"http://{address}:8080/fault", content=fault).raise_for_status()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_only_users_meet_brings_them_back_and_is_named(cluster: Cluster, busy_users: Users, fault: str):
    model = Model(cluster, "chat").given(faulty_release(list(FAULTS).index(fault)))
    status = model.comes_to(lambda status: status.get("reason") == "EvidenceGrows", seconds=900, called="its step")
    (revision,) = (rung["revision"] for rung in status["rungs"])

    break_it(cluster, revision, fault)

    status = model.comes_to(lambda status: status.get("phase") == "Rejected", seconds=300, called="Rejected")
    (refused,) = (each for each in status["refused"] if each["live"])
    assert (refused["reason"], refused["revision"]) == ("CandidateWorse", revision)
    assert FAULTS[fault] in refused["message"]
    assert not [name for name in FAULTS.values() if name != FAULTS[fault] and name in refused["message"]]
