"""Rollouts of replicas that span nodes: pods that answer beside pods that compute for them, and who counts as what."""

import copy

import pytest

from bitshift_core.fit.workloads import is_worker
from bitshift_core.rollout import names
from bitshift_operator.cluster.kinds import (
    DEPLOYMENT,
    LEADER_WORKER_SET,
    MODEL_REVISION,
    POD,
    QUANTIZED_MODEL,
    RUNTIME_PROFILE,
    SERVICE,
)
from tests.bitshift_operator.controller.played import ONE_RUNG, USERS_OWN, all_on, in_step, story, with_gpus
from tests.fake_api import FakeApi
from tests.play import CHAT, Play
from tests.scenery import SPEC
from tests.users import label

pytestmark = pytest.mark.long

TWO_NODES = {"gpusPerReplica": 4, "nodesPerReplica": 2}
ON_NODES = [
    {"flag": "--stages", "source": "PipelineParallel"},
    {"flag": "--nodes", "source": "NodesPerReplica"},
    {"flag": "--rank", "value": "$(LWS_WORKER_INDEX)", "when": "NodesPerReplica"},
    {"flag": "--computes-only", "when": "NodeRole", "equals": "Worker"},
]


def played(absent=(), **spec):
    """Return a cluster with a GPU node, and an engine that can span nodes, in which somebody just applied a model."""
    play = Play.of(FakeApi(absent=frozenset(absent)), **({"ladder": ONE_RUNG, "serving": TWO_NODES} | spec))
    with_gpus(play, 16)
    profile = play.api.get(RUNTIME_PROFILE, "", "llamacpp")
    play.api.put({**profile, "spec": profile["spec"] | {"args": [*profile["spec"]["args"], *ON_NODES]}})
    return play


async def promoted(**spec):
    play = played(**spec)
    await play.until_quiet()
    return play


def pods_of(play, revision):
    return [pod for pod in play.all(POD) if label(pod, names.REVISION) == revision]


async def test_a_release_that_spans_nodes_is_promoted_like_any_other():
    play = await promoted()
    revision = play.status["currentRevision"]

    assert story(play) == ["Planning", "Starting", "Gating", "Shifting", "Holding", "Serving"]
    assert revision == play.revision("q4") and play.releases == [revision]
    assert play.backends_for("acme") == play.backends_for() == all_on(revision)
    assert [each["metadata"]["name"] for each in play.all(DEPLOYMENT)] == ["chat"]


async def test_each_pod_has_its_share_of_gpus_and_one_of_each_group_answers():
    play = await promoted()
    pods = pods_of(play, play.status["currentRevision"])
    limits = [pod["spec"]["containers"][0]["resources"]["limits"] for pod in pods]

    assert limits == 4 * [{"nvidia.com/gpu": "2"}]
    assert sorted(label(pod, names.ROLE) for pod in pods) == ["release", "release", "release-worker", "release-worker"]
    assert sum(map(is_worker, pods)) == 2


async def test_workers_are_told_that_they_are_workers_and_that_is_sealed():
    play = await promoted()
    revision = play.status["currentRevision"]
    sealed = play.api.get(MODEL_REVISION, "team", revision)["spec"]
    told = {label(pod, names.ROLE): pod["spec"]["containers"][0]["args"] for pod in pods_of(play, revision)}

    assert (told["release"], told["release-worker"]) == (sealed["args"], sealed["workerArgs"])
    assert [each for each in told["release-worker"] if each not in told["release"]] == ["--computes-only"]
    assert sealed["nodesPerReplica"] == 2


async def test_no_service_leads_to_a_worker_and_no_worker_is_asked_a_prompt():
    play = await promoted()
    behind = [pod for service in play.all(SERVICE) for pod in play.pods_behind(service["metadata"]["name"])]
    workers = [pod for pod in play.all(POD) if is_worker(pod)]

    assert workers and not [pod for pod in behind if is_worker(pod)]
    assert not [pod for pod in workers if names.ANSWERED in pod["metadata"].get("annotations", {})]


async def test_a_worker_that_is_gone_holds_the_next_step_until_its_group_is_whole():
    play = played()
    await play.until(in_step("first"))
    worker = next(pod for pod in play.all(POD) if is_worker(pod))
    not_ready = {**worker["status"], "conditions": [{"type": "Ready", "status": "False"}]}
    play.api.put({**worker, "status": not_ready})
    await play.turn()

    assert play.status["reason"] == "CandidateNotReady"
    assert "1 of 2 candidate pods answer" in play.status["message"]
    play.api.put({**worker, "status": worker["status"]})
    await play.until_quiet()
    assert play.status["phase"] == "Serving"


async def test_a_release_that_spans_nodes_and_fails_users_goes_with_all_its_pods():
    play = played()
    await play.until(in_step("first"))
    play.broken.add("q4")
    revision = play.revision("q4")
    await play.until_quiet()

    assert (play.status["phase"], play.backends_for("acme")) == ("Rejected", USERS_OWN)
    assert play.all(LEADER_WORKER_SET) == []
    assert play.api.get(SERVICE, "team", revision) is None


