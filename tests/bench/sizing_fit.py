"""Whether the fitted constants hold beyond the cases they were fitted to: fit on one half, test on the other.

Fitted are five numbers for each generation of vLLM's profiler, from printed activation peaks and non-torch memory:
`samplerBytesPerLogit`, `activationBaseMib`, `hiddenCopies`, `nonTorchMib`, `nonTorchParallelMib`. All else (weights,
pages, padding, defaults) follows from engines' sources and has nothing to fit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from scipy.optimize import least_squares

from bitshift_core.fit.capacity import capacity_of
from bitshift_core.fit.engines import Chosen, VllmBand
from bitshift_core.fit.spending import spending_of
from bitshift_core.fit.units import GIB
from tests.bench.sizing_cases import Case
from tests.bitshift_core.fit.builders import constants

Pair = tuple[Case, dict[str, Any]]
FITTED = ("sampler_bytes_per_logit", "activation_base_mib", "hidden_copies")
START, LOWEST, HIGHEST = (20.0, 100.0, 1.0), (1.0, 0.0, 0.0), (60.0, 1_000.0, 6.0)
FEWEST = 6
SCALE_GIB = 0.1


def crossed(pairs: Sequence[Pair]) -> Iterator[str]:
    """Yield a line for each generation and direction."""
    yield "\ncross-validation: constants fitted on one half of the profiles, KV cache of the other half predicted"
    generations: dict[str, list[Pair]] = {}
    for case, seen in pairs:
        chosen = constants().choose(case.need.runtime, case.need.engine_version)
        profiled = seen.get("activation_peak_gib") and seen.get("non_torch_gib")
        if case.gpu and profiled and chosen.is_known and isinstance(chosen.band, VllmBand):
            generations.setdefault(chosen.band.first_version, []).append((case, seen))
    for version, group in sorted(generations.items()):
        halves = group[::2], group[1::2]
        if min(map(len, halves)) < FEWEST:
            yield f"  vllm {version}: {len(group)} profiles, too few to fit on half of them"
            continue
        for fitted_on, tested_on in (halves, halves[::-1]):
            band = fitted(fitted_on)
            ours = sorted(map(abs, errors(tested_on, None)))
            theirs = sorted(map(abs, errors(tested_on, band)))
            yield (
                f"  vllm {version}: fitted on {len(fitted_on)}: {described(band)}; on the other {len(tested_on)}: "
                f"median {100 * median(theirs):.2f}% worst {100 * theirs[-1]:.2f}% "
                f"(as shipped: median {100 * median(ours):.2f}% worst {100 * ours[-1]:.2f}%)"
            )


def fitted(pairs: Sequence[Pair]) -> VllmBand:
    """Return the band with its fitted constants from these cases alone."""
    known = band_of(pairs[0][0])

    def misses(values: Sequence[float]) -> list[float]:
        band = with_constants(known, values)
        return [
            spending_of(case.need, band, case.gpu)[0].activations / GIB - seen["activation_peak_gib"]
            for case, seen in pairs
        ]

    found = least_squares(misses, START, bounds=(LOWEST, HIGHEST), loss="soft_l1", f_scale=SCALE_GIB, diff_step=0.01)
    band = with_constants(known, found.x)
    alone = [seen["non_torch_gib"] for case, seen in pairs if case.need.gpus_per_replica == 1]
    together = [seen["non_torch_gib"] for case, seen in pairs if case.need.gpus_per_stage > 1]
    return band.model_copy(
        update={
            "non_torch_mib": round(1024 * median(alone)) if alone else known.non_torch_mib,
            "non_torch_parallel_mib": round(1024 * median(together)) if together else known.non_torch_parallel_mib,
        }
    )


def with_constants(band: VllmBand, values: Sequence[float]) -> VllmBand:
    return band.model_copy(update=dict(zip(FITTED, map(float, values), strict=True)))


def errors(pairs: Sequence[Pair], band: VllmBand | None) -> Iterator[float]:
    """Yield the relative errors of the KV cache, with the shipped constants where no others are given."""
    for case, seen in pairs:
        assert case.gpu
        chosen = Chosen(band or band_of(case), True)
        capacity = capacity_of(replace(case.need), chosen, case.gpu)
        if seen.get("kv_tokens"):
            yield capacity.tokens.likely / seen["kv_tokens"] - 1
        elif seen.get("kv_cache_gib_per_gpu"):
            yield capacity.pool.likely / GIB / seen["kv_cache_gib_per_gpu"] - 1


def band_of(case: Case) -> VllmBand:
    band = constants().choose(case.need.runtime, case.need.engine_version).band
    assert isinstance(band, VllmBand)
    return band


def described(band: VllmBand) -> str:
    return (
        f"{band.sampler_bytes_per_logit:.1f} B per logit, {band.activation_base_mib:.0f} MiB, "
        f"{band.hidden_copies:.1f} hidden, non-torch {band.non_torch_mib} and {band.non_torch_parallel_mib} MiB"
    )
