"""What a person should know about one model beside its status: what it waits for, and what they can say next.

Pure: the object as it was read → answers. Not here: how it looks (`cli.screen`).
"""

from dataclasses import dataclass
from typing import Any

from bitshift_core.api.v1alpha1 import QuantizedModelSpec, QuantizedModelStatus, RungStatus
from bitshift_core.rollout import names

Manifest = dict[str, Any]

MOVING = ("Planning", "Waiting", "Starting", "Gating", "Shifting", "Holding", "RollingBack", "Deleting")
WITH_USERS = ("Shifting", "Holding")
WAITS_FOR = {
    "Planning": "the headers of the artifacts, so that every rung is sized before one is started.",
    "Blocked": "you: nothing moves until what the sentence above names is mended.",
    "Waiting": "room in the cluster.",
    "Starting": "pods that are ready and answer a prompt.",
    "Shifting": "evidence: the next step is taken when the numbers below allow it.",
    "Rejected": "you: another spec, or `retry`.",
    "RollingBack": "the data plane to lead everyone home, and the last streams to end.",
    "Deleting": "the data plane to lead everyone home; then the object goes.",
}


@dataclass(frozen=True)
class Story:
    """One model, understood."""

    namespace: str
    name: str
    generation: int
    annotations: dict[str, str]
    spec: QuantizedModelSpec
    status: QuantizedModelStatus

    @property
    def candidate(self) -> RungStatus | None:
        """The rung that is being tried or serves."""
        return next((rung for rung in self.status.rungs if rung.name == self.status.rung), None)

    @property
    def candidate_revision(self) -> str:
        """The release that verbs are bound to; '' while there is none."""
        return self.candidate.revision if self.candidate else ""

    @property
    def is_moving(self) -> bool:
        """Something will change without anybody saying anything."""
        return self.status.phase in MOVING

    @property
    def is_paused(self) -> bool:
        """A person said `pause`, and the release that it was said of is still the candidate."""
        return self.annotations.get(names.PAUSE, "") in {"true", self.candidate_revision} - {""}

    @property
    def users_on_candidate(self) -> bool:
        """Some users' requests may be answered by a release that is not promoted."""
        return self.status.phase in WITH_USERS or (self.status.phase == "Suspended" and bool(self.status.canary))

    def command(self, verb: str) -> str:
        """Return the line that says a verb to this model."""
        return f"kubectl bitshift -n {self.namespace} {verb} {self.name}"


def understand(model: Manifest) -> Story:
    """Return the model with its spec and status as values."""
    metadata = model["metadata"]
    return Story(
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        generation=metadata.get("generation", 0),
        annotations=dict(metadata.get("annotations") or {}),
        spec=QuantizedModelSpec.model_validate(model["spec"]),
        status=QuantizedModelStatus.model_validate(model.get("status") or {}),
    )


def waits_for(story: Story) -> str:
    """Return one sentence that completes `Waits for …`."""
    status = story.status
    if not status.phase:
        return "the operator: it has not looked at this object yet. Is it running, and does it watch this namespace?"
    if status.observed_generation < story.generation:
        return f"the operator to look at generation {story.generation} (it saw {status.observed_generation})."
    if status.phase == "Suspended":
        return "`spec.suspend: false`." if story.spec.suspend else f"`{story.command('resume')}`."
    if status.phase == "Gating":
        running = [gate.name for gate in story.candidate.gates if gate.verdict == "Running"] if story.candidate else []
        return f"the verdict of gate '{running[0]}'." if running else "the next gate to begin."
    if status.phase == "Holding":
        return f"{status.hold_until or 'the end of the hold time'}; then it is promoted."
    if status.phase == "Serving":
        return "you to hand over: change the lines below in your HTTPRoute." if status.handover else "nothing."
    return WAITS_FOR.get(status.phase, "what the sentence above says.")


def next_commands(story: Story) -> tuple[tuple[str, str], ...]:
    """Return the commands that make sense now, each with what it does."""
    said: list[tuple[str, str]] = []
    if story.users_on_candidate:
        said.append((story.command("rollback"), "everyone home at once; this release is not tried again"))
    if story.status.phase in WITH_USERS:
        said.append((story.command("promote"), "take the next steps without waiting for more evidence"))
    if story.is_paused:
        said.append((story.command("resume"), "go on from here"))
    elif story.is_moving and story.status.phase not in ("RollingBack", "Deleting"):
        said.append((story.command("pause"), "no further step; safety still works"))
    if story.status.phase in ("Rejected", "Blocked"):
        said.append((story.command("retry"), "try what was refused once more, as it is"))
        said.append((f"kubectl -n {story.namespace} edit qm {story.name}", "change what is asked for"))
    if story.is_moving:
        said.append((story.command("watch"), "see it happen"))
    return tuple(said)


def as_json(story: Story) -> dict[str, Any]:
    """Return all of it for programs: the status as the API has it, and what a person would be told."""
    return {
        "namespace": story.namespace,
        "name": story.name,
        "generation": story.generation,
        "waitsFor": waits_for(story),
        "next": [{"command": command, "does": does} for command, does in next_commands(story)],
        "status": story.status.as_json(),
    }
