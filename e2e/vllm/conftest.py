"""vLLM behind the gateway with the 16-bit model, and users who talk to it while its checkpoints are rolled out."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster.images import VLLM
from e2e.demo import scenes
from e2e.demo.target import OwnCluster
from e2e.demo.users import Users
from e2e.models import provide_models
from e2e.vllm.artifacts import make_checkpoints

NAMESPACE, HOST = "vllm", "vllm.example.com"
START_SECONDS = 300


@pytest.fixture(scope="session")
def vllm_users(cluster: OwnCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Users]:
    """Users of an ordinary Deployment of vLLM; engines that earlier tests left would only take its cores."""
    make_checkpoints("BF16", paths=cluster.paths)
    cluster.provide_image(VLLM)
    cluster.kubectl("delete", "namespace", scenes.NAMESPACE, "--ignore-not-found", "--timeout=180s")
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    cluster.kubectl("-n", NAMESPACE, "delete", "quantizedmodel", "--all", "--timeout=120s")
    provide_models(cluster, NAMESPACE)
    cluster.apply((Path(__file__).parent / "before.yaml").read_text())
    rollout = ("-n", NAMESPACE, "rollout", "status", "deployment/chat", f"--timeout={START_SECONDS}s")
    cluster.kubectl(*rollout, timeout_seconds=START_SECONDS + 10)
    out = Path(tmp_path_factory.mktemp("vllm")) / "requests.jsonl"
    users = Users.start(cluster.gateway_url, HOST, out, per_second=0.2)
    scenes.wait_for(lambda: sum(each.ok for each in users.seen()) >= 5, 90, "five answered requests", users)
    yield users
    users.stop()
