"""How far sizing is from what engines printed: `make bench-sizing CASES=FILE`, one JSON object a line.

Each case goes through the product: its architecture as a `config.json`, its flags as a need, its card as a GPU. What was
observed is looked at only afterwards. Nothing is claimed for a version of which there are fewer than five cases.
"""

import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitshift_core.artifact.errors import ArtifactError
from bitshift_core.fit.capacity import WIDEST_BAND_PERCENT, Capacity, capacity_of
from bitshift_core.fit.engines import EngineConstants, VllmBand, version_of
from bitshift_core.fit.spending import spending_of
from bitshift_core.fit.units import GIB
from tests.bench.sizing_cases import Case, case_of
from tests.bitshift_core.fit.builders import constants

SHIPPED = Path(__file__).with_name("sizing_cases.jsonl")
HIDDEN = ("observed", "verbatim", "notes", "id", "source_url", "model_id")
FEW = 5
WORST = 12


@dataclass(frozen=True)
class Result:
    """One case: what the product said, and what was seen."""

    name: str
    runtime: str
    release: str
    case: Case
    capacity: Capacity | None
    weights_bytes: int
    seen: dict[str, Any]

    @property
    def weights_error(self) -> float | None:
        return relative(self.weights_bytes / GIB, self.seen.get("weights_gib_per_gpu"))

    @property
    def kv_error(self) -> float | None:
        """Of the tokens, else of the pool where only that was seen."""
        if not self.capacity:
            return None
        if self.seen.get("kv_tokens"):
            return relative(self.capacity.tokens.likely, self.seen["kv_tokens"])
        return relative(self.capacity.pool.likely / GIB, self.seen.get("kv_cache_gib_per_gpu"))

    @property
    def is_inside(self) -> bool:
        """Whether what was seen lies in the band that was stated."""
        assert self.capacity
        if self.seen.get("kv_tokens"):
            return self.capacity.tokens.low <= self.seen["kv_tokens"] <= self.capacity.tokens.high
        return self.capacity.pool.low <= self.seen["kv_cache_gib_per_gpu"] * GIB <= self.capacity.pool.high

    @property
    def states_kv(self) -> bool:
        return self.kv_error is not None and self.case.states_everything

    @property
    def has_verdict(self) -> bool:
        return self.capacity is not None and self.seen.get("fits") is not None

    @property
    def is_unsafe(self) -> bool:
        return self.has_verdict and self.capacity is not None and self.capacity.starts and not self.seen["fits"]

    @property
    def is_overcareful(self) -> bool:
        return self.has_verdict and self.capacity is not None and not self.capacity.starts and bool(self.seen["fits"])


def main() -> None:
    given = os.environ.get("CASES") or (sys.argv[1] if len(sys.argv) > 1 else "")
    path = Path(given) if given else SHIPPED
    raw = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    results = [result for number, one in enumerate(raw, start=1) if (result := measured(one, number, constants()))]
    print(f"\n{len(raw)} cases of {path.name}, {len(results)} sized")
    show_versions(results)
    show_worst(results)
    show_bands(results)
    from tests.bench.sizing_fit import crossed  # scipy takes a second to load, and tests read this module

    for line in crossed([(one.case, one.seen) for one in results]):
        print(line)
    print(summary(results))


def measured(one: dict[str, Any], number: int, engines: EngineConstants) -> Result | None:
    """Return the result; a case that the product refuses is printed with the product's own reason."""
    name = f"{number:>3} {str(one.get('model_id') or '')[-40:]}"
    if str(one.get("scheme")).startswith("gguf"):
        print(f"{name}: a GGUF model is sized from its header, which the case does not hold.")
        return None
    try:
        case = case_of({key: value for key, value in one.items() if key not in HIDDEN})
    except ArtifactError as error:
        print(f"{name}: {error.reason}: {error}")
        return None
    chosen = engines.choose(case.need.runtime, case.need.engine_version)
    if not isinstance(chosen.band, VllmBand):
        print(f"{name}: {case.need.runtime} serves GGUF, of which the case holds no header.")
        return None
    capacity = capacity_of(case.need, chosen, case.gpu) if case.gpu else None
    weights = spending_of(case.need, chosen.band, case.gpu)[0].weights
    release = ".".join(map(str, version_of(case.need.runtime, case.need.engine_version)[:2])) or "unknown"
    return Result(name, case.need.runtime, release, case, capacity, weights, one.get("observed") or {})


