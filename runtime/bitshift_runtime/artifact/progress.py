"""Progress of long reads in a Job's log: a line for every tenth, so that a stuck one can be told from a slow one."""

TENTH_PERCENT = 10


class Printed:
    """Prints a line whenever another tenth of a file was read."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def __call__(self, name: str, done_bytes: int, size_bytes: int) -> None:
        """Take note of the progress; the first and every tenth is printed."""
        tenth = done_bytes * 100 // max(size_bytes, 1) // TENTH_PERCENT
        if tenth > self._last.get(name, -1):
            self._last[name] = tenth
            print(f"{name}: {done_bytes} of {size_bytes} bytes", flush=True)
