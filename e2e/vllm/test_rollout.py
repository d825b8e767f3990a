"""Few bits on a real vLLM: what answers garbage is refused by its numbers, and what holds is promoted.

Four bits where the CPU has a kernel for them, else eight.
"""

import time
from pathlib import Path

from e2e.demo.target import OwnCluster
from e2e.demo.users import Users
from e2e.steps import Model
from e2e.vllm.artifacts import make_checkpoints
from e2e.vllm.conftest import HOST, NAMESPACE
from e2e.vllm.steps import FORMAT, KERNELS, TRAFFIC, a_spec

BUSIER = 0.4
"""Requests a second more, once no third engine takes the cores: evidence grows by them."""


def test_a_damaged_artifact_is_refused_by_its_numbers_and_the_whole_one_is_promoted(
    cluster: OwnCluster, vllm_users: Users, tmp_path: Path
):
    make_checkpoints(f"{FORMAT}-DAMAGED", FORMAT, paths=cluster.paths)
    began = time.time()
    model = Model(cluster, "chat", NAMESPACE).given(a_spec(f"{FORMAT}-DAMAGED", FORMAT, traffic=TRAFFIC))

    ended = ("Rejected", "Blocked")
    model.comes_to(lambda status: status.get("phase") in ("Shifting", *ended), seconds=1_500, called="the first step")
    more_users = Users.start(cluster.gateway_url, HOST, tmp_path / "more.jsonl", per_second=BUSIER)
    try:
        status = model.comes_to(
            lambda status: bool(status.get("currentRevision")) or status.get("phase") in ended,
            seconds=900, called="the promotion",
        )  # fmt: skip
    finally:
        more_users.stop()

    damaged, whole = status["rungs"]
    assert (damaged["state"], damaged["reason"]) == ("Refused", "WrongNumbers")
    assert "perplexity" in damaged["message"]
    assert whole["state"] == "Current", whole["message"]
    assert [gate["verdict"] for gate in whole["gates"]] == ["Passed", "Passed", "Passed"]
    assert KERNELS[FORMAT] in whole["engine"]
    seen = [*vllm_users.seen(began), *more_users.seen()]
    assert [each for each in seen if not each.ok] == []
    assert any(each.arm == "candidate" for each in seen)
