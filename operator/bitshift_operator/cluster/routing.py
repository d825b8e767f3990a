"""Plan → route calls: the overlay is applied, confirmed through the data plane, sent home, removed.

Here: HTTPRoutes and the finalizer that guards them. Not here: what they say (`bitshift_core.traffic`).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bitshift_core.api.conditions import timestamp
from bitshift_core.rollout import names, plan
from bitshift_core.rollout.errors import UserError
from bitshift_core.rollout.moves import RESTING, fingerprint
from bitshift_core.rollout.observation import Observation
from bitshift_core.rollout.snapshot import Snapshot
from bitshift_core.traffic.backends import Backends, ServiceRef
from bitshift_core.traffic.expectations import expectations
from bitshift_core.traffic.gateways import GatewayEndpoint, gateway_endpoints
from bitshift_core.traffic.handover import backends_naming, own_route
from bitshift_core.traffic.overlay import MESSAGE, REASON, STATE, build_overlay
from bitshift_core.traffic.refusals import RouteRefused
from bitshift_core.traffic.states import MESSAGE_CHARACTERS, annotation, as_born, as_born_if_new, as_home, as_neutral
from bitshift_core.traffic.steps import EVERYONE, OBSERVATION, Assignment, assignment

from ..resources import Owner
from ..settings import Settings
from .client import Kube, Manifest
from .kinds import GATEWAY, HTTP_ROUTE, QUANTIZED_MODEL, SERVICE
from .probe import probe

PORT = 80
EMPTY_ROUTE: Manifest = {"metadata": {"namespace": ""}, "spec": {}}
VERIFY_SECONDS = 10.0

log = logging.getLogger(__name__)


class NotConfirmed(Exception):
    """The data plane does not do yet what the routes say; the turn ends here and is taken again."""


@dataclass
class Router:
    """The routes of one model in one turn."""

    kube: Kube
    settings: Settings
    seen: Observation
    snapshot: Snapshot
    owner: Owner
    now: float

    def __post_init__(self) -> None:
        """Begin with the routes as they were read."""
        self.overlay: list[Manifest] = [dict(route) for route in self.snapshot.overlay]

    async def act(self, action: plan.Action) -> None:
        """Carry out one action on routes."""
        match action:
            case plan.Route():
                await self.route(action)
            case plan.RouteHome():
                await self.route_home(action.reason, action.message)
            case plan.RouteResting():
                await self.set_finalizer(True)
                routes = self._resting(action.revision, {})
                await self.apply(as_born(routes, self._never) if action.born else routes)
            case plan.Verify():
                await self.verify()
            case plan.Neutralise():
                await self.apply(as_neutral(self.overlay, self._never))
            case plan.RemoveOverlay():
                await self.remove_overlay()
            case plan.MakeRoute():
                await self.make_route()
            case plan.HoldObject():
                await self.set_finalizer(True)
            case plan.DropFinalizer():
                await self.set_finalizer(False)
            case _:
                raise TypeError(f"nobody carries out {type(action).__name__}")

    async def route(self, action: plan.Route) -> None:
        """Give the overlay an assignment; the object is held by our finalizer before any route exists."""
        await self.set_finalizer(True)
        annotations = self._annotations(action.new_step)
        if action.new_step and action.assignment.step == OBSERVATION:
            annotations[names.ROLLOUT] = f"{self.now:.3f}"
        built = self._built(action.assignment, action.revision, self._relayed(), annotations)
        known = {route["metadata"]["name"] for route in self.overlay}
        await self.apply(as_born(built, self._never) if action.born else as_born_if_new(built, known, self._never))
        await self._without(known - {route["metadata"]["name"] for route in built})

    async def _without(self, names_: set[str]) -> None:
        """Delete routes that were being born when the operator died, and that nobody asks for any longer."""
        for route in [each for each in self.overlay if each["metadata"]["name"] in names_]:
            if annotation(route, STATE) == "born":
                await self.kube.delete(HTTP_ROUTE, self.seen.namespace, route["metadata"]["name"])
                self.overlay.remove(route)

    async def route_home(self, reason: str, message: str) -> None:
        """Send everybody back: to the user's own Service, or to the promoted release that they came from."""
        refusal = self.seen.refusal_for(reason, message)
        told = {names.VERDICT_AT: f"{self.seen.now:.3f}"}
        told |= {names.REFUSAL: refusal.model_dump_json(by_alias=True)} if refusal else {}
        if self.seen.current_revision and not self.seen.handed_over and self.seen.route and not self.seen.deleting:
            why = {REASON: reason, MESSAGE: message[:MESSAGE_CHARACTERS], **told}
            await self.apply(self._resting(self.seen.current_revision, why))
            return
        home = as_home(self.overlay, self._home(), reason=reason, message=message)
        await self.apply([_annotated(route, {names.SINCE: timestamp(self.now), **told}) for route in home])

    async def verify(self) -> None:
        """Ask the gateway itself; what was confirmed is noted on the routes."""
        if not self.overlay:
            return
        resting = next(filter(None, (annotation(route, RESTING) for route in self.overlay)), "")
        backends = self._direct(resting) if resting else self._relayed()
        guards = self.seen.route.guards if self.seen.route else ()
        wanted = expectations(self.overlay, backends, guards=guards)
        result = await probe(wanted, await self._endpoints(), token=self._never, deadline_seconds=VERIFY_SECONDS)
        log.info(
            "asked the data plane",
            extra={"model": self.seen.name, "confirmed": result.confirmed, "requests": result.requests,
                   "seconds": round(result.seconds, 3)},
        )  # fmt: skip
        if not result.confirmed:
            raise NotConfirmed(result.message)
        for position, route in enumerate(self.overlay):
            noted = {"metadata": {"annotations": {names.VERIFIED: fingerprint(route)}}}
            name = route["metadata"]["name"]
            self.overlay[position] = await self.kube.patch_merge(HTTP_ROUTE, self.seen.namespace, name, noted)

    async def remove_overlay(self) -> None:
        """Delete the routes."""
        for route in self.overlay:
            metadata = route["metadata"]
            await self.kube.delete(HTTP_ROUTE, self.seen.namespace, metadata["name"], uid=metadata["uid"])
        self.overlay = []

    async def make_route(self) -> None:
        """Create the route of a model that nothing served before."""
        traffic = self.seen.spec.traffic
        if not (traffic.gateway and traffic.hostname):
            return
        service = names.release_service(self.seen.name)
        manifest = own_route(self.seen.name, self.seen.namespace, traffic.gateway, traffic.hostname, service, PORT)
        manifest["metadata"]["ownerReferences"] = [self.owner.reference()]
        await self.kube.apply(manifest)

    async def set_finalizer(self, wanted: bool) -> None:
        """Hold the object, or let it go; only ours among its finalizers is touched."""
        model = await self.kube.get(QUANTIZED_MODEL, self.seen.namespace, self.seen.name)
        if model is None:
            return
        metadata = model["metadata"]
        others = [each for each in metadata.get("finalizers") or [] if each != names.FINALIZER]
        finalizers = [*others, names.FINALIZER] if wanted else others
        if finalizers == (metadata.get("finalizers") or []):
            return
        body = {"metadata": {"finalizers": finalizers, "resourceVersion": metadata["resourceVersion"]}}
        await self.kube.patch_merge(QUANTIZED_MODEL, self.seen.namespace, self.seen.name, body)

    async def apply(self, routes: Sequence[Manifest]) -> None:
        """Apply the routes in their order, and remember them as the API server has them now."""
        applied = [await self.kube.apply(route) for route in routes]
        written = {route["metadata"]["name"]: route for route in applied}
        known = [written.pop(route["metadata"]["name"], route) for route in self.overlay]
        self.overlay = [*known, *written.values()]

    def _built(
        self, assigned: Assignment, revision: str, backends: Backends, annotations: Mapping[str, str]
    ) -> tuple[Manifest, ...]:
        reading = self.seen.route
        if reading is None:
            raise UserError(*(self.seen.route_problem or ("RouteNotRead", "The user's route could not be read.")))
        overlay = self.seen.overlay
        return build_overlay(
            reading,
            assignment=assigned,
            backends=backends,
            never=self._never,
            revision=revision,
            placement=overlay.reading.placement if overlay else (),
            owner_references=[self.owner.reference()],
            annotations=annotations,
        )

    def _resting(self, revision: str, why: Mapping[str, str]) -> tuple[Manifest, ...]:
        everyone = assignment(
            EVERYONE,
            self.seen.tenants,
            exclude=self.seen.spec.traffic.tenants.exclude,
            anonymous_movable=self.seen.route.anonymous_movable if self.seen.route else True,
        )
        annotations = {**self._annotations(True), RESTING: revision, **why}
        return self._built(everyone, revision, self._direct(revision), annotations)

    def _annotations(self, new_step: bool) -> dict[str, str]:
        overlay, stable = self.seen.overlay, self.seen.stable
        began = self.now if new_step or overlay is None else overlay.since
        begun = overlay is not None and not overlay.resting and overlay.stable_replicas
        replicas = overlay.stable_replicas if begun and overlay else (stable.ready_replicas if stable else 0)
        rollout = {names.ROLLOUT: overlay.rollout} if overlay and overlay.rollout else {}
        return {names.SINCE: timestamp(began), names.STABLE_REPLICAS: str(replicas)} | rollout

    def _home(self) -> ServiceRef:
        """Return the Service that everybody goes back to; a deleted object leaves only what the user's route names."""
        spec, promoted = self.seen.spec, names.release_service(self.seen.name)
        without_overlay = self.seen.deleting and not self.seen.users_lead_here
        if spec.stable and (without_overlay or not self.seen.current_revision):
            return ServiceRef(spec.stable.service, self._users_port(spec.stable.service, spec.stable.port))
        return ServiceRef(promoted, PORT)

    def _users_port(self, service: str, told: int | None) -> int:
        """Return the port of the user's Service: as told, as their route names it, else its first."""
        named = [ref.get("port") for _, _, ref in backends_naming(self.snapshot.user_route or EMPTY_ROUTE, service)]
        ports = (self.snapshot.services.get(service) or {}).get("spec", {}).get("ports") or []
        return next(filter(None, (told, *named, *(each["port"] for each in ports))), PORT)

    def _users_own(self) -> ServiceRef:
        reading = self.seen.route
        return ServiceRef(reading.service, reading.port) if reading else self._home()

    def _relayed(self) -> Backends:
        arms = {arm: ServiceRef(names.relay_name(self.seen.name, arm), PORT, arm) for arm in ("stable", "candidate")}
        return Backends(home=self._users_own(), stable=arms["stable"], candidate=arms["candidate"])

    def _direct(self, revision: str) -> Backends:
        """Return the release's own Service: it is as old as its pods, so every gateway knows it and its endpoints.

        The Service that users hand over to may be a moment old, and a gateway answers 500 for one not heard of yet.
        """
        promoted = ServiceRef(revision, PORT)
        return Backends(home=self._users_own(), stable=promoted, candidate=promoted)

    async def _endpoints(self) -> tuple[GatewayEndpoint, ...]:
        found: list[GatewayEndpoint] = []
        for parent in self.overlay[0]["spec"].get("parentRefs") or []:
            namespace = parent.get("namespace", self.seen.namespace)
            gateway = await self.kube.get(GATEWAY, namespace, parent["name"])
            if gateway is None:
                raise NotConfirmed(f"Gateway '{namespace}/{parent['name']}' does not exist.")
            services, _ = await self.kube.list(SERVICE, namespace)
            address = self.settings.gateway_address
            known = {f"{namespace}/{parent['name']}": (address,)} if address else {}
            try:
                found += gateway_endpoints(gateway, parent, services=services, known=known)
            except RouteRefused as refused:
                raise NotConfirmed(refused.message) from refused
        return tuple(found)

    @property
    def _never(self) -> str:
        """Return a header value that nobody guesses and that is the same at every turn."""
        return names.digest([self.seen.uid, "never"], 24)


def _annotated(route: Manifest, more: Mapping[str, str]) -> Manifest:
    metadata = route["metadata"]
    return {**route, "metadata": {**metadata, "annotations": {**(metadata.get("annotations") or {}), **more}}}
