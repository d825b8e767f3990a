"""How long each stage of a start may take: one table, from bytes and the slowest rates that are still believed alive.

A rate that was measured only ever gives more time: a page cache makes the first shards faster than the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ..api.catalogue import RuntimeProfileSpec
from ..fit.units import MIB
from .reading import Progress

PULL_SECONDS = 1_800
"""A registry's mirror at 11 MB/s brings an image of 20 GB, the largest of the engines', in that time."""
FETCH_SECONDS, FETCH_BYTES_PER_SECOND = 120, 10 * MIB
"""Looking up a tree of files; then a slow link to a store far away."""
CREATE_SECONDS, SCHEDULE_SECONDS = 120, 300
"""Controllers and schedulers answer in seconds; what finds no room says so, and is waited for elsewhere."""
FAILING_SECONDS = 300
"""A registry or a store that was heard to refuse may come back, but the next rung should not wait for it long."""
RESTART_SECONDS = 330
"""The kubelet's longest pause between two starts is 300 s."""
REPACK_SECONDS = 60
ANSWER_SECONDS = 180
"""A prompt of a few words, with everything that an engine compiles at its first one."""
BYTES = "bytes"
PATIENCE = 4
"""Times the measured pace that a stage may take: disks and links are shared."""


@dataclass(frozen=True)
class Deadlines:
    """The seconds of each stage, besides those that its bytes take."""

    start_seconds: float = 0
    artifact_bytes: int = 0
    load_bytes_per_second: float = 1

    @classmethod
    def of(cls, profile: RuntimeProfileSpec, artifact_bytes: int) -> "Deadlines":
        """Return the deadlines of an artifact that is served by a profile."""
        return cls(profile.start_seconds, artifact_bytes, profile.load_bytes_per_second)

    @property
    def table(self) -> Mapping[str, float]:
        """Return every stage that may get stuck, and its seconds."""
        loading = self.artifact_bytes / self.load_bytes_per_second
        return {
            "Creating": CREATE_SECONDS,
            "Scheduling": SCHEDULE_SECONDS,
            "Pulling": PULL_SECONDS,
            "Fetching": FETCH_SECONDS + self.artifact_bytes / FETCH_BYTES_PER_SECOND,
            "Restarting": RESTART_SECONDS,
            "Loading": self.start_seconds + loading,
            "Repacking": REPACK_SECONDS + loading,
            "Compiling": self.start_seconds,
            "Warming": self.start_seconds,
            "Answering": ANSWER_SECONDS,
        }

    @property
    def engine_seconds(self) -> float:
        """Return how long an engine may be unhealthy at its start: the stages that it passes through by itself."""
        return sum(self.table[stage] for stage in ("Loading", "Repacking", "Compiling", "Warming"))

    @property
    def together_seconds(self) -> float:
        """Return how long pods may be unhealthy that start as one: the first waits while the last is still pulled."""
        return sum(self.table.values())

    def seconds(self, stage: str, since: float = 0, progress: Progress | None = None, *, fails: bool = False) -> float:
        """Return how long a stage may take; where its pace was measured, at least `PATIENCE` times as long as that.

        Bytes are counted for each file anew, so they tell no pace of the whole.
        """
        fixed = self.table.get(stage, self.engine_seconds)
        if fails and stage in ("Pulling", "Fetching"):
            return min(fixed, FAILING_SECONDS)
        if progress is None or progress.unit == BYTES or not since or not progress.done or progress.at <= since:
            return fixed
        return max(fixed, PATIENCE * (progress.at - since) * progress.total / progress.done)
