"""What ends, or is given another size: releases, the baseline, the relay, and what served before a promotion.

Here: traffic is looked at before pods go. Not here: what outlives its model (`cluster.leaving`), routes
(`cluster.routing`).
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bitshift_core.fit.workloads import answering_labels, templates_of
from bitshift_core.rollout import names
from bitshift_core.rollout.observation import Observation
from bitshift_core.rollout.snapshot import Snapshot

from .client import Kube, Manifest
from .kinds import HTTP_ROUTE, RESOURCE_CLAIM_TEMPLATE, SERVICE, WORKLOADS, kind_of

log = logging.getLogger(__name__)


@dataclass
class Ending:
    """What of one model may end in one turn."""

    kube: Kube
    seen: Observation
    snapshot: Snapshot

    async def scale_stable_to_zero(self) -> None:
        """Free the GPUs of what served before, unless a route leads to it; what an autoscaler owns is left alone."""
        stable = self.seen.spec.stable
        routes, _ = await self.kube.list(HTTP_ROUTE, self.seen.namespace)
        if stable is None or any(_names(route, stable.service) for route in routes):
            return
        old = self.snapshot.services.get(stable.service)
        selector = ((old or {}).get("spec") or {}).get("selector") or {}
        scaled = {scaler["spec"]["scaleTargetRef"]["name"] for scaler in self.snapshot.autoscalers}
        for kind in WORKLOADS if self.snapshot.serves_groups else WORKLOADS[:1]:
            found, _ = await self.kube.list(kind, self.seen.namespace)
            for each in found:
                covered = bool(selector) and selector.items() <= _labels(each).items()
                if covered and each["spec"].get("replicas") and each["metadata"]["name"] not in scaled:
                    await self.scale(each, 0)

    async def scale(self, workload: Mapping[str, Any], replicas: int) -> None:
        """Have what makes pods make so many replicas."""
        body, name = {"spec": {"replicas": replicas}}, workload["metadata"]["name"]
        await self.kube.patch_merge(kind_of(workload), self.seen.namespace, name, body)

    async def remove_release(self, revision: str) -> None:
        """End a release's pods, unless a route read just now still names it."""
        routes, _ = await self.kube.list(HTTP_ROUTE, self.seen.namespace)
        relay = names.relay_name(self.seen.name, "candidate")
        live = [
            route for route in routes if _names(route, revision) or (_names(route, relay) and self._relays_to(revision))
        ]
        if live:
            log.warning("a route still leads to the release", extra={"revision": revision})
            return
        if self._claims_devices(revision):
            await self.kube.delete(RESOURCE_CLAIM_TEMPLATE, self.seen.namespace, revision)
        await self.remove(revision)

    def _claims_devices(self, revision: str) -> bool:
        template = templates_of(self.snapshot.workloads.get(revision, {}))[0]
        return bool(template.get("spec", {}).get("resourceClaims"))

    def _relays_to(self, revision: str) -> bool:
        return bool(self.seen.overlay and self.seen.overlay.reading.revision == revision)

    async def remove_relay(self) -> None:
        """End the relay's Services, then the relay: what is left half done is found by its Deployment."""
        for arm in ("stable", "candidate"):
            await self.kube.delete(SERVICE, self.seen.namespace, names.relay_name(self.seen.name, arm))
        await self._end(names.relay_name(self.seen.name))

    async def remove(self, name: str) -> None:
        """End a Service of ours, then what makes its pods: by that, what is left half done is found."""
        await self.kube.delete(SERVICE, self.seen.namespace, name)
        await self._end(name)

    async def _end(self, name: str) -> None:
        if workload := self.snapshot.workloads.get(name):
            await self.kube.delete(kind_of(workload), self.seen.namespace, name)


def _labels(workload: Manifest) -> dict[str, str]:
    """Return what the pods carry that answer: their template's labels, and those by which they are known."""
    template = (templates_of(workload)[0].get("metadata") or {}).get("labels") or {}
    return {**template, **answering_labels(workload)}


def _names(route: Manifest, service_name: str) -> bool:
    rules: list[dict[str, Any]] = route["spec"].get("rules") or []
    return any(
        ref.get("name") == service_name and ref.get("weight", 1)
        for rule in rules
        for ref in rule.get("backendRefs") or []
    )
