"""Die after any single write, start again, observe: users are answered all the while, and the end is the same.

`make test` dies after each of them; by itself, without `EXAMPLES=all`, this file dies after every fourth.
"""

from collections import Counter
from dataclasses import dataclass
from itertools import cycle

import pytest

from bitshift_core.evidence.live import LiveState
from bitshift_core.evidence.report import Verdict
from bitshift_core.rollout import names
from bitshift_core.rollout.one_pod import has_answered
from bitshift_operator.cluster.kinds import CONFIG_MAP, DEPLOYMENT, EVENT, HTTP_ROUTE, QUANTIZED_MODEL
from tests.bitshift_operator.controller.played import full, in_step, is_noted, played
from tests.examples import WIDE
from tests.play import CHAT, Died, Play
from tests.scenery import MANY_ENDPOINTS, SILENT, SPEC, TENANTS
from tests.users import argument

pytestmark = pytest.mark.long

NEVER = "x-bitshift-never"
TWO_ROUTES = {"tenants": {"first": ["acme"], "last": list(SILENT)}}
TRAFFIC = SPEC["traffic"] | TWO_ROUTES | {"steps": SPEC["traffic"]["steps"][:1], "holdSeconds": 1}


@dataclass(frozen=True)
class Scene:
    """What was there before the operator begins to die, and what shall come of it."""

    ladder: tuple[str, ...]
    refused: str = ""
    broken: str = ""
    then: str = ""
    phase: str = "Serving"
    swaps: bool = False
    """Stable holds every GPU, and may lend one."""


SCENES = {
    "a promotion of the second rung": Scene(("q4", "q8"), refused="q4"),
    "a rollback": Scene(("q4",), broken="q4", phase="Rejected"),
    "a return to the promoted release": Scene(("q8",), broken="q4", then="another rung first", phase="Rejected"),
    "newcomers": Scene(("q4",), then="more tenants"),
    "a handover": Scene(("q4",), then="hand over"),
    "a deletion": Scene(("q4",), then="delete", phase=""),
    "a swap for a rung that is refused and one that stays": Scene(("q4", "q8"), refused="q4", swaps=True),
    "a swap and its return": Scene(("q4",), broken="q4", phase="Rejected", swaps=True),
    "a deletion in the middle of a swap": Scene(("q4",), then="delete", phase="", swaps=True),
}


BEGUN: dict[Scene, Play] = {}


async def begun(scene: Scene) -> Play:
    """Return the cluster at the moment at which the scene begins; it is lived up to once."""
    if scene not in BEGUN:
        BEGUN[scene] = await before(scene)
    return BEGUN[scene].fork()


async def before(scene: Scene) -> Play:
    ladder = [rung for rung in SPEC["ladder"] if rung["name"] in scene.ladder]
    after = {"afterPromotion": "ScaleToZero"}
    begin = full if scene.swaps else played
    play = begin(endpoints=MANY_ENDPOINTS, ladder=ladder, traffic=TRAFFIC, **after)
    play.verdicts["quality", scene.refused] = Verdict.FAILED
    play.broken.add(scene.broken)
    match scene.then:
        case "another rung first":
            await play.until_quiet()
            play.edit(ladder=SPEC["ladder"])
        case "hand over":
            await play.until_quiet()
            play.hand_over()
        case "more tenants":
            play.edit(traffic=TRAFFIC | {"tenants": {}})
            await play.until(in_step("first"))
            play.tenants = (*TENANTS, *SILENT)
        case "delete":
            await play.until(in_step("first"))
            play.delete_model()
    return play


# --- what must be true after every single write


def troubles(play: Play) -> list[str]:
    """Everything that no moment may show."""
    found = [trouble for route in play.all(HTTP_ROUTE) for trouble in in_route(play, route)]
    model = play.api.objects[QUANTIZED_MODEL].get(CHAT)
    if play.overlay and model and names.FINALIZER not in model["metadata"].get("finalizers", []):
        found.append("an overlay is there, and nothing holds the object whose deletion would not bring users home")
    if is_noted(play) and model and names.FINALIZER not in model["metadata"].get("finalizers", []):
        found.append("stable lent a replica, and nothing holds the object whose deletion would not give it back")
    return found + miscounted(play)


