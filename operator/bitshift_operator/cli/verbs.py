"""What a person tells a rollout: a verb becomes an annotation, bound to a release, never a change of `spec`.

Pure: model and verb → annotation. Not here: writing it (`cli.app`).
"""

from dataclasses import dataclass

from bitshift_core.rollout import names

from .access import NOTHING_TO_DO, Refusal
from .story import Story


@dataclass(frozen=True)
class Told:
    """One annotation to write (None takes it away), and the sentence that confirms it."""

    annotation: str
    value: str | None
    sentence: str


def promote(story: Story, now: str) -> Told:
    """Go on without waiting for more evidence; gates cannot be skipped."""
    if story.is_paused:
        raise _nothing(story, f"it is paused. Say `{story.command('resume')}` first.")
    if not story.users_on_candidate:
        raise _nothing(story, f"{_phase(story)} and no user is on a candidate yet. Gates cannot be skipped.")
    revision = story.candidate_revision
    return Told(names.PROMOTE, revision, f"{revision} goes on without waiting for more evidence; safety still works.")


def pause(story: Story, now: str) -> Told:
    """Take no further step."""
    if story.is_paused:
        raise _nothing(story, f"it is paused already. `{story.command('resume')}` ends that.")
    revision = story.candidate_revision or "true"
    what = story.candidate_revision or "whatever is tried next"
    return Told(names.PAUSE, revision, f"No further step with {what}; traffic stays where it is, safety still works.")


def resume(story: Story, now: str) -> Told:
    """Take a pause back."""
    if story.spec.suspend:
        raise _nothing(story, "its spec says `suspend: true`. Change the spec.")
    if names.PAUSE not in story.annotations:
        raise _nothing(story, "it is not paused.")
    return Told(names.PAUSE, None, "It goes on.")


def rollback(story: Story, now: str) -> Told:
    """Bring everyone home and do not try this release again."""
    if not story.users_on_candidate or not story.candidate_revision:
        raise _nothing(story, f"{_phase(story)} and no user is on a candidate, so there is nobody to bring back.")
    revision = story.candidate_revision
    return Told(names.ROLLBACK, revision, f"Everyone leaves {revision}; it is not tried again until you say `retry`.")


def retry(story: Story, now: str) -> Told:
    """Forget refusals; `now` makes each retry another one."""
    refused = any(rung.state in ("Refused", "DoesNotFit") for rung in story.status.rungs)
    if not (refused or story.status.refused or story.status.phase in ("Rejected", "Blocked")):
        raise _nothing(story, f"{_phase(story)} and nothing was refused.")
    return Told(names.RETRY, now, "What was refused is read, gated and tried once more.")


VERBS = {"promote": promote, "pause": pause, "resume": resume, "rollback": rollback, "retry": retry}


def _phase(story: Story) -> str:
    return f"it is in phase {story.status.phase or 'unknown'}"


def _nothing(story: Story, why: str) -> Refusal:
    return Refusal(f"{story.name} was left as it is: {why}", NOTHING_TO_DO)
