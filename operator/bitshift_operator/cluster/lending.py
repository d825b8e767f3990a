"""Replicas that stable lends on a full node, and gets back: each is one guarded write of size and note together.

Here: Deployments that are not ours. Not here: when a replica goes or comes back (`bitshift_core.rollout.lending`).
"""

from bitshift_core.rollout import names
from bitshift_core.rollout.loans import loan_of
from bitshift_core.rollout.plan import TakeReplica

from .client import Kube
from .errors import NotFound
from .kinds import DEPLOYMENT, POD

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
"""By it a ReplicaSet that shrinks chooses among ready pods; the default is 0."""


async def take_replica(kube: Kube, namespace: str, action: TakeReplica) -> None:
    """Have the Deployment run one replica less, and let it be the one whose place is wanted."""
    live = await kube.get(DEPLOYMENT, namespace, action.deployment)
    if live is None or live["spec"].get("replicas", 1) != action.loan.after + 1:
        return  # somebody gave it another size since it was looked at: the next turn sees that
    if (noted := loan_of(live)) and noted.model != action.loan.model:
        return  # it waits to have back what another model's release took: that note is the only way back
    try:
        await kube.patch_merge(POD, namespace, action.pod, {"metadata": {"annotations": {DELETION_COST: "-1000"}}})
    except NotFound:
        return
    note = action.loan.model_dump_json(by_alias=True)
    guarded = {"annotations": {names.LENT: note}, "resourceVersion": live["metadata"]["resourceVersion"]}
    await kube.patch_merge(
        DEPLOYMENT, namespace, action.deployment, {"metadata": guarded, "spec": {"replicas": action.loan.after}}
    )


async def give_back(kube: Kube, namespace: str, name: str) -> None:
    """Let the Deployment have as many replicas as before, unless somebody gave it another size meanwhile."""
    live = await kube.get(DEPLOYMENT, namespace, name)
    loan = loan_of(live) if live else None
    if live is None or loan is None:
        return
    untouched = live["spec"].get("replicas", 1) == loan.after
    guarded = {"annotations": {names.LENT: None}, "resourceVersion": live["metadata"]["resourceVersion"]}
    size = {"spec": {"replicas": loan.before}} if untouched else {}
    await kube.patch_merge(DEPLOYMENT, namespace, name, {"metadata": guarded} | size)
