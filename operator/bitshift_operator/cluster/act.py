"""Plan → calls, in order. Each call is safe to repeat: a turn may die after any of them and be taken again.

Here: pods, Jobs, ConfigMaps, Services. Not here: routes (`cluster.routing`), what ends (`cluster.ending`).
"""

import base64
import json
import logging
from dataclasses import dataclass

import httpx

from bitshift_core.api.v1alpha1 import Rung
from bitshift_core.artifact.digests import text_digest
from bitshift_core.rollout import names, plan
from bitshift_core.rollout.agreement import check_groups
from bitshift_core.rollout.beside import beside_of, facts_in
from bitshift_core.rollout.errors import UserError
from bitshift_core.rollout.observation import Observation
from bitshift_core.rollout.one_pod import has_answered, is_ready, start_identity
from bitshift_core.rollout.options import CHAT_TEMPLATE_PATH
from bitshift_core.rollout.places import claim_of
from bitshift_core.rollout.readings import reading_of
from bitshift_core.rollout.releases import Resolved, resolve, seal
from bitshift_core.rollout.snapshot import Snapshot
from bitshift_core.rollout.stable import baseline_model
from bitshift_core.starting.deadlines import Deadlines
from bitshift_core.starting.reading import read_log

from ..resources import (
    ArtifactAccess,
    Owner,
    access,
    config_map,
    deployment,
    job,
    model_revision,
    resource_claim_template,
    service,
)
from ..settings import Settings
from . import lending
from .answers import ask
from .client import Kube, Manifest
from .ending import Ending
from .errors import AlreadyExists
from .kinds import CONFIG_MAP, POD, SECRET
from .leaving import leave_behind
from .routing import Router

MOST_VERDICTS = 128
"""Kept in one ConfigMap, which holds 1 MiB; of more, those that nobody asks for any longer go."""

log = logging.getLogger(__name__)


