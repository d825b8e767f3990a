"""What others measured that a scheme loses: never a promise about this model, which the gates measure.

Here: the shape of `published.csv` (each row with its source), and a sentence. Not here: reading the file (data of this
package, parsed by who does I/O), our own measurements (`evidence`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Loss:
    """One published pair of results: the parent's, and that of the same model in a scheme."""

    schemes: tuple[str, ...]
    model: str
    metric: str
    kind: Literal["score", "perplexity"]
    """A score is better the higher, a perplexity the lower."""
    parent: float
    quantized: float
    source: str

    @property
    def kept_percent(self) -> float:
        """Return how much of the parent's result is kept: below 100 is a loss."""
        kept = self.quantized / self.parent if self.kind == "score" else self.parent / self.quantized
        return 100 * kept


def losses_from_rows(rows: Iterable[Mapping[str, str]]) -> tuple[Loss, ...]:
    """Return the rows of a parsed `published.csv`."""
    return tuple(
        Loss(
            schemes=tuple(row["schemes"].split()),
            model=row["model"],
            metric=row["metric"],
            kind="score" if row["kind"] == "score" else "perplexity",
            parent=float(row["parent"]),
            quantized=float(row["quantized"]),
            source=row["source"],
        )
        for row in rows
    )


def loss_sentence(scheme: str, losses: Sequence[Loss]) -> str:
    """Return the range of what was published of a scheme, with the worst of it and its source."""
    about = [loss for loss in losses if scheme in loss.schemes]
    if not about:
        return f"No loss of {scheme} is published here that could be cited: the quality gate measures it."
    worst = min(about, key=lambda loss: loss.kept_percent)
    best = max(about, key=lambda loss: loss.kept_percent)
    models = len({loss.model for loss in about})
    spread = f"{worst.kept_percent:.1f}"
    if len(about) > 1:
        spread += f" to {best.kept_percent:.1f}"
    many = f"{_counted(len(about), 'measurement')} of {_counted(models, 'model')}"
    worst_case = f"{worst.metric} of {worst.model}, {worst.parent:g} → {worst.quantized:g} ({worst.source})"
    return (
        f"Published of {scheme}: {spread} % of the parent's result is kept, in {many}; the worst is {worst_case}. "
        "The quality gate measures this one."
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