def in_route(play: Play, route):
    where = route["metadata"]["name"]
    for rule in route["spec"]["rules"]:
        is_live = NEVER not in str(rule["matches"][0])
        for ref in rule["backendRefs"]:
            if not play.pods_behind(ref["name"]):
                yield f"{where} names Service {ref['name']}, which has no ready pods"
            elif is_live and ref.get("weight", 1):
                yield from behind_relay(play, where, ref["name"])


def behind_relay(play: Play, where: str, service: str):
    relay = play.api.objects[DEPLOYMENT].get(("team", names.relay_name("chat")))
    if service == names.relay_name("chat", "candidate"):
        revision = argument(relay, "--release")
        if not any(has_answered(pod) for pod in play.pods_behind(revision)):
            yield f"{where} sends users to {revision}, of which no ready pod answered a prompt"
    if service == names.relay_name("chat", "stable"):
        stable = argument(relay, "--stable-url").removeprefix("http://").partition(".")[0]
        if not play.pods_behind(stable):
            yield f"{where} sends users to {stable} through the relay, and it has no ready pods"


def miscounted(play: Play) -> list[str]:
    """What the evidence has counted otherwise than once."""
    kept = play.api.objects[CONFIG_MAP].get(("team", names.evidence_name("chat")))
    if kept is None:
        return []
    state, sent = LiveState.model_validate_json(kept["data"]["state.json"]), Counter()
    for key, until in state.watermarks.items():
        pod_and_boot, _, stage = key.rpartition("/")
        if stage == "first":
            sent += play.really_sent(pod_and_boot, until)
    return [] if state.seen == sent else [f"counted {state.seen} of {dict(sent)} requests"]


def watching(play: Play, then=lambda: None):
    """Look at the cluster after each write that changed it, and go on with `then`."""
    before = play.api.version

    def after(verb, target):
        nonlocal before
        if target.kind is EVENT or play.api.version == before:
            return
        before = play.api.version
        assert not troubles(play), f"{troubles(play)} after {verb} {target.kind.plural} {target.name}"
        then()

    return after


@pytest.mark.parametrize("name", SCENES)
async def test_whenever_the_operator_dies_users_are_answered_and_it_ends_as_if_it_had_not(name):
    main, deaths = await begun(SCENES[name]), []
    main.api.after = watching(main, lambda: deaths.append(main.fork()))
    states = await states_of(main)

    assert main.status.get("phase", "") == SCENES[name].phase
    assert len(deaths) > 3
    for number, play in list(enumerate(deaths))[:: 1 if WIDE else 4]:
        play.api.after = watching(play)
        await rejoin(play, states, f"{name}, after its change number {number}")


async def states_of(play: Play) -> set[str]:
    """Live to the end, and return each turn's state."""
    states: set[str] = set()
    await play.until_quiet(each=lambda: states.add(play.state()))
    return states


async def rejoin(play: Play, states: set[str], where: str) -> None:
    """Take turns until the cluster is as it was at some moment of the undisturbed life: its future is known then."""
    for _ in range(12):
        await play.turn()
        if play.state() in states:
            return
    raise AssertionError(f"went another way in {name_of(play)} ({where})")


def name_of(play: Play) -> str:
    return f"phase {play.status.get('phase')}: {play.status.get('message')}"


async def test_an_operator_that_dies_again_and_again_ends_where_one_that_lives_does():
    scene = SCENES["a return to the promoted release"]
    living, dying = await begun(scene), await begun(scene)
    await living.until_quiet()
    changes = cycle([True, False, True, False, False, True, *6 * [False], True])

    def die():
        if next(changes):
            raise Died

    dying.api.after = watching(dying, die)
    await dying.until_quiet()

    assert dying.ending() == living.ending()
