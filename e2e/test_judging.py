"""What is judged without anybody being moved: the examples, artifacts that change behind their names, a first release."""

import hashlib
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from e2e.cluster import Cluster
from e2e.cluster.settings import NODE_ADDRESS
from e2e.demo import scenes
from e2e.demo.scenes import NAMESPACE, ROOT
from e2e.demo.target import get
from e2e.demo.users import Users
from e2e.file_server import serving
from e2e.models import model_file, provide_models
from e2e.steps import Model, manifest, stable_answers

EXAMPLES = sorted((ROOT / "crds" / "examples").glob("*.yaml"))
FIRST_HOST = "first.example.com"
QUICK_GATES = {
    "quality": {"maxSeconds": 240, "suites": [{"name": "starter-facts", "marginPoints": 20}]},
    "load": {"requestsPerMinute": 120, "seconds": 26, "promptTokens": 100, "replyTokens": 4, "slowerPercent": 900},
}


@pytest.fixture(scope="module")
def examples(cluster: Cluster) -> Iterator[str]:
    """A namespace of its own: what the examples name is not there."""
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "examples"}})
    yield "examples"
    cluster.kubectl("delete", "namespace", "examples", "--wait=false")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_taken_as_it_stands_and_told_what_it_lacks(cluster: Cluster, examples: str, example: Path):
    cluster.kubectl("-n", examples, "apply", "-f", str(example))
    (found,) = get(cluster, "quantizedmodels", "-n", examples)["items"]
    model = Model(cluster, found["metadata"]["name"], examples)

    status = model.comes_to(lambda status: status.get("phase") == "Blocked", seconds=30, called="Blocked")

    assert status["reason"] in {"StableNotFound", "ClaimNotFound"}
    assert "create it" in status["message"]
    model.gone()


@pytest.fixture
def swapped() -> Iterator[Path]:
    """An artifact whose name stays while its bytes become others."""
    path = model_file("Q8_0").with_name("swapped.gguf")
    yield path
    path.unlink(missing_ok=True)


def lay(precision: str, path: Path) -> None:
    """Put another model behind a name at once, as a careless upload would."""
    fresh = path.with_suffix(".part")
    shutil.copyfile(model_file(precision), fresh)
    fresh.replace(path)


def verdicts_of(status: dict[str, Any]) -> dict[str, str]:
    (rung,) = status["rungs"]
    return {gate["name"]: gate["verdict"] for gate in rung["gates"]}


def test_the_verdict_follows_the_bytes_and_not_the_name(cluster: Cluster, users: Users, swapped: Path):
    lay("Q8_0", swapped)
    spec = {
        "stable": {"service": "chat"},
        "serving": {"extraArgs": ["--threads", "1"]},
        "ladder": [{"name": "swapped", "artifact": f"pvc://models/{swapped.name}"}],
        "gates": QUICK_GATES,
        "traffic": {"mode": "None", "drainSeconds": 1},
    }
    model = Model(cluster, "swapped").given(spec)
    judged = model.comes_to(lambda status: status.get("reason") == "Judged", seconds=300, called="all gates passed")
    lay("Q2_K", swapped)
    cluster.kubectl("-n", model.namespace, "annotate", "qm", model.name, "bitshift.dev/retry=swapped")

    refused = model.comes_to(lambda status: status.get("phase") == "Rejected", seconds=300, called="Rejected")

    assert set(verdicts_of(judged).values()) == {"Passed"}
    assert refused["rungs"][0]["reason"] == "QualityFailed"
    assert refused["rungs"][0]["revision"] != judged["rungs"][0]["revision"]
    assert stable_answers(cluster)
    model.gone()


def test_an_artifact_over_https_is_sized_by_its_header_alone_and_then_fetched_and_held_to_its_digest(
    cluster: Cluster, users: Users
):
    whole = model_file("Q2_K")
    digest = f"sha256:{hashlib.sha256(whole.read_bytes()).hexdigest()}"
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NODE_ADDRESS).configure_cert(tls)
    metadata = {"name": "authorities", "namespace": NAMESPACE}
    bundle = {"ca.crt": authority.cert_pem.bytes().decode()}
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": bundle})
    with serving(whole.parent, NODE_ADDRESS, tls) as server:
        rung = {"name": "q2-k", "artifact": f"{server.url}/{whole.name}", "digest": digest}
        spec = {"stable": {"service": "chat"}, "ladder": [rung], "gates": QUICK_GATES, "traffic": {"mode": "None"}}
        spec |= {"serving": {"extraArgs": ["--threads", "1"]}, "sources": {"caBundle": {"configMap": "authorities"}}}
        model = Model(cluster, "fetched").given(spec)
        model.comes_to(lambda status: status.get("phase") == "Starting", seconds=60, called="sized")
        header_bytes = sum(server.sent_bytes)

        model.comes_to(lambda status: status.get("phase") == "Gating", seconds=120, called="answering")

        assert header_bytes < whole.stat().st_size / 10
        assert sum(server.sent_bytes) >= whole.stat().st_size
        model.gone()


def test_a_first_release_is_judged_against_its_parent_and_then_serves_at_a_route_made_for_it(
    cluster: Cluster, users: Users
):
    provide_models(cluster, "demo")
    serving = manifest("works.yaml")["serving"] | {
        "image": "bitshift.local/llama-cpp:1",
        "servedModelName": "smollm2",
        "contextTokens": 512,
        "concurrentSequences": 2,
        "gpusPerReplica": 0,
    }
    spec = {
        "runtime": "llamacpp",
        "parent": {"artifact": "pvc://models/SmolLM2-135M-Instruct-F16.gguf"},
        "serving": serving,
        "ladder": [{"name": "q8-0", "artifact": "pvc://models/SmolLM2-135M-Instruct-Q8_0.gguf"}],
        "gates": QUICK_GATES,
        "traffic": {"gateway": "gateway-system/gw", "hostname": FIRST_HOST, "drainSeconds": 1},
    }

    model = Model(cluster, "first").given(spec)
    status = model.comes_to(lambda status: status.get("reason") == "Serving", seconds=300, called="serving")

    assert verdicts_of(status) == {"compatibility": "Passed", "quality": "Passed", "load": "Passed"}
    body = {"model": "smollm2", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4}
    url, host = f"{cluster.gateway_url}/v1", {"host": FIRST_HOST}
    scenes.wait_for(lambda: httpx.get(f"{url}/models", headers=host).is_success, 10, "route in the gateway", users)
    assert httpx.post(f"{url}/chat/completions", json=body, headers=host, timeout=60).status_code == 200
    model.gone()
