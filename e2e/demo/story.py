"""Following a rollout as it happens: one line whenever the object tells something new."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape

from .target import Target, get

Status = dict[str, Any]


@dataclass(frozen=True)
class Moment:
    """What the object said, and when."""

    at: float
    phase: str
    reason: str
    canary: str
    message: str


@dataclass
class Story:
    """All that one model said while it was watched."""

    target: Target
    console: Console
    namespace: str = "demo"
    name: str = "chat"
    moments: list[Moment] = field(default_factory=list)

    def model(self) -> dict[str, Any]:
        """Return the object as it is now."""
        found: dict[str, Any] = get(self.target, "quantizedmodel", self.name, "-n", self.namespace)
        return found

    def follow(self, until: Callable[[Status], bool], *, seconds: float, what: str) -> Status:
        """Print what the object tells until it says what is waited for; give up with its last words."""
        began = time.time()
        status: Status = {}
        for model in self.target.watch("quantizedmodel", self.name, self.namespace, seconds):
            status = model.get("status") or {}
            fresh = status.get("observedGeneration") == model["metadata"]["generation"]
            self._tell(status, began)
            if fresh and until(status):
                return status
        raise TimeoutError(
            f"{what} did not happen within {seconds:.0f} s; the object says: {status.get('message', 'nothing')}"
        )

    def _tell(self, status: Status, began: float) -> None:
        now = Moment(
            time.time(),
            status.get("phase", ""),
            status.get("reason", ""),
            status.get("canary", ""),
            status.get("message", ""),
        )
        last = self.moments[-1] if self.moments else None
        if last and (last.phase, last.reason, last.canary) == (now.phase, now.reason, now.canary):
            return
        self.moments.append(now)
        canary = f" {now.canary}" if now.canary else ""
        self.console.print(
            f"  {now.at - began:5.0f} s  [bold]{now.phase:<11}[/] {now.reason:<20}{canary}  {escape(now.message)}"
        )
