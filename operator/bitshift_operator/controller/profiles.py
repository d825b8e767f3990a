"""One turn of a RuntimeProfile: tell in its status whether releases may use it.

Here: reading, and writing what changed. Not here: the judgement (`bitshift_core.rollout.profiles`), who uses profiles
(`cluster.observe`). The write wakes this turn once more, which finds nothing to change.
"""

import logging

from bitshift_core.rollout.profiles import profile_status

from ..cluster.kinds import RUNTIME_PROFILE
from .world import World

log = logging.getLogger(__name__)


async def judge_profile(name: str, world: World) -> None:
    """Write the profile's `Accepted` condition if it is not what it should be."""
    manifest = await world.kube.get(RUNTIME_PROFILE, "", name)
    if manifest is None or "deletionTimestamp" in manifest["metadata"]:
        return
    status = profile_status(manifest, world.now()).as_json()
    if status == (manifest.get("status") or {}):
        return
    await world.kube.replace_status({**manifest, "status": status})
    log.info("judged a runtime profile", extra={"profile": name, "accepted": status["conditions"][0]["status"]})
