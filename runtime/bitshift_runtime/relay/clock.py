"""Wall-clock time that never runs backwards.

Here: one clock. Not here: durations, which the event loop's own clock measures.
"""

import time


class Clock:
    """Epoch seconds as the machine had them at start, advanced by the monotonic clock.

    Buckets are named by the second in which their requests started: were the wall clock set back, a second that was
    closed already would be opened again.
    """

    def __init__(self) -> None:
        self._epoch_at_zero = time.time() - time.monotonic()

    def now(self) -> float:
        """Return the epoch time in seconds."""
        return self._epoch_at_zero + time.monotonic()
