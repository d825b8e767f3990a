"""What a release's plan promised of its engine, and what the spec makes of a promise that is not kept.

Here: plan → `Promise`. Not here: the comparison (`starting.promises`), where the report comes from (`one_pod`).
"""

from ..api.catalogue import ArgumentSource
from ..api.v1alpha1 import OnOtherKernel, QuantizedModelSpec
from ..artifact.facts import ArtifactFacts
from ..fit.plan import Fit
from ..starting.promises import Kept, Promise, held
from ..starting.reading import EngineReport
from .releases import Resolved

JUDGED = ("native", "fallback", "emulation")
WAY_OUT = (
    "`gates.compatibility.otherKernel` is 'Refuse': choose other GPUs, name a kernel in `serving.linearBackend`, or "
    "set it to 'Warn'."
)


def kept_by(resolved: Resolved, facts: ArtifactFacts, fit: Fit, report: EngineReport | None) -> Kept:
    """Return what came of the plan once the engine started; nothing before that."""
    return held(_promise(resolved, facts, fit), report) if report else Kept()


def broken_promise(spec: QuantizedModelSpec, kept: Kept) -> str:
    """Return why the release is refused although it started; '' where it only is told."""
    refuses = spec.gates.compatibility.other_kernel is OnOtherKernel.REFUSE
    return f"{kept.told} {kept.other_kernel} {WAY_OUT}" if refuses and kept.other_kernel else ""


def _promise(resolved: Resolved, facts: ArtifactFacts, fit: Fit) -> Promise:
    """Return the plan's numbers; a kernel that the user named, or that is not known, was not promised."""
    first = fit.kernels[0] if fit.kernels else None
    named = ArgumentSource.LINEAR_BACKEND in resolved.options
    return Promise(
        weight_bytes=next((item.bytes for item in fit.items if item.name == "weights"), None),
        whole_bytes=facts.weight_bytes or facts.file_bytes,
        kv_tokens=resolved.context_tokens * resolved.concurrent_sequences,
        context_tokens=resolved.context_tokens,
        kernel=first.name if first and first.runs in JUDGED and not named else "",
    )
