"""What an engine reports after its start, held against what was planned: model bytes, KV tokens, kernel.

Here: plan and report → sentences. Not here: where the report is read (`reading`), what a refusal entails (`rollout`).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..fit.units import MIB, gib
from .reading import EngineReport

BAND_PERCENT, BAND_BYTES = 15, 256 * MIB
"""Constants of engines are never banded wider than 15 %; below some hundred MiB padding is what differs."""
OR = re.compile(r"\s+or\s+")
WORDS = re.compile(r"[^a-z0-9]+")
ALSO = {"hipblaslt": ("torch", "rocm")}
"""Engines name what calls a library."""
KINDS = ("int8", "fp8", "fp4", "w4a16")


@dataclass(frozen=True)
class Promise:
    """What the plan said of each GPU of a replica, or of its host; None and '' where nothing was."""

    weight_bytes: int | None = None
    whole_bytes: int | None = None
    """Of the artifact's weights on all devices together."""
    kv_tokens: int = 0
    """Context times sequences."""
    context_tokens: int = 0
    kernel: str = ""


@dataclass(frozen=True)
class Kept:
    """What came of a promise."""

    told: str = ""
    """What the engine reports, in one sentence; empty where it reported nothing."""
    broken: tuple[str, ...] = ()
    """A sentence for each thing that differs beyond its band."""
    other_kernel: str = ""
    """The sentence about a kernel that is not the promised one; it is among those of `broken`."""

    @property
    def sentence(self) -> str:
        """Return all of it."""
        return " ".join((self.told, *self.broken)).strip()


def held(promise: Promise, report: EngineReport) -> Kept:
    """Return what an engine reports and where that is not what was planned; what it does not tell is not judged."""
    kernel = _kernel(promise, report)
    broken = (*_bytes(promise, report), *_tokens(promise, report), *((kernel,) if kernel else ()))
    return Kept(_told(report), broken, kernel)


def is_same_kernel(promised: str, said: str) -> bool:
    """Return whether the engine's name for a kernel holds all words of one of the plan's, `Marlin` in `MarlinLinear…`.

    A kernel that calls itself by its family alone (`CutlassScaledMM…`, for whichever type) is taken for it.
    """
    name = WORDS.sub("", said.lower())
    for choice in OR.split(promised):
        words = [word for word in WORDS.split(choice.lower()) if word not in ("", "block")]
        found = [any(each in name for each in (word, *ALSO.get(word, ()))) for word in words]
        if all(found) or (found[0] and not any(kind in name for kind in KINDS)):
            return True
    return False


def _told(report: EngineReport) -> str:
    parts = []
    if report.model_bytes is not None:
        parts.append(f"{gib(report.model_bytes)} of weights")
    if report.kv_tokens is not None:
        parts.append(f"{report.kv_tokens:,} KV tokens")
    if report.kernels:
        parts.append(f"kernel {', '.join(report.kernels)}")
    return f"The engine reports {'; '.join(parts)}." if parts else ""


def _bytes(promise: Promise, report: EngineReport) -> Iterable[str]:
    planned = promise.whole_bytes if report.is_whole else promise.weight_bytes
    if planned is None or report.model_bytes is None:
        return ()
    if abs(report.model_bytes - planned) <= max(planned * BAND_PERCENT // 100, BAND_BYTES):
        return ()
    return (f"{gib(planned)} of weights were planned: more than {BAND_PERCENT} % off.",)


def _tokens(promise: Promise, report: EngineReport) -> Iterable[str]:
    """More tokens than were promised are no news: engines take all memory that is free."""
    if report.kv_tokens is None or report.kv_tokens >= promise.kv_tokens:
        return ()
    held_now = report.kv_tokens // promise.context_tokens if promise.context_tokens else 0
    return (
        f"{promise.kv_tokens:,} KV tokens were planned: at full context it holds {held_now} sequences at once and "
        "the rest waits.",
    )


def _kernel(promise: Promise, report: EngineReport) -> str:
    if not promise.kernel or not report.kernels:
        return ""
    if any(is_same_kernel(promise.kernel, said) for said in report.kernels):
        return ""
    return f"The kernel {promise.kernel} was promised: speed and memory may differ from the plan."