def summary(results: Sequence[Result]) -> str:
    """Return the one line that says it all."""
    weights = [one.weights_error for one in results]
    kv = [one.kv_error for one in results if one.states_kv]
    others = others_with_band(results)
    judged = [one for one in results if one.has_verdict]
    inside = 100 * sum(one.is_inside for one in others) / len(others) if others else 0.0
    careful = 100 * sum(one.is_overcareful for one in judged) / len(judged) if judged else 0.0
    return (
        f"weights {spread(weights)} | kv {spread(kv)} | kv_band n={len(others)} inside={inside:.1f}% | "
        f"verdict n={len(judged)} unsafe={sum(one.is_unsafe for one in judged)} safe={careful:.1f}%"
    )


def others_with_band(results: Iterable[Result]) -> list[Result]:
    return [one for one in results if one.kv_error is not None and not one.case.states_everything]


def show_versions(results: Sequence[Result]) -> None:
    groups: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for one in results:
        groups[one.runtime[:12], one.release].append(one)
    print(f"\n{'engine':<24} cases  weights                            kv, all stated")
    for (runtime, release), group in sorted(groups.items()):
        claims = [
            spread(errors) if len(errors) >= FEW else f"n={len(errors)} too few"
            for errors in (
                [one.weights_error for one in group if one.weights_error is not None],
                [one.kv_error for one in group if one.states_kv],
            )
        ]
        print(f"{runtime + ' ' + release:<24} {len(group):>5}  {claims[0]:<34} {claims[1]}")


def show_worst(results: Sequence[Result]) -> None:
    for title, found in (
        ("weights", [(one.weights_error, one) for one in results if one.weights_error is not None]),
        ("kv, all stated", [(one.kv_error, one) for one in results if one.states_kv]),
    ):
        print(f"\nworst by {title}")
        for error, one in sorted(found, key=lambda pair: -abs(pair[0] or 0))[:WORST]:
            print(f"  {100 * (error or 0):+8.2f}%  {one.runtime} {one.release} {one.case.facts.scheme}  {one.name}")
    print("\nwrong verdicts")
    for one in (one for one in results if one.is_unsafe or one.is_overcareful):
        said = one.capacity.message if one.capacity and one.capacity.message else "It starts."
        print(f"  {'unsafe' if one.is_unsafe else 'safe':<6} {one.name}: {said}")


def show_bands(results: Sequence[Result]) -> None:
    """Print the other cases outside their band; of those that state no utilization only its default can be assumed."""
    others = others_with_band(results)
    print(f"\nkv bands of at most {WIDEST_BAND_PERCENT} % either way")
    for title, group in (
        ("utilization stated", [one for one in others if one.case.states_utilization]),
        ("utilization not stated", [one for one in others if not one.case.states_utilization]),
    ):
        print(f"  {title}: {sum(one.is_inside for one in group)} of {len(group)} inside")
        for one in (one for one in group if not one.is_inside):
            untold = ", ".join(one.case.untold) or "nothing"
            print(
                f"    {100 * (one.kv_error or 0):+8.1f}%  {one.runtime} {one.release}  {one.name}  (not told: {untold})"
            )


def spread(errors: Iterable[float | None]) -> str:
    """Return number, median and 95th percentile (nearest rank) of the errors' sizes."""
    sizes = sorted(abs(error) for error in errors if error is not None)
    if not sizes:
        return "n=0"
    return f"n={len(sizes)} median={100 * ranked(sizes, 50):.2f}% p95={100 * ranked(sizes, 95):.2f}%"


def ranked(sizes: Sequence[float], percent: int) -> float:
    return sizes[max(0, -(-len(sizes) * percent // 100) - 1)]


def relative(found: float, seen: float | None) -> float | None:
    return found / seen - 1 if seen else None


if __name__ == "__main__":
    main()
