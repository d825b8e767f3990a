"""Before the operator goes: `python -m bitshift_operator uninstall`, run by the chart's pre-delete hook.

Here: whether it may go, and letting go of settled models. Not here: ending a rollout (`rollout.moving`).

Serving pods, Services, routes and the models themselves stay as they are: users notice nothing.
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bitshift_core.rollout import names
from bitshift_core.rollout.moves import RESTING
from bitshift_core.traffic.overlay import STEP
from bitshift_operator.cluster.client import Kube, Manifest
from bitshift_operator.cluster.errors import ApiError, NotFound
from bitshift_operator.cluster.kinds import HTTP_ROUTE, QUANTIZED_MODEL, Key, Kind, key_of
from bitshift_operator.settings import Settings

MOVING = ("RollingBack", "Shifting", "Holding")
SWAPPING = ("Waiting", "Starting", "Gating")
"""Phases in which stable waits to have back what it lent."""
DONE, REFUSED = 0, 1


@dataclass(frozen=True)
class MidRollout:
    """A model whose users are between two releases."""

    key: Key
    phase: str
    step: str

    def __str__(self) -> str:
        if self.phase in SWAPPING:
            return (
                f"{self.key} is in the middle of a rollout ({self.phase}), to which stable lent replicas: without "
                "the operator it would not get them back. Wait until it is settled, or delete it, and uninstall again."
            )
        return (
            f"{self.key} is in the middle of a rollout (phase {self.phase}, step '{self.step or 'none'}'): without the "
            "operator its users would stay between two releases. Wait until it is settled, or say "
            f"`kubectl bitshift -n {self.key.namespace} rollback {self.key.name}`, and uninstall again."
        )


def main() -> int:
    """Return 0 once every model is let go of; 1, with a sentence for each on standard error, when one is in between."""
    try:
        return asyncio.run(_main(Settings()))
    except ApiError as error:
        print(f"The cluster could not be asked whether a rollout runs: {error}", file=sys.stderr)
        return REFUSED


async def _main(settings: Settings) -> int:
    connecting = Kube.connect(settings.kubeconfig, settings.context, timeout_seconds=settings.request_timeout_seconds)
    async with await connecting as kube:
        between = await uninstall(kube, settings.watch_namespaces)
    for each in between:
        print(each, file=sys.stderr)
    return REFUSED if between else DONE


async def uninstall(kube: Kube, namespaces: Sequence[str] = ()) -> tuple[MidRollout, ...]:
    """Let go of all models, unless one is in the middle of a rollout: then of none, and those are returned.

    The operator still works meanwhile, so it is asked again afterwards: a rollout that began in between is seen.
    """
    models, routes = await _all(kube, QUANTIZED_MODEL, namespaces), await _all(kube, HTTP_ROUTE, namespaces)
    if between := mid_rollout(models, routes):
        return between
    for model in models:
        await let_go(kube, model)
    return mid_rollout(await _all(kube, QUANTIZED_MODEL, namespaces), await _all(kube, HTTP_ROUTE, namespaces))


def mid_rollout(models: Sequence[Manifest], routes: Sequence[Manifest]) -> tuple[MidRollout, ...]:
    """Return the models that must not be left alone, by what their status says and by what routes really are."""
    steps = {_model_of(route): _step(route) for route in routes if _splits(route)}
    phases = {key_of(model): str((model.get("status") or {}).get("phase", "")) for model in models}
    lent = {key_of(model) for model in models if (model.get("status") or {}).get("lent")}
    moving = steps.keys() | {
        key for key, phase in phases.items() if phase in MOVING or (phase in SWAPPING and key in lent)
    }
    return tuple(MidRollout(key, phases.get(key) or "unknown", steps.get(key, "")) for key in sorted(moving))


async def let_go(kube: Kube, model: Manifest) -> None:
    """Take our finalizer off a model: nobody would be there to take it off when it is deleted."""
    metadata = model["metadata"]
    others = [each for each in metadata.get("finalizers") or () if each != names.FINALIZER]
    if len(others) == len(metadata.get("finalizers") or ()):
        return
    guarded = {"metadata": {"finalizers": others, "resourceVersion": metadata["resourceVersion"]}}
    await kube.patch_merge(QUANTIZED_MODEL, metadata["namespace"], metadata["name"], guarded)
    print(f"{key_of(model)} is let go of; what serves its users stays.")


def _model_of(route: Manifest) -> Key:
    metadata = route["metadata"]
    return Key(metadata["namespace"], metadata["labels"][names.MODEL])


def _splits(route: Manifest) -> bool:
    """An overlay that does not rest on a promoted release has users between two."""
    metadata = route["metadata"]
    model = (metadata.get("labels") or {}).get(names.MODEL)
    if not model or not metadata["name"].startswith(names.overlay_prefix(model) + "-"):
        return False
    return not _annotations(route).get(RESTING)


def _step(route: Manifest) -> str:
    return _annotations(route).get(STEP, "")


def _annotations(manifest: Manifest) -> Mapping[str, str]:
    return manifest["metadata"].get("annotations") or {}


async def _all(kube: Kube, kind: Kind, namespaces: Sequence[str]) -> list[Manifest]:
    found: list[Manifest] = []
    for namespace in namespaces or ("",):
        try:
            found += (await kube.list(kind, namespace))[0]
        except NotFound:
            continue  # without the CRD there is nothing of it
    return found
