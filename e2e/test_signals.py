"""Every live signal has a fault that it alone sees: users are taken back, and the sentence names it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.cluster import Cluster
from e2e.conftest import CONSOLE
from e2e.demo import scenes
from e2e.demo.target import OwnCluster, apply
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
def busy_users(cluster: OwnCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Users]:
    """Users of whom some ask for JSON; one profile more makes an engine of the faulty image."""
    profile = yaml.safe_load((scenes.ROOT / "charts/bitshift/files/profiles/llamacpp.yaml").read_text())
    profile["metadata"]["name"] = "faulty"
    profile["spec"] |= {"image": "bitshift.local/faulty-engine:1", "imageSubstrings": ["faulty-engine"]}
    apply(cluster, yaml.safe_dump(profile))
    users = scenes.before(
        cluster, CONSOLE, Path(tmp_path_factory.mktemp("busy")), per_second=3.0, more=("--json-percent", "50")
    )
    yield users
    users.stop()


def faulty_release(fault: str) -> dict[str, Any]:
    arguments = ["--upstream", "http://chat.demo.svc", "--fault", fault]
    return {
        "stable": {"service": "chat"},
        "runtime": "faulty",
        "serving": {"image": "bitshift.local/faulty-engine:1", "extraArgs": arguments},
        "ladder": [{"name": fault.replace("_", "-"), "artifact": "pvc://models/SmolLM2-135M-Instruct-F16.gguf"}],
        "gates": {
            "quality": {"suites": [{"name": "starter-facts", "marginPoints": 50}], "maxSeconds": 240},
            "load": {
                "requestsPerMinute": 60,
                "seconds": 10,
                "replyTokens": 4,
                "ttftMillis": 60_000,
                "itlMillis": 30_000,
            },
        },
        "traffic": {
            "route": "chat",
            "steps": [{"name": "all", "tenantsPercent": 100, "weightPercent": 50}],
            "evidence": {"promoteMarginPpm": 200_000, "latencyMarginPercent": 100, "stepDeadlineSeconds": 600},
            "drainSeconds": 10,
        },
    }


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_only_users_meet_brings_them_back_and_is_named(cluster: Cluster, busy_users: Users, fault: str):
    model = Model(cluster, "chat").given(faulty_release(fault))

    status = model.comes_to(lambda status: status.get("phase") == "Rejected", seconds=420, called="Rejected")

    (refused,) = status["refused"]
    assert refused["live"] and refused["reason"] == "CandidateWorse"
    assert FAULTS[fault] in refused["message"]
    assert not [name for name in FAULTS.values() if name != FAULTS[fault] and name in refused["message"]]
    model.gone()
