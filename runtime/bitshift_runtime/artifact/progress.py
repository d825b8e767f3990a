"""Progress of long reads in a Job's log: a line for every tenth, so that a stuck one can be told from a slow one."""

import sys

TENTH_PERCENT = 10


class Printed:
    """Prints a line whenever another tenth was read: beside the facts, which may be printed too."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def __call__(self, name: str, done: int, whole: int) -> None:
        """Take note of the progress; the first and every tenth is printed."""
        tenth = done * 100 // max(whole, 1) // TENTH_PERCENT
        if tenth > self._last.get(name, -1):
            self._last[name] = tenth
            print(f"{name}: {done} of {whole}", file=sys.stderr, flush=True)
