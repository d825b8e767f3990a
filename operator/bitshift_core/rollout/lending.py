"""A swap on a full node: stable's Deployment lends replicas to a release, one at a time, and gets them back.

Here: the next step of a swap, and its sentences. Not here: how many must go (`fit.swap`), the writes
(`cluster.lending`).
"""

from ..api.v1alpha1 import WhenFull
from ..fit.swap import Room
from .loans import Lent, Loan
from .observation import Observation, Release
from .plan import GiveBack, HoldObject, Plan, TakeReplica
from .stable import StableFacts

ANNOUNCED = "SwapAnnounced"
SWAPPING = "SwappingStable"
SAID = (ANNOUNCED, SWAPPING)
"""Reasons by which the status says what a swap takes, and what coming back would."""


def make_room(seen: Observation, candidate: Release) -> Plan | None:
    """Return a swap's next step; None where none is asked for, or none would help.

    What coming back would take stands in the status before the first replica goes, and none goes before the one
    before it is gone and the pod that took its place is ready.
    """
    fit, stable = candidate.fit, seen.stable
    if seen.spec.when_full is not WhenFull.SERIAL or fit is None or fit.room.mode != "Serial" or stable is None:
        return None
    room = fit.room
    lent = _by(seen, stable.owner[1])
    if not (why := _why_not(stable, lent)) and (unfinished := _unfinished(seen, stable, room, candidate)):
        return Plan(SWAPPING if lent else "WaitingForRoom", f"{unfinished} {said(seen)}".strip(), wake_after=2)
    if why := why or _too_many(stable, room):
        return Plan("WaitingForRoom", f"{fit.message} {why}", wake_after=15)
    before = lent.loan.before if lent else stable.replicas
    loan = Loan(model=seen.name, before=before, after=stable.replicas - 1, reload_seconds=round(room.reload_seconds))
    kept = stable.replicas - room.swaps
    message = _told(stable.owner[1], "lends", before - kept, loan, f", one at a time, and keeps {kept}")
    if seen.status.reason not in SAID:
        return Plan(ANNOUNCED, message, wake_after=1)
    return Plan(SWAPPING, message, (HoldObject(), TakeReplica(stable.owner[1], room.first, loan)), wake_after=1)


def given_back(seen: Observation) -> tuple[GiveBack, ...]:
    """Return what gives stable its replicas back, where no release is tried any more that took their room.

    Once a release is promoted, what served before it has nobody to serve: its loan is kept, for users may come home.
    """
    home = seen.current_revision
    return tuple(GiveBack(each.deployment) for each in seen.lent if not home or each.deployment == home)


def given_back_at_the_end(seen: Observation) -> tuple[GiveBack, ...]:
    """Return what gives back all that users will need when the model is gone."""
    kept = seen.current_revision if seen.users_lead_here else ""
    return tuple(GiveBack(each.deployment) for each in seen.lent if not kept or each.deployment == kept)


def said(seen: Observation) -> str:
    """Return in one sentence what is lent, and how long it would take to come back; '' where nothing is."""
    lent = [(each.deployment, each.loan) for each in seen.lent if not each.contested]
    return " ".join(_told(name, "lent", loan.before - loan.after, loan) for name, loan in lent)


def _why_not(stable: StableFacts, lent: Lent | None) -> str:
    """Return why stable's replicas are left alone; '' where one may go."""
    kind, name = stable.owner
    if kind != "Deployment":
        return f"`whenFull: Serial` takes a Deployment's replicas, and stable's pods are made by {kind or 'none'}."
    if stable.autoscaled:
        return f"`whenFull: Serial` leaves Deployment '{name}' to the autoscaler that owns its size: lower its bounds."
    if lent and lent.contested:
        return (
            f"Deployment '{name}' lent replicas and was left with {lent.loan.after}; somebody gave it {lent.replicas} "
            "since: leave `replicas` out of what your pipeline applies, or say `whenFull: Wait`."
        )
    return ""


def _too_many(stable: StableFacts, room: Room) -> str:
    """Return why so many must not go; '' where one at least stays."""
    if room.swaps < stable.replicas:
        return ""
    return (
        f"`whenFull: Serial` never takes the last replica: {room.swaps} of the {stable.replicas} of Deployment "
        f"'{stable.owner[1]}' would have to go. Fewer `serving.replicas` need less room."
    )


def _unfinished(seen: Observation, stable: StableFacts, room: Room, candidate: Release) -> str:
    """Return what must come to its end before another replica goes; '' where nothing must."""
    name, pods = stable.owner[1], candidate.pods
    if former := sorted(seen.standing - {candidate.revision, seen.current_revision}):
        return f"A pod of {former[0]} ends, and leaves its room."
    if stable.leaving:
        return f"A replica of '{name}' ends its last requests."
    if stable.ready_replicas != stable.replicas:
        return f"{stable.ready_replicas} pods of '{name}' are ready, and {stable.replicas} shall be."
    if room.placeable:
        return "There is room; the scheduler has yet to see it."
    if pods.ready < pods.placed:
        return f"{pods.ready} of {pods.placed} pods of {candidate.revision} that found room are ready."
    return ""


def _by(seen: Observation, deployment: str) -> Lent | None:
    return next((each for each in seen.lent if each.deployment == deployment), None)


def _told(deployment: str, verb: str, lends: int, loan: Loan, how: str = "") -> str:
    them = "it" if lends == 1 else "they"
    return (
        f"Deployment '{deployment}' {verb} {lends} of its {loan.before} replicas{how}; to come back {them} must load "
        f"again, which may take {loan.reload_seconds} s."
    )
