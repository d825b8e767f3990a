"""One kind of GPU as sizing sees it."""

from dataclasses import dataclass

from .cards import likely_bytes, seen_bytes, words_of

HOST_LINKED = frozenset({"GEFORCE", "RTX", "L4", "L40", "L40S", "A10", "A10G", "A2", "T4"})
"""Cards without NVLink, whose driver or board gives no access from one to another."""


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
        return known or likely_bytes(self.total_bytes, self.product)

    @property
    def has_peer_access(self) -> bool:
        """Return whether GPUs of this kind write into each other's memory; else they pass through the host's."""
        return not HOST_LINKED & words_of(self.product)
