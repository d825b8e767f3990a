"""Live evidence: relay reports in, a verdict on the candidate out.

Here: counting each report once, forming blocks, restarting per step. Not here: the tests themselves
(`evidence.sequential`), what is concluded (`evidence.verdict`).
"""

from .rows import Arm, RelayReport, Row, Stage, edge_index, edge_ms
from .state import LivePolicy, LiveState

__all__ = ["Arm", "LivePolicy", "LiveState", "RelayReport", "Row", "Stage", "edge_index", "edge_ms"]
