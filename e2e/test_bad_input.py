"""Each mistake ends in a sentence that names the field and the way out; users stay; a corrected spec goes on."""

import hashlib
from typing import Any

import pytest

from e2e.cluster import Cluster
from e2e.cluster.commands import ClusterError
from e2e.cluster.settings import NODE_ADDRESS
from e2e.demo.target import apply
from e2e.demo.users import Users
from e2e.models import model_file
from e2e.steps import Model, Status, manifest, stable_answers

GOOD_RUNG = {"name": "q8-0", "artifact": "pvc://models/SmolLM2-135M-Instruct-Q8_0.gguf"}
GOES_ON = ("Starting", "Gating", "Serving", "Shifting")


def a_spec(rung: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A spec that judges only, so that mistakes cost no rollout."""
    return {
        "stable": {"service": "chat"},
        "ladder": [GOOD_RUNG | (rung or {})],
        "gates": manifest("works.yaml")["gates"],
        "traffic": {"mode": "None"},
    } | changes


TRUNCATED = {"artifact": "pvc://models/truncated.gguf"}
MISTAKES = {
    "a claim that does not exist": (
        a_spec({"artifact": "pvc://nowhere/model.gguf"}), "ClaimNotFound", ("`artifact`", "'nowhere'", "create it")),
    "a file that does not exist": (
        a_spec({"artifact": "pvc://models/absent.gguf"}), "ArtifactNotFound", ("absent.gguf",)),
    "a truncated GGUF": (a_spec(TRUNCATED), "TruncatedArtifact", ("bytes",)),
    "a digest that does not match": (
        a_spec({"digest": "sha256:" + hashlib.sha256(b"another file").hexdigest()}), "DigestMismatch", ("sha256:",)),
    "a route that does not exist": (
        a_spec(traffic={"route": "nowhere"}), "RouteNotFound", ("`traffic.route`", "'nowhere'", "create it")),
    "a stable that does not exist": (
        a_spec(stable={"service": "nobody"}, runtime="llamacpp"), "StableNotFound", ("`stable.service`", "'nobody'")),
    "a runtime that does not exist": (
        a_spec(runtime="llamadrama"), "RuntimeProfileNotFound", ("`runtime`", "'llamadrama'", "llamacpp")),
    "a suite that does not exist": (
        a_spec(gates={"quality": {"suites": [{"name": "nothing"}]}}), "EvalSuiteNotFound", ("`gates.quality.suites`",)),
    "a context longer than the model was trained for": (
        a_spec({"serving": {"contextTokens": 1_000_000}}), "ContextTooLong", ("`serving.contextTokens`", "1000000")),
    "a server that cannot be reached": (
        a_spec({"artifact": f"http://{NODE_ADDRESS}:9/model.gguf"}), "ArtifactUnreachable", (f"{NODE_ADDRESS}:9",)),
    "an argument that contradicts the spec": (
        a_spec({"serving": {"extraArgs": ["--ctx-size", "99"]}}), "ExtraArgContradicts", ("`serving.extraArgs`", "--ctx-size")),
    "a model larger than the node": (
        a_spec({"serving": {"concurrentSequences": 4096, "contextTokens": 8192}}), "InsufficientMemory", ("GiB",)),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def truncated_file() -> None:
    whole = model_file("Q8_0")
    (whole.parent / "truncated.gguf").write_bytes(whole.read_bytes()[:5_000_000])


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda text: text.replace(" ", "-"))
def test_a_mistake_is_named_with_its_way_out_and_a_corrected_spec_goes_on(cluster: Cluster, users: Users, mistake: str):
    spec, reason, words = MISTAKES[mistake]
    model = Model(cluster, "mistaken").given(spec)

    status = model.comes_to(lambda status: status.get("phase") == "Blocked", seconds=90, called="Blocked")

    assert status["reason"] == reason, status["message"]
    for word in words:
        assert word in status["message"]
    assert any(each["type"] == "Stalled" and each["status"] == "True" for each in status["conditions"])
    assert stable_answers(cluster)
    model.given(a_spec(traffic={"mode": "None"}) | ({"traffic": {"route": "chat"}} if "route" in mistake else {}))
    model.comes_to(lambda status: status.get("phase") in GOES_ON, seconds=90, called="going on")
    model.gone()


@pytest.mark.parametrize(
    ("serving", "reason", "words"),
    [
        ({"image": "bitshift.local/absent:1"}, "ImageCannotBePulled", ("`serving.image`", "bitshift.local/absent:1")),
        ({"extraArgs": ["--no-such-flag"]}, "UnknownArgument", ("exited with code", "no-such-flag")),
    ],
    ids=["an-image-that-cannot-be-pulled", "a-pod-that-crashes-at-start"],
)
def test_a_release_that_cannot_start_says_why_while_users_stay(
    cluster: Cluster, users: Users, serving: dict[str, Any], reason: str, words: tuple[str, ...]
):
    model = Model(cluster, "mistaken").given(a_spec({"serving": serving}, runtime="llamacpp"))

    def named(status: Status) -> bool:
        """In the status itself while it is tried, then in the rung that was refused for it."""
        rungs = status.get("rungs") or []
        return reason in (status.get("reason"), *(each.get("reason") for each in rungs))

    status = model.comes_to(named, seconds=120, called=reason)

    for word in words:
        assert word in status["message"]
    assert stable_answers(cluster)
    model.given(a_spec())
    model.comes_to(lambda status: status.get("phase") == "Gating", seconds=120, called="Gating")
    model.gone()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (a_spec({"serving": {"contextTokens": "8k"}}), ("contextTokens", "numeric")),
        (a_spec({"serving": {"contextTokens": 1}}), ("contextTokens", "64")),
        (a_spec(ladder=[]), ("ladder",)),
        (a_spec(ladder=[GOOD_RUNG, GOOD_RUNG]), ("ladder", "q8-0")),
        (a_spec(traffic={}), ("must name either `route`",)),
        (a_spec({"artifact": "ftp://x/model.gguf"}), ("must start with pvc://",)),
        (a_spec(tarffic={}), ("tarffic",)),
    ],
    ids=["unit", "bound", "no-rung", "same-rung-twice", "no-way-for-traffic", "scheme", "typo"],
)
def test_what_the_schema_can_see_is_refused_at_admission(
    cluster: Cluster, spec: dict[str, Any], words: tuple[str, ...]
):
    with pytest.raises(ClusterError) as refused:
        Model(cluster, "refused").given(spec)

    for word in words:
        assert word in str(refused.value)


def test_a_suite_without_items_is_refused_at_admission(cluster: Cluster):
    suite = "apiVersion: bitshift.dev/v1alpha1\nkind: EvalSuite\nmetadata: {name: empty}\nspec: {scorer: Contains}"

    with pytest.raises(ClusterError, match="must have at least one item"):
        apply(cluster, suite)
