"""Clusters at play at the moments that tests begin with, and what tests ask of them."""

import json
from itertools import groupby

from tests.fake_api import FakeApi
from tests.play import Play
from tests.scenery import SPEC

ONE_RUNG = SPEC["ladder"][:1]
USERS_OWN = {"chat": 1}
AT_HOME = {"chat": 100}
NOTHING_RUNS = {
    "stable": None,
    "runtime": "llamacpp",
    "parent": {"artifact": "pvc://models/f16.gguf"},
    "traffic": {**SPEC["traffic"], "route": None, "gateway": "public", "hostname": "llm.example.com"},
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
