"""Where a release fits in this cluster: the plan on its nodes, and how it finds room beside stable.

Here: snapshot → `Fit`. Not here: sums, kernels, seats (`fit`), what is done about it (`phases`).
"""

from collections.abc import Sequence
from dataclasses import replace

from ..api.v1alpha1 import QuantizedModelSpec
from ..artifact.facts import ArtifactFacts
from ..fit.fleet import Fleet
from ..fit.need import Need
from ..fit.placement import Node
from ..fit.plan import Fit, plan_release
from ..fit.swap import room_beside
from ..fit.words import why_this_rung
from .snapshot import Manifest, Snapshot


def fit_of(snapshot: Snapshot, need: Need, revision: str, *, reload_seconds: float) -> Fit:
    """Return the plan for one release; its own pods stand nobody in the way."""
    own = snapshot.nodes_without_ours.get(revision)
    nodes = own or snapshot.nodes
    fit = _planned(snapshot, need, own or snapshot.fleet)
    if fit.verdict != "Waiting" or not fit.node_names:
        return fit

    def fits(asked: Need, where: Sequence[Node]) -> bool:
        return _planned(snapshot, asked, where).verdict == "Fits"

    room = room_beside(need, nodes, fits, _stable_pods(snapshot), reload_seconds=reload_seconds)
    room = replace(room, placeable=room.mode == "Serial" and fits(replace(need, replicas=1), snapshot.nodes))
    return replace(fit, room=room, message=f"{fit.message} {room.sentence}".strip())


def explained(snapshot: Snapshot, spec: QuantizedModelSpec, need: Need, fit: Fit, parent: ArtifactFacts | None) -> Fit:
    """Return the plan with why this rung, where the user named what they care for."""
    if spec.scenario is None or fit.verdict == "DoesNotFit":
        return fit
    why = why_this_rung(
        spec.scenario, need, fit, parent=parent, engines=snapshot.engines, losses=snapshot.losses, price=spec.price
    )
    return replace(fit, why=why)


def _planned(snapshot: Snapshot, need: Need, nodes: Sequence[Node] | Fleet) -> Fit:
    return plan_release(need, nodes, snapshot.engines, kernels=snapshot.kernels)


def _stable_pods(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Return the pods that users come from and their nodes, the youngest first: so does a Deployment shrink.

    The order is the same from turn to turn: an operator that died at it must choose no other pod.
    """
    alive = [pod for pod in snapshot.home_pods if not pod["metadata"].get("deletionTimestamp")]
    ordered = sorted(alive, key=_age_and_name, reverse=True)
    return [
        (f"{pod['metadata'].get('namespace', snapshot.namespace)}/{pod['metadata']['name']}", pod["spec"]["nodeName"])
        for pod in ordered
        if pod.get("spec", {}).get("nodeName")
    ]


def _age_and_name(pod: Manifest) -> tuple[str, str]:
    return str(pod["metadata"].get("creationTimestamp", "")), str(pod["metadata"]["name"])
