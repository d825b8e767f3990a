"""Few bits on a real vLLM: what answers garbage is refused by its numbers, and what holds is promoted.

Four bits where the CPU has a kernel for them, else eight.
"""

import time

from e2e.cluster import Cluster
from e2e.demo.users import Users
from e2e.steps import Model
from e2e.vllm.artifacts import make_checkpoints
from e2e.vllm.conftest import NAMESPACE
from e2e.vllm.steps import FORMAT, KERNELS, TRAFFIC, a_spec


def test_a_damaged_artifact_is_refused_by_its_numbers_and_the_whole_one_is_promoted(
    cluster: Cluster, vllm_users: Users
):
    make_checkpoints(f"{FORMAT}-DAMAGED", FORMAT, paths=cluster.paths)
    began = time.time()
    model = Model(cluster, "chat", NAMESPACE).given(a_spec(f"{FORMAT}-DAMAGED", FORMAT, traffic=TRAFFIC))

    status = model.comes_to(
        lambda status: bool(status.get("currentRevision")) or status.get("phase") in ("Rejected", "Blocked"),
        seconds=1_500, called="the promotion",
    )  # fmt: skip

    damaged, whole = status["rungs"]
    assert (damaged["state"], damaged["reason"]) == ("Refused", "WrongNumbers")
    assert "perplexity" in damaged["message"]
    assert whole["state"] == "Current", whole["message"]
    assert [gate["verdict"] for gate in whole["gates"]] == ["Passed", "Passed", "Passed"]
    assert KERNELS[FORMAT] in whole["engine"]
    seen = vllm_users.seen(began)
    assert [each for each in seen if not each.ok] == []
    assert any(each.arm == "candidate" for each in seen)
