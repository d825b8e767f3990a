"""Where a release fits in this cluster: the plan on its nodes, and how it finds room beside stable.

Here: snapshot → `Fit`. Not here: sums, kernels, seats (`fit`), what is done about it (`phases`).
"""

from collections.abc import Sequence
from dataclasses import replace

from ..fit.fleet import Fleet
from ..fit.need import Need
from ..fit.placement import Node
from ..fit.plan import Fit, plan_release
from ..fit.swap import room_beside
from .snapshot import Snapshot


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
    return replace(fit, mode=room.mode, message=f"{fit.message} {room.sentence}".strip())


def _planned(snapshot: Snapshot, need: Need, nodes: Sequence[Node] | Fleet) -> Fit:
    return plan_release(need, nodes, snapshot.engines, kernels=snapshot.kernels)


def _stable_pods(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Return the pods that users come from and their nodes, the youngest first: so does a Deployment shrink."""
    alive = [pod for pod in snapshot.home_pods if not pod["metadata"].get("deletionTimestamp")]
    ordered = sorted(alive, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), reverse=True)
    return [
        (f"{pod['metadata'].get('namespace', snapshot.namespace)}/{pod['metadata']['name']}", pod["spec"]["nodeName"])
        for pod in ordered
        if pod.get("spec", {}).get("nodeName")
    ]
