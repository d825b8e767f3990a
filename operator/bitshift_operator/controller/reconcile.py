"""One turn of one model: observe, decide, act, report. A newcomer starts here.

Failures of the API escape on purpose: the queue takes the turn again, with back-off.
"""

import logging
from typing import Any

from bitshift_core.rollout.errors import UserError
from bitshift_core.rollout.observation import Observation
from bitshift_core.rollout.phases import decide
from bitshift_core.rollout.plan import Decision, Plan, RouteHome
from bitshift_core.rollout.seeing import see
from bitshift_core.rollout.status import report

from ..cluster.act import Turn
from ..cluster.client import Manifest
from ..cluster.kinds import HTTP_ROUTE, NODE, POD, QUANTIZED_MODEL, SERVICE, WORKLOADS, Key
from ..cluster.routing import NotConfirmed
from .interests import ANY, Thing
from .profiles import judge_profile
from .world import World

QUIET_SECONDS = 3.0
"""While only numbers change, a status is written at most so often."""
NOT_CONFIRMED_SECONDS = 0.5

log = logging.getLogger(__name__)


async def reconcile(key: Key, world: World) -> float | None:
    """Take one turn; return the seconds until the next look, or None to sleep until something changes."""
    if not key.namespace:
        await judge_profile(key.name, world)
        return None
    snapshot = await world.reader.snapshot(key, world.now())
    if snapshot is None:
        world.forget(key)
        return None
    seen = see(snapshot)
    decision = decide(seen)
    turn = Turn(world.kube, world.settings, world.http, seen, snapshot, world.now())
    decision = await _act(turn, seen, decision, world)
    world.metrics.decided(key, decision)
    world.interests.note(key, _interests(seen))
    return await _tell(key, world, dict(snapshot.model), seen, decision)


async def _act(turn: Turn, seen: Observation, decision: Decision, world: World) -> Decision:
    """Carry the plan out; what the data plane or the user still owes becomes the reason that is told."""
    try:
        await turn.act(decision.plan.actions)
    except NotConfirmed as error:
        log.info("the data plane does not agree yet", extra={"model": seen.name, "why": str(error)})
        plan = Plan("RouteNotConfirmed", str(error), decision.plan.actions, NOT_CONFIRMED_SECONDS)
        return decision if _leaves(decision) else Decision(decision.phase, plan)
    except UserError as error:
        return Decision("Blocked", Plan(error.reason, error.message, stalled=True, wake_after=30))
    if _leaves(decision):
        world.metrics.rollback_seconds.observe(world.now() - seen.now)
    return decision


def _interests(seen: Observation) -> list[Thing]:
    """Return what is not ours but would change the next decision; room matters only to who waits for it."""
    near = Key(seen.namespace, seen.spec.stable.service if seen.spec.stable else "")
    owner, name = seen.stable.owner if seen.stable else ("", "")
    things: list[Thing] = [
        (SERVICE, near),
        *((kind, Key(seen.namespace, name)) for kind in WORKLOADS if kind.kind == owner),
    ]
    if seen.spec.traffic.route:
        things.append((HTTP_ROUTE, Key(seen.namespace, seen.spec.traffic.route)))
    if any(release.fit and release.fit.verdict != "Fits" for release in seen.releases):
        things += [(NODE, ANY), (POD, ANY)]
    return things


def _leaves(decision: Decision) -> bool:
    return any(isinstance(action, RouteHome) for action in decision.plan.actions)


async def _tell(key: Key, world: World, model: Manifest, seen: Observation, decision: Decision) -> float | None:
    """Write the status if it changed, and post the milestones."""
    status = report(seen, decision).as_json()
    before = model.get("status") or {}
    wake_after = decision.plan.wake_after
    if status == before:
        return wake_after
    if _same_story(before, status) and world.told_lately(key, QUIET_SECONDS):
        return wake_after if wake_after is not None else QUIET_SECONDS
    metadata = await _live_metadata(key, world, model)
    if metadata is None:
        return wake_after  # this very turn let it go
    await world.kube.replace_status({**model, "status": status, "metadata": metadata})
    world.told(key)
    if not _same_story(before, status):
        warning = decision.phase in ("RollingBack", "Rejected", "Blocked")
        await world.events.post(model, decision.plan.reason, decision.plan.message, warning=warning)
    return wake_after


async def _live_metadata(key: Key, world: World, model: Manifest) -> dict[str, Any] | None:
    """Return what guards the write: our own writes of this turn moved the version, a user's must not have."""
    live = await world.kube.get(QUANTIZED_MODEL, key.namespace, key.name)
    if live is None or live["metadata"].get("uid") != model["metadata"].get("uid"):
        return None
    metadata: dict[str, Any] = live["metadata"]
    if metadata.get("generation") != model["metadata"].get("generation"):
        return dict(model["metadata"])  # the old version makes the write a Conflict: the next turn sees the new spec
    return metadata


def _same_story(before: Manifest, after: Manifest) -> bool:
    """Return whether only numbers in sentences differ, which nobody needs at once."""
    keys = (
        "phase",
        "reason",
        "rung",
        "canary",
        "gates",
        "currentRevision",
        "refused",
        "observedGeneration",
        "handover",
    )
    if any(before.get(key) != after.get(key) for key in keys):
        return False
    return _states(before) == _states(after)


def _states(status: Manifest) -> list[tuple[str, str, str]]:
    return [(each["type"], each["status"], each["reason"]) for each in status.get("conditions") or []]
