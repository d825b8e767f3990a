"""Whether a RuntimeProfile can be used: what the API server's schema cannot see, in one sentence.

Here: manifest → profile, or why not; the status that says so. Not here: writing it (`controller.profiles`).
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ..api.catalogue import Argument, ArgumentSource, RuntimeProfileSpec, RuntimeProfileStatus
from ..api.conditions import ACCEPTED, timestamp, with_conditions
from ..api.v1alpha1 import Condition
from .engine import spellings
from .places import BESIDE_MOUNT, MODEL_MOUNT

INVALID = "Invalid"
TAKEN = (MODEL_MOUNT, BESIDE_MOUNT)
NEEDED = {
    ArgumentSource.MODEL_PATH: "which model to load",
    ArgumentSource.PORT: "on which port to answer",
}
CONTEXT_SOURCES = (ArgumentSource.CONTEXT_TOKENS, ArgumentSource.TOTAL_CONTEXT_TOKENS)


def read_profile(manifest: Mapping[str, Any]) -> RuntimeProfileSpec | str:
    """Return the profile, or the sentence that says why nothing may use it."""
    name = manifest["metadata"]["name"]
    try:
        profile = RuntimeProfileSpec.model_validate(manifest["spec"])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"RuntimeProfile '{name}' cannot be used: `{where}`: {first['msg']}."
    fault = _fault(profile)
    return f"RuntimeProfile '{name}' cannot be used: {fault}" if fault else profile


def profile_status(manifest: Mapping[str, Any], now: float) -> RuntimeProfileStatus:
    """Return what the profile's status must say; the same again while nothing of it changed."""
    read = read_profile(manifest)
    known = RuntimeProfileStatus.model_validate(manifest.get("status") or {})
    said = Condition(
        type=ACCEPTED,
        status="False" if isinstance(read, str) else "True",
        reason=INVALID if isinstance(read, str) else "Accepted",
        message=read[:2000] if isinstance(read, str) else "Releases may use it.",
        observed_generation=manifest["metadata"].get("generation", 0),
        last_transition_time=timestamp(now),
    )
    return RuntimeProfileStatus(conditions=with_conditions(known.conditions, [said]))


def _fault(profile: RuntimeProfileSpec) -> str:
    sources = {argument.source for argument in profile.args}
    for source, meaning in NEEDED.items():
        if source not in sources:
            return f"`args` must have one with the source {source}: the engine would not be told {meaning}."
    if not sources & set(CONTEXT_SOURCES):
        either = " or ".join(CONTEXT_SOURCES)
        return f"`args` must have one with the source {either}: a promised context must be asked for."
    for argument in profile.args:
        if fault := _argument_fault(argument):
            return fault
    return _repeated_flag(profile) or _path_fault(profile)


def _argument_fault(argument: Argument) -> str:
    shown = argument.flag or argument.value or argument.source
    if argument.value is not None and argument.source is not ArgumentSource.VALUE:
        return f"`args`: '{shown}' has both a `value` and the source {argument.source}: one of them must go."
    if argument.equals is not None and argument.when is None:
        return f"`args`: '{shown}' has `equals` without `when`: say which source must have that value."
    since, until = (tuple(map(int, each.split("."))) if each else () for each in (argument.since, argument.until))
    if since and until and since >= until:
        return f"`args`: '{shown}' is known since {argument.since} and no longer from {argument.until}: nowhere."
    return ""


def _repeated_flag(profile: RuntimeProfileSpec) -> str:
    """Return a sentence about a flag that would be written twice: only one of the values would count."""
    seen: dict[str, Argument] = {}
    for argument in profile.args:
        for flag in spellings(argument):
            other = seen.setdefault(flag, argument)
            if other is not argument and not (other.until or argument.until or other.when or argument.when):
                return f"`args` sets '{flag}' twice."
    return ""


def _path_fault(profile: RuntimeProfileSpec) -> str:
    for path in profile.writable_directories:
        if path == "/" or any(f"{path.rstrip('/')}/".startswith(f"{taken}/") for taken in TAKEN):
            return f"`writableDirectories` must not hold '{path}': artifacts are mounted there, read-only."
    if len(set(profile.endpoints)) != len(profile.endpoints):
        return "`endpoints` names a path twice."
    return ""