async def test_the_next_release_takes_the_place_of_one_that_spans_nodes():
    play = await promoted()
    play.edit(ladder=SPEC["ladder"][1:], serving={"gpusPerReplica": 1})
    await play.until_quiet()

    assert play.status["currentRevision"] == play.revision("q8")
    assert play.all(LEADER_WORKER_SET) == []
    assert play.releases == [play.revision("q8")]


async def test_a_promoted_release_that_spans_nodes_gets_as_many_groups_as_the_spec_says_by_now():
    play = await promoted()
    play.edit(serving=TWO_NODES | {"replicas": 3})
    await play.until_quiet()

    assert len(play.pods_behind("chat-release")) == 3
    assert len(pods_of(play, play.status["currentRevision"])) == 6


async def test_a_promoted_release_that_spans_nodes_and_that_somebody_deletes_comes_back():
    play = await promoted()
    play.api.remove(LEADER_WORKER_SET, "team", play.status["currentRevision"])
    await play.until_quiet()

    assert len(play.pods_behind("chat-release")) == 2


async def test_a_model_deleted_after_the_handover_leaves_behind_groups_that_serve_its_users():
    play = await promoted()
    revision = play.status["currentRevision"]
    play.hand_over()
    await play.until_quiet()
    play.delete_model()
    for _ in range(4):
        await play.turn()

    assert play.api.get(QUANTIZED_MODEL, *CHAT) is None
    assert play.api.get(LEADER_WORKER_SET, "team", revision)["metadata"].get("ownerReferences") == []
    assert len(play.pods_behind("chat-release")) == 2


def on_nodes(deployment):
    """Return a user's LeaderWorkerSet of two groups of two pods, made of what their Deployment says."""
    template = copy.deepcopy(deployment["spec"]["template"])
    template["spec"]["containers"][0]["resources"]["limits"] = {"nvidia.com/gpu": "2"}
    worker = {**template, "metadata": {"labels": {"computes-for": "chat"}}}
    group = {"size": 2, "leaderTemplate": template, "workerTemplate": worker}
    return LEADER_WORKER_SET.new("team", "chat", spec={"replicas": 2, "leaderWorkerTemplate": group})


def adopted(**spec):
    """Return a cluster whose users are served by a LeaderWorkerSet of their own; nothing is said of GPUs or nodes."""
    play = played(**({"serving": {}} | spec))
    play.api.put(on_nodes(play.api.get(DEPLOYMENT, "team", "chat")))
    play.api.remove(DEPLOYMENT, "team", "chat")
    for name in ("chat-0", "chat-1"):
        if play.api.get(POD, "team", name):
            play.api.remove(POD, "team", name)
    return play


async def test_what_a_stable_on_nodes_has_is_inherited_its_nodes_too():
    play = adopted()
    await play.until_quiet()

    assert play.status["phase"] == "Serving"
    sealed = play.api.get(MODEL_REVISION, "team", play.status["currentRevision"])["spec"]
    assert (sealed["gpusPerReplica"], sealed["nodesPerReplica"]) == (4, 2)


async def test_the_idle_copy_of_a_stable_on_nodes_is_a_whole_group():
    play = adopted()
    await play.until(lambda play: play.api.get(POD, "team", "chat-baseline-0-1") is not None)
    baseline = play.api.get(LEADER_WORKER_SET, "team", "chat-baseline")

    assert baseline["spec"]["leaderWorkerTemplate"]["size"] == 2 and baseline["spec"]["replicas"] == 1
    assert label(play.api.get(POD, "team", "chat-baseline-0-1"), names.ROLE) == "baseline-worker"
    assert len(play.pods_behind("chat")) == 2


async def test_an_old_stable_on_nodes_frees_its_gpus_after_the_handover():
    play = adopted(afterPromotion="ScaleToZero")
    await play.until_quiet()
    play.hand_over()
    await play.until_quiet()

    assert play.api.get(LEADER_WORKER_SET, "team", "chat")["spec"]["replicas"] == 0


async def test_where_nothing_makes_groups_the_rung_is_refused_before_anything_starts():
    play = played(absent=[LEADER_WORKER_SET])
    await play.until_quiet()

    assert (play.status["phase"], play.status["reason"]) == ("Blocked", "LeaderWorkerSetNotServed")
    assert "`serving.nodesPerReplica` is 2" in play.status["message"]
    assert (play.releases, play.all(MODEL_REVISION), play.backends_for("acme")) == ([], [], USERS_OWN)


async def test_where_nothing_makes_groups_a_rung_on_one_node_is_tried_instead():
    ladder = [SPEC["ladder"][0], SPEC["ladder"][1] | {"serving": {"nodesPerReplica": 1}}]
    play = played(absent=[LEADER_WORKER_SET], ladder=ladder)
    await play.until_quiet()

    assert play.status["currentRevision"] == play.revision("q8")
    assert next(each["reason"] for each in play.status["rungs"]) == "LeaderWorkerSetNotServed"


async def test_once_leader_worker_sets_are_installed_the_release_starts():
    play = played(absent=[LEADER_WORKER_SET])
    await play.until_quiet()
    play.api.absent = frozenset()
    await play.until_quiet()

    assert play.status["phase"] == "Serving"
