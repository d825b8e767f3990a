"""What outlives a model: the promoted release, where the user's own route leads to it.

Here: owner references. Not here: when an object may go (`bitshift_core.rollout.moving`).
"""

from collections.abc import Iterator

from bitshift_core.fit.workloads import templates_of
from bitshift_core.rollout import names

from ..resources import Owner
from .client import Kube, Manifest
from .kinds import CONFIG_MAP, RESOURCE_CLAIM_TEMPLATE, SERVICE, WORKLOADS, Kind, kind_of


async def leave_behind(kube: Kube, owner: Owner, revision: str) -> None:
    """Take the model's name off everything that the release needs, so that it is not deleted with the model."""
    made_by = [await kube.get(kind, owner.namespace, revision) for kind in WORKLOADS]
    for kind, name in needed_by(next(filter(None, made_by), {}), owner.name, revision):
        found = await kube.get(kind, owner.namespace, name)
        owners = (found or {}).get("metadata", {}).get("ownerReferences") or []
        others = [each for each in owners if each["uid"] != owner.uid]
        if len(others) < len(owners):
            await kube.patch_merge(kind, owner.namespace, name, {"metadata": {"ownerReferences": others}})


def needed_by(workload: Manifest, model: str, revision: str) -> Iterator[tuple[Kind, str]]:
    """Yield the release's objects: its Services, what makes its pods, and what these mount or claim."""
    yield SERVICE, names.release_service(model)
    yield SERVICE, revision
    if workload:
        yield kind_of(workload), revision
    pod = templates_of(workload)[0].get("spec", {})
    for volume in pod.get("volumes") or ():
        if "configMap" in volume:
            yield CONFIG_MAP, volume["configMap"]["name"]
    for claim in pod.get("resourceClaims") or ():
        yield RESOURCE_CLAIM_TEMPLATE, claim["resourceClaimTemplateName"]
