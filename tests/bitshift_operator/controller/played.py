"""Clusters at play at the moments that tests begin with, and what tests ask of them."""

import json
from itertools import groupby

from bitshift_core.rollout import names
from bitshift_operator.cluster.kinds import DEPLOYMENT, NODE
from tests.controllers import GPU
from tests.fake_api import FakeApi
from tests.play import Play
from tests.scenery import SPEC, a_node

ONE_RUNG = SPEC["ladder"][:1]
USERS_OWN = {"chat": 1}
AT_HOME = {"chat": 100}
NOTHING_RUNS = {
    "stable": None,
    "runtime": "llamacpp",
    "parent": {"artifact": "pvc://models/f16.gguf"},
    "traffic": {**SPEC["traffic"], "route": None, "gateway": "public", "hostname": "llm.example.com"},
}

ON_ONE_GPU = {"gpusPerReplica": 1, "replicas": 1}
GPU_LABELS = {
    "nvidia.com/gpu.memory": "81559",
    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
    "nvidia.com/gpu.compute.major": "9",
    "nvidia.com/gpu.compute.minor": "0",
}

LIVED: dict[str, Play] = {}
"""Clusters at moments that several tests begin with: each is lived up to once."""


def played(**spec):
    """Return a cluster in which somebody just applied a model."""
    return Play.of(FakeApi(), **({"ladder": ONE_RUNG} | spec))


async def played_until(moment, **spec):
    """Return a cluster at a moment: at rest, or in a step of its rollout."""
    key = json.dumps([moment, spec])
    if key not in LIVED:
        LIVED[key] = played(**spec)
        await (LIVED[key].until_quiet() if moment == "rest" else LIVED[key].until(in_step(moment)))
    return LIVED[key].fork()


def with_gpus(play, count):
    """Give the cluster's node so many GPUs."""
    node = a_node()
    node["metadata"]["labels"] = dict(GPU_LABELS)
    node["status"]["allocatable"] |= {GPU: str(count)}
    play.api.put({**play.api.get(NODE, "", "node-1"), **node})


def full(replicas=2, *, gpus=None, **spec):
    """Return a cluster whose stable holds every GPU, and in which somebody just applied a model that may swap."""
    play = played(**({"serving": ON_ONE_GPU, "whenFull": "Serial"} | spec))
    with_gpus(play, gpus or replicas)
    stable = stable_of(play)
    stable["spec"]["replicas"] = replicas
    stable["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"] = {GPU: "1"}
    play.api.put(stable)
    return play


def stable_of(play):
    return play.api.get(DEPLOYMENT, "team", "chat")


def is_noted(play):
    """Whether stable's Deployment notes that it lent replicas."""
    return names.LENT in stable_of(play)["metadata"].get("annotations", {})


def all_on(revision):
    return {revision: 100}


def story(play):
    return [phase for phase, _ in groupby(play.phases)]


def in_step(step):
    return lambda play: any(route["metadata"]["annotations"]["bitshift.dev/step"] == step for route in play.overlay)


def refusals(play):
    return [(each["revision"], each["reason"]) for each in play.status.get("refused", [])]


def conditions(play):
    return {each["type"]: each["status"] for each in play.status["conditions"]}
