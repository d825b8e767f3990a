"""One kind of GPU as sizing sees it."""

from dataclasses import dataclass

from .cards import likely_bytes, seen_bytes


@dataclass(frozen=True)
class Gpu:
    """One kind of GPU; its bytes are the driver's figure, which GPU feature discovery labels nodes with."""

    total_bytes: int
    product: str = ""
    reported_bytes: int = 0
    """What CUDA itself reported, where someone asked it; 0 for the table of cards, else a likely part of the label."""

    @property
    def usable_bytes(self) -> int:
        """Return what software sees of it: the firmware keeps 0.3 to 0.7 GiB that labels do not know of."""
        known = self.reported_bytes or seen_bytes(self.product, self.total_bytes)
        return known or likely_bytes(self.total_bytes)
