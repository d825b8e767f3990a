"""Typed, bounded questions about a configuration that may give one thing several names."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import ArtifactError, malformed

MAX_LAYERS = 4_096
MAX_WIDTH = 1 << 24
MAX_TOKENS = 1 << 32


@dataclass(frozen=True)
class Fields:
    """The configuration's values, its text part's on top."""

    values: Mapping[str, Any]

    def integer(self, *names: str, default: int | None = None, limit: int = MAX_WIDTH) -> int:
        """Return the first of the names that is set; missing without a default is an error."""
        value = next((self.values[name] for name in names if self.values.get(name) is not None), default)
        if value is None:
            raise ArtifactError("UnknownArchitecture", f"config.json has none of {', '.join(names)}.")
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= limit:
            raise malformed(f"config.json: `{names[0]}` is {str(value)[:40]!r}; an integer up to {limit} is believed.")
        return value

    def text(self, name: str) -> str:
        """Return a short text, empty where it is none."""
        value = self.values.get(name)
        return value[:64] if isinstance(value, str) else ""

    def share(self, name: str, *, default: float = 1.0) -> float:
        """Return a number from 0 to 1; the default where there is none."""
        value = self.values.get(name)
        return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else default
