"""Reading the cluster for one turn: caches for what wakes us, live reads for what a write will rely on.

Here: I/O → `Snapshot`. Not here: what it means (`rollout.seeing`).
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
from pydantic import ValidationError

from bitshift_core.api.base import GROUP
from bitshift_core.api.catalogue import EvalSuiteSpec, RuntimeProfileSpec
from bitshift_core.api.v1alpha1 import QuantizedModelSpec
from bitshift_core.evidence.live import RelayReport
from bitshift_core.fit.engines import EngineConstants
from bitshift_core.fit.workloads import answering_labels
from bitshift_core.rollout import names
from bitshift_core.rollout.beside import config_maps_beside
from bitshift_core.rollout.home import parent_uri
from bitshift_core.rollout.loans import loan_of
from bitshift_core.rollout.one_pod import is_ready
from bitshift_core.rollout.profiles import read_profile
from bitshift_core.rollout.snapshot import Snapshot
from bitshift_core.traffic.routes import overlay_labels

from ..resources.deployment import ADMIN_PORT
from ..settings import Settings
from .caches import Caches, is_ours
from .client import Kube, Manifest
from .errors import Forbidden
from .kinds import (
    CONFIG_MAP,
    CUSTOM_RESOURCE_DEFINITION,
    EVAL_SUITE,
    HORIZONTAL_POD_AUTOSCALER,
    HTTP_ROUTE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    QUANTIZED_MODEL,
    RUNTIME_PROFILE,
    Key,
    Kind,
    kind_of,
)
from .logs import starting_logs
from .room import Room

POLICY_LABEL = "gateway.networking.k8s.io/policy"
BUILT_IN = f"{GROUP}/built-in=true"
RELAY_SECONDS = 2.0

log = logging.getLogger(__name__)


@dataclass
class Reader:
    """What reads the cluster; holds connections, remembers nothing that a decision depends on."""

    kube: Kube
    caches: Caches
    settings: Settings
    engines: EngineConstants
    http: httpx.AsyncClient
    watermarks: dict[str, int] = field(default_factory=dict)
    """Where each relay's last report ended, so that rows are not sent twice; losing it costs only bytes."""
    room: Room = field(init=False)

    def __post_init__(self) -> None:
        self.room = Room(self.caches)

    async def snapshot(self, key: Key, now: float) -> Snapshot | None:
        """Return everything about one model, or None when it is gone."""
        model = await self.kube.get(QUANTIZED_MODEL, key.namespace, key.name)
        if model is None:
            return None
        spec = QuantizedModelSpec.model_validate(model["spec"])
        mine = [pod for pod in self.caches.pods.by_owner(key) if is_ours(pod)]
        read = Snapshot(now=now, model=model, engines=self.engines, pods=mine)
        read = replace(read, **self._cached(key, spec))
        parts = await asyncio.gather(
            self._catalogue(key.namespace, spec),
            self._home(read, spec),
            self._routes(key, spec),
            self._relays(mine),
            starting_logs(self.kube, read),
        )
        for part in parts:
            read = replace(read, **part)
        read = replace(read, **await self._kept(key, spec, read))  # whose facts: catalogue and home tell
        return replace(read, **self.room.beside(read))

    def _cached(self, key: Key, spec: QuantizedModelSpec) -> dict[str, Any]:
        wanted = {names.release_service(key.name)} | ({spec.stable.service} if spec.stable else set())
        services = {name: found for name in wanted if (found := self.caches.services.get(key.namespace, name))}
        return {
            "services": services,
            "workloads": {each["metadata"]["name"]: each for each in self.caches.workloads_of(key)},
            "lenders": [each for each in self.caches.deployments.list(key.namespace) if loan_of(each)],
            "serves_groups": self.caches.groups.is_served,
            "jobs": {each["metadata"]["name"]: each for each in self.caches.jobs.by_owner(key)},
            "revisions": frozenset(each["metadata"]["name"] for each in self.caches.revisions.by_owner(key)),
        }

    async def _catalogue(self, namespace: str, spec: QuantizedModelSpec) -> dict[str, Any]:
        (listed, _), found = await asyncio.gather(self.kube.list(RUNTIME_PROFILE), self._suites(namespace, spec))
        profiles: dict[str, RuntimeProfileSpec] = {}
        bad: dict[str, str] = {}
        for manifest in listed:
            name, read = manifest["metadata"]["name"], read_profile(manifest)
            if isinstance(read, str):
                bad[name] = read
            else:
                profiles[name] = read
        suites = {each["metadata"]["name"]: EvalSuiteSpec.model_validate(each["spec"]) for each in found}
        return {"profiles": profiles, "bad_profiles": bad, "suites": suites}

    async def _suites(self, namespace: str, spec: QuantizedModelSpec) -> list[Manifest]:
        named = [reference.name for reference in spec.gates.quality.suites]
        if not named:
            return (await self.kube.list(EVAL_SUITE, self.settings.namespace, label_selector=BUILT_IN))[0]
        found = await asyncio.gather(*(self._suite(namespace, name) for name in named))
        return [each for each in found if each is not None]

    async def _suite(self, namespace: str, name: str) -> Manifest | None:
        """Return a suite of the model's own namespace, else the built-in one of that name."""
        return await self.kube.get(EVAL_SUITE, namespace, name) or await self.kube.get(
            EVAL_SUITE, self.settings.namespace, name
        )

    async def _home(self, read: Snapshot, spec: QuantizedModelSpec) -> dict[str, Any]:
        """Return the pods that users come from, what makes and scales them, and the claims beside them."""
        promoted = read.services.get(names.release_service(read.name))
        own = read.services.get(spec.stable.service) if spec.stable else None
        (users_pods, users_owner), behind_promoted, (scalers, _), (claims, _) = await asyncio.gather(
            self._behind(read.namespace, own),
            self._behind(read.namespace, promoted),
            self.kube.list(HORIZONTAL_POD_AUTOSCALER, read.namespace),
            self.kube.list(PERSISTENT_VOLUME_CLAIM, read.namespace),
        )
        pods, owner = behind_promoted if promoted else (users_pods, users_owner)
        told = {"home_pods": pods, "home_owner": owner, "users_pods": users_pods, "users_owner": users_owner}
        return told | {"autoscalers": scalers, "claims": frozenset(each["metadata"]["name"] for each in claims)}

    async def _behind(
        self, namespace: str, service: Mapping[str, Any] | None
    ) -> tuple[list[Manifest], Manifest | None]:
        """Return the pods behind a Service and what makes them, with its template, or one whole pod."""
        selector = ((service or {}).get("spec") or {}).get("selector") or {}
        if not selector:
            return [], None
        pods = [pod for pod in self.caches.pods.list(namespace) if _selected(pod, selector)]
        made_by = [each for each in self.caches.workloads(namespace) if _makes(each, selector)]
        if made_by:
            return pods, await self.kube.get(kind_of(made_by[0]), namespace, made_by[0]["metadata"]["name"])
        if pods:
            pods = [await self.kube.get(POD, namespace, pods[0]["metadata"]["name"]) or pods[0], *pods[1:]]
        return pods, None

    async def _kept(self, key: Key, spec: QuantizedModelSpec, read: Snapshot) -> dict[str, Any]:
        facts = {names.facts_name(rung.artifact, rung.digest) for rung in spec.ladder}
        facts.add(names.facts_name(parent_uri(read, spec), None))
        facts |= config_maps_beside(spec)
        wanted = sorted(facts | {names.verdicts_name(key.name), names.evidence_name(key.name)})
        found = await asyncio.gather(*(self.kube.get(CONFIG_MAP, key.namespace, name) for name in wanted))
        return {"config_maps": {each["metadata"]["name"]: each for each in found if each}}

    async def _routes(self, key: Key, spec: QuantizedModelSpec) -> dict[str, Any]:
        own = self.caches.routes.get(key.namespace, f"{key.name}-route")
        selector = ",".join(f"{label}={value}" for label, value in overlay_labels(key.name).items())
        (overlay, _), user, policies = await asyncio.gather(
            self.kube.list(HTTP_ROUTE, key.namespace, label_selector=selector),
            self._user_route(key, spec),
            self._policies(key.namespace) if spec.traffic.route else _none(),
        )
        overlay = [
            each for each in overlay if each["metadata"]["name"].startswith(f"{names.overlay_prefix(key.name)}-")
        ]
        ours = {each["metadata"]["name"] for each in overlay}
        others = [
            each
            for each in self.caches.routes.list()
            if not (each["metadata"]["namespace"] == key.namespace and each["metadata"]["name"] in ours)
            and each["metadata"].get("uid") != (user or own or {"metadata": {}})["metadata"].get("uid")
        ]
        ordered = sorted(overlay, key=lambda each: int(each["metadata"]["name"].rpartition("-")[2]))
        return {
            "user_route": user, "own_route": own, "overlay": ordered, "other_routes": others, "policies": policies,
        }  # fmt: skip

    async def _user_route(self, key: Key, spec: QuantizedModelSpec) -> Manifest | None:
        return await self.kube.get(HTTP_ROUTE, key.namespace, spec.traffic.route) if spec.traffic.route else None

    async def _policies(self, namespace: str) -> list[Manifest]:
        """Return every policy object of the namespace; kinds say by a label of their CRD that they are policies."""
        kinds, _ = await self.kube.list(CUSTOM_RESOURCE_DEFINITION, label_selector=POLICY_LABEL)
        found: list[Manifest] = []
        for crd in kinds:
            spec = crd["spec"]
            version = next(each["name"] for each in spec["versions"] if each["served"])
            kind = Kind(f"{spec['group']}/{version}", spec["names"]["kind"], spec["names"]["plural"])
            try:
                found += (await self.kube.list(kind, namespace))[0] if spec["scope"] == "Namespaced" else []
            except Forbidden:
                log.warning("policies of kind %s cannot be read; grant `list` on them", kind.plural)
        return found

    async def _relays(self, mine: Sequence[Manifest]) -> dict[str, Any]:
        pods = [pod for pod in mine if (pod["metadata"].get("labels") or {}).get(names.ROLE) == "relay"]
        pods = [pod for pod in pods if pod.get("status", {}).get("podIP") and pod["status"].get("phase") == "Running"]
        pods = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
        reports = await asyncio.gather(*(self._report(pod) for pod in pods))
        asked = sum(is_ready(pod) for pod in pods)
        return {"relay_reports": tuple(each for each in reports if each), "relay_pods_asked": asked}

    async def _report(self, pod: Manifest) -> RelayReport | None:
        name, address = pod["metadata"]["name"], pod["status"]["podIP"]
        since = {f"since_{stage}": self.watermarks.get(f"{name}/{stage}", 0) for stage in ("first", "end")}
        try:
            answer = await self.http.get(f"http://{address}:{ADMIN_PORT}/evidence", params=since, timeout=RELAY_SECONDS)
            return RelayReport.model_validate_json(answer.content) if answer.is_success else None
        except (httpx.HTTPError, ValidationError) as error:
            log.info("the relay pod %s could not be asked: %r", name, error)
            return None


async def _none() -> list[Manifest]:
    return []


def _selected(pod: Manifest, selector: Mapping[str, str]) -> bool:
    return selector.items() <= (pod["metadata"].get("labels") or {}).items()


def _makes(workload: Manifest, selector: Mapping[str, str]) -> bool:
    """What knows its pods by labels that cover the Service's selector, or are covered by it, makes its pods."""
    own = answering_labels(workload)
    return selector.items() <= own.items() or (bool(own) and own.items() <= selector.items())
