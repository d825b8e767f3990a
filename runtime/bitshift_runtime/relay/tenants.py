"""Which tenant a request is counted under.

Here: a bounded set of names, whatever clients send. Not here: which tenant goes where (`bitshift_core.traffic`).
"""

from bitshift_core.evidence.rows import ANONYMOUS, OTHER_TENANTS

LONGEST_NAME = 128
MOST_TENANTS = 256
FORGET_SECONDS = 3_600.0


class TenantNames:
    """The tenants of the last hour, at most so many: a client that makes up names cannot make the relay grow."""

    def __init__(self, most: int = MOST_TENANTS, forget_seconds: float = FORGET_SECONDS) -> None:
        self._most = most
        self._forget_seconds = forget_seconds
        self._last_seen: dict[str, float] = {}

    def name_for(self, header: str | None, now: float) -> str:
        """Return the name to count under: the header's value, or one of the two names for everybody else."""
        if not header:
            return ANONYMOUS
        if len(header) > LONGEST_NAME or not header.isprintable() or header == OTHER_TENANTS:
            return OTHER_TENANTS
        if self._last_seen.pop(header, None) is None and not self._has_room(now):
            return OTHER_TENANTS
        self._last_seen[header] = now
        return header

    def seen(self, now: float) -> tuple[str, ...]:
        """Return the tenants of the last hour that are counted singly."""
        return tuple(name for name, at in self._last_seen.items() if at > now - self._forget_seconds)

    def _has_room(self, now: float) -> bool:
        if len(self._last_seen) >= self._most:
            oldest = next(iter(self._last_seen))
            if self._last_seen[oldest] <= now - self._forget_seconds:
                del self._last_seen[oldest]
        return len(self._last_seen) < self._most