@dataclass
class Turn:
    """One turn's actions on one model."""

    kube: Kube
    settings: Settings
    http: httpx.AsyncClient
    seen: Observation
    snapshot: Snapshot
    now: float

    @property
    def owner(self) -> Owner:
        """The model that everything made here belongs to."""
        return Owner(self.seen.name, self.seen.namespace, self.seen.uid)

    async def act(self, actions: tuple[plan.Action, ...]) -> None:
        """Carry out actions in order; an error of the API ends the turn, and the queue takes it again."""
        ending = Ending(self.kube, self.seen, self.snapshot)
        router = Router(self.kube, self.settings, self.seen, self.snapshot, self.owner, self.now)
        for action in actions:
            log.info("acting", extra={"model": self.seen.name, "action": type(action).__name__})
            match action:
                case plan.ReadFacts():
                    await self.read_facts(action)
                case plan.OwnFacts():
                    mine = config_map.owned_too(self.owner, action.config_map)
                    await self.kube.apply(mine, field_manager=f"bitshift-{self.seen.name}")
                case plan.StartRelease():
                    await self.start_release(action)
                case plan.StartBaseline():
                    await self.start_baseline(action)
                case plan.AskPods():
                    await self.ask_pods(action)
                case plan.RunGate():
                    await self.run_gate(action)
                case plan.KeepVerdict():
                    await self.keep_verdict(action)
                case plan.StartRelay():
                    await self.start_relay(action)
                case plan.SaveEvidence():
                    await self.save_evidence(action)
                case plan.ServeAs():
                    await self.serve_as(action)
                case plan.ScaleStableToZero():
                    await ending.scale_stable_to_zero()
                case plan.TakeReplica():
                    await lending.take_replica(self.kube, self.seen.namespace, action)
                case plan.GiveBack():
                    await lending.give_back(self.kube, self.seen.namespace, action.deployment)
                case plan.RemoveRelease():
                    await ending.remove_release(action.revision)
                case plan.RemoveBaseline():
                    await ending.remove(names.baseline_name(self.seen.name))
                case plan.ScaleRelease():
                    await ending.scale(self.snapshot.workloads[action.revision], action.replicas)
                case plan.RemoveRelay():
                    await ending.remove_relay()
                case plan.LeaveBehind():
                    await leave_behind(self.kube, self.owner, action.revision)
                case _:
                    await router.act(action)

    async def read_facts(self, action: plan.ReadFacts) -> None:
        """Run the Job that reads an artifact, with an account that may write its one ConfigMap."""
        name = names.facts_name(action.uri, action.digest)
        job_name = names.facts_job_name(action.uri, action.digest, reading_of(self.snapshot))
        if job_name in self.snapshot.jobs:
            return
        claim = claim_of(action.uri)
        await self.create_once(config_map.config_map(self.owner, name, {}))
        for manifest in access.account(self.owner, name, (name,)):
            await self.kube.apply(manifest, field_manager=f"bitshift-{self.seen.name}")
        await self.create_once(
            job.facts(
                self.owner,
                job_name,
                uri=action.uri,
                claim=claim[0] if claim else None,
                digest=action.digest,
                config_map=name,
                account=name,
                image=self.settings.runtime_image,
                pull_policy=self.settings.image_pull_policy,
                sources=self._sources(),
            )
        )

    def _sources(self) -> ArtifactAccess:
        """Return how the containers that read or fetch artifacts reach them."""
        settings, sources = self.settings, self.seen.spec.sources
        endpoints = {"HF_ENDPOINT": settings.hugging_face_endpoint, "AWS_ENDPOINT_URL": settings.s3_endpoint}
        named = {key: each for key, each in endpoints.items() if each}
        return ArtifactAccess(sources.secret or "", named, sources.ca_bundle)

    async def _keep_chat_template(self, resolved: Resolved) -> None:
        """Keep a copy of the template that nobody edits: a pod that starts later must read the same."""
        if resolved.chat_template:
            name = names.chat_template_name(text_digest(resolved.chat_template))
            data = {CHAT_TEMPLATE_PATH.rpartition("/")[2]: resolved.chat_template}
            await self.create_once(config_map.config_map(self.owner, name, data))

    async def start_release(self, action: plan.StartRelease) -> None:
        """Seal the release, then run it: a pod never runs what no ModelRevision says."""
        release = action.release
        assert release.sealed and release.resolved and release.fit
        await self._keep_chat_template(release.resolved)
        await self.create_once(model_revision.model_revision(self.owner, release.revision, release.sealed))
        await self.kube.apply(service.release(self.owner, release.revision, release.resolved.port))
        if release.fit.claim:
            template = resource_claim_template.gpus(self.owner, release.revision, release.fit.claim)
            await self.create_once(template)
        await self.kube.apply(
            deployment.release(
                self.owner,
                release.revision,
                release.sealed,
                release.resolved,
                self.snapshot.profiles[release.resolved.runtime],
                affinity=release.fit.affinity,
                tolerations=release.fit.tolerations,
                gpu_resource=release.fit.resource,
                claims_devices=release.fit.claim is not None,
                runtime_image=self.settings.runtime_image,
                pull_policy=self.settings.image_pull_policy,
                start_seconds=_unhealthy_seconds(release.deadlines, release.resolved),
                drain_seconds=self.seen.spec.traffic.drain_seconds,
                sources=self._sources(),
            )
        )

    async def start_baseline(self, action: plan.StartBaseline) -> None:
        """Run what the candidate is compared with: the parent's artifact, else an idle copy of stable's pod."""
        if action.parent:
            await self._start_parent(action.parent)
            return
        stable = self.seen.stable
        assert stable is not None
        await self.kube.apply(service.baseline(self.owner, stable.pod_port))
        await self.kube.apply(deployment.baseline(self.owner, (stable.pod_spec, *stable.worker_specs)))

    async def _start_parent(self, rung: Rung) -> None:
        facts = facts_in(self.snapshot.config_maps.get(names.facts_name(rung.artifact, None)))
        if facts is None:
            raise UserError("ParentUnknown", f"`parent.artifact` '{rung.artifact}' could not be read yet.")
        profile = self.snapshot.profiles[self.seen.profile_name]
        resolved = resolve(
            self.seen.spec,
            rung,
            name=self.seen.name,
            runtime=self.seen.profile_name,
            profile=profile,
            stable=self.seen.stable,
            facts=facts,
            beside=beside_of(self.snapshot, self.seen.spec, rung),
            as_parent=True,
        )
        check_groups(rung.name, resolved.nodes_per_replica, served=self.snapshot.serves_groups)
        await self._keep_chat_template(resolved)
        sealed = seal(self.seen.name, rung, resolved, profile, facts, facts.file_bytes)
        manifest = deployment.release(
            self.owner,
            names.baseline_name(self.seen.name),
            sealed,
            resolved,
            profile,
            affinity=None,
            tolerations=resolved.tolerations,
            runtime_image=self.settings.runtime_image,
            pull_policy=self.settings.image_pull_policy,
            start_seconds=_unhealthy_seconds(Deadlines.of(profile, facts.file_bytes), resolved),
            drain_seconds=1,
            sources=self._sources(),
            role="baseline",
        )
        manifest["spec"]["replicas"] = 1
        await self.kube.apply(service.baseline(self.owner, resolved.port))
        await self.kube.apply(manifest)

    async def ask_pods(self, action: plan.AskPods) -> None:
        """Ask each ready pod a question; an answer is noted on the pod, with the container that gave it."""
        role = "baseline" if action.baseline else "release"
        for pod in self.snapshot.pods:
            labels = pod["metadata"].get("labels") or {}
            wanted = labels.get(names.ROLE) == role and (
                action.baseline or labels.get(names.REVISION) == action.revision
            )
            if wanted and is_ready(pod) and not has_answered(pod) and not pod["metadata"].get("deletionTimestamp"):
                await self._ask(dict(pod), baseline=action.baseline)

    async def _ask(self, pod: Manifest, *, baseline: bool) -> None:
        stable, candidate = self.seen.stable, self.seen.candidate
        resolved = candidate.resolved if candidate else None
        copies_stable = baseline and not self.seen.spec.parent
        port = stable.pod_port if copies_stable and stable else (resolved.port if resolved else 80)
        secret = resolved.api_key_secret if resolved else None
        key = await self._secret(secret.name, secret.key) if secret else ""
        ours = resolved.served_model_name if resolved else self.seen.name
        model = baseline_model(self.seen.spec, stable, ours) if baseline else ours
        answer = await ask(self.http, f"http://{pod['status']['podIP']}:{port}", model=model, api_key=key)
        if answer.sensible:
            report = None if baseline else self._report(pod)
            noted = {"metadata": {"annotations": {names.ANSWERED: start_identity(pod), names.REPORT: report}}}
            await self.kube.patch_merge(POD, self.seen.namespace, pod["metadata"]["name"], noted)
        else:
            log.info("pod does not answer sensibly", extra={"pod": pod["metadata"]["name"], "why": answer.why})

    def _report(self, pod: Manifest) -> str | None:
        """Return what the engine told of itself while it started: its log is not read any more once it answered."""
        log, candidate = self.snapshot.logs.get(pod["metadata"]["name"]), self.seen.candidate
        if log is None or candidate is None or candidate.resolved is None:
            return None
        reading = read_log(self.snapshot.log_rules.of(candidate.resolved.runtime), log.current)
        return reading.report.model_dump_json(by_alias=True, exclude_defaults=True)

    async def _secret(self, name: str, key: str) -> str:

        secret = await self.kube.get(SECRET, self.seen.namespace, name)
        return base64.b64decode(((secret or {}).get("data") or {}).get(key, "")).decode()

    async def run_gate(self, action: plan.RunGate) -> None:
        """Run one gate's Job; what it is asked lies in a ConfigMap, what it scores goes into another."""
        gate, release = action.gate, action.release
        name = names.gate_job_name(release.revision, gate.key)
        account = f"{self.seen.name}-gates"
        scores = f"{self.seen.name}-scores"
        await self.create_once(config_map.config_map(self.owner, scores, {}))
        for manifest in access.account(self.owner, account, (scores,)):
            await self.kube.apply(manifest)
        config = {key: value for key, value in gate.config.items() if value is not None}
        await self.kube.apply(config_map.config_map(self.owner, name, {"gate.json": json.dumps(config)}))
        quality, load = self.seen.spec.gates.quality, self.seen.spec.gates.load
        seconds = quality.max_seconds if gate.name != "load" else 4 * load.seconds
        await self.create_once(
            job.gate(
                self.owner,
                name,
                gate=gate.name,
                config_map=name,
                scores_config_map=scores,
                items_config_maps=[
                    suite.config_map.name for suite in self.snapshot.suites.values() if suite.config_map
                ],
                account=account,
                api_key=release.resolved.api_key_secret if release.resolved else None,
                seconds=seconds + 600,
                image=self.settings.runtime_image,
                pull_policy=self.settings.image_pull_policy,
            )
        )

    async def keep_verdict(self, action: plan.KeepVerdict) -> None:
        """Keep a verdict beyond the life of its Job."""
        name = names.verdicts_name(self.seen.name)
        await self.create_once(config_map.config_map(self.owner, name, {}))
        kept = (self.snapshot.config_maps.get(name) or {}).get("data") or {}
        asked = {gate.key for release in self.seen.releases for gate in release.gates}
        gone = [key for key in kept if key not in asked][: max(0, len(kept) - MOST_VERDICTS)]
        data = dict.fromkeys(gone) | {action.key: action.report.fit_into().to_json()}
        await self.kube.patch_merge(CONFIG_MAP, self.seen.namespace, name, {"data": data})

    async def start_relay(self, action: plan.StartRelay) -> None:
        """Run the relay and give each arm its Service."""
        seen, domain = self.seen, self.settings.cluster_domain
        assert seen.stable is not None
        host = f"{seen.namespace}.svc.{domain}"
        for arm, port in (("stable", deployment.STABLE_PORT), ("candidate", deployment.CANDIDATE_PORT)):
            await self.kube.apply(service.relay(self.owner, arm, port))
        await self.kube.apply(
            deployment.relay(
                self.owner,
                revision=action.revision,
                stable_url=f"http://{seen.stable.service}.{host}:{seen.stable.port}",
                candidate_url=f"http://{action.revision}.{host}:{service.PORT}",
                tenant_header=seen.spec.traffic.tenants.header,
                drain_seconds=seen.spec.traffic.drain_seconds,
                image=self.settings.runtime_image,
                pull_policy=self.settings.image_pull_policy,
            )
        )

    async def save_evidence(self, action: plan.SaveEvidence) -> None:
        """Keep statistics and watermark in one write, guarded by the version they were computed from."""
        name = names.evidence_name(self.seen.name)
        overlay = self.seen.overlay
        data = {
            "state.json": action.state.model_dump_json(by_alias=True, exclude_defaults=True),
            "revision": overlay.reading.revision if overlay else "",
            "rollout": overlay.rollout if overlay else "",
        }
        before = self.snapshot.config_maps.get(name)
        if before is None:
            await self.kube.create(config_map.config_map(self.owner, name, data))
            return
        guard = {"metadata": {"resourceVersion": before["metadata"]["resourceVersion"]}, "data": data}
        await self.kube.patch_merge(CONFIG_MAP, self.seen.namespace, name, guard)

    async def serve_as(self, action: plan.ServeAs) -> None:
        """Let the Service that users hand over to lead to the revision."""
        release = next(each for each in self.seen.releases if each.revision == action.revision)
        assert release.resolved is not None
        await self.kube.apply(service.promoted(self.owner, action.revision, release.resolved.port))

    async def create_once(self, manifest: Manifest) -> None:
        """Create an object that is never changed afterwards; one that is there already is the same one."""
        try:
            await self.kube.create(manifest)
        except AlreadyExists:
            log.debug("already there", extra={"object": manifest["metadata"]["name"]})


def _unhealthy_seconds(deadlines: Deadlines, resolved: Resolved) -> float:
    """Return how long the kubelet lets an engine be unhealthy at its start."""
    return deadlines.together_seconds if resolved.nodes_per_replica > 1 else deadlines.engine_seconds
