"""What a cluster offers a plan: its nodes, its profiles, and the pods that serve now.

Here: a few lists, read once. Not here: what they mean for a rung (`rungs`).
"""

from collections.abc import Collection
from dataclasses import dataclass

from pydantic import ValidationError

from bitshift_core.api.catalogue import RuntimeProfileSpec
from bitshift_core.artifact.adapter import AdapterFacts
from bitshift_core.artifact.facts import ArtifactFacts
from bitshift_core.fit.engines import EngineConstants
from bitshift_core.fit.placement import Node, node_from_manifests
from bitshift_core.fit.quantities import millis, whole
from bitshift_core.fit.workloads import group_size
from bitshift_core.rollout import names
from bitshift_core.rollout.beside import adapter_in, facts_in
from bitshift_core.rollout.engine import recognise
from bitshift_core.rollout.stable import StableFacts, read_container
from bitshift_operator.cluster.caches import pod as taken_by
from bitshift_operator.cluster.client import Kube, Manifest
from bitshift_operator.cluster.errors import ApiError, NotFound
from bitshift_operator.cluster.kernels import load_kernels
from bitshift_operator.cluster.kinds import CONFIG_MAP, LEADER_WORKER_SET, NODE, POD, RUNTIME_PROFILE, SERVICE

from .manifests import Document
from .rungs import Ground, artifacts_in


@dataclass(frozen=True)
class Cluster:
    """What all models of a cluster share."""

    nodes: tuple[Node, ...]
    engines: EngineConstants
    profiles: dict[str, RuntimeProfileSpec]
    pods: tuple[Manifest, ...]
    """Those of the namespaces that models are planned in."""
    serves_groups: bool

    @property
    def words(self) -> str:
        """Return what it is in a person's words."""
        gpus, free = sum(node.gpu_count for node in self.nodes), sum(node.gpu_free for node in self.nodes)
        return f"the cluster's {len(self.nodes)} node{'' if len(self.nodes) == 1 else 's'}, {free} of {gpus} GPUs free"

    async def beside(self, kube: Kube, document: Document, namespace: str) -> Ground:
        """Return the ground of one model: what its stable runs with is inherited, as the operator does."""
        stable = await self._stable(kube, document, namespace)
        runtime = recognise(self.profiles, stable.image) if stable else None
        kept = await _kept(kube, document, namespace)
        return Ground(
            self.nodes,
            self.engines,
            self.profiles,
            stable,
            runtime,
            kernels=load_kernels(),
            serves_groups=self.serves_groups,
            kept=kept,
        )

    async def _stable(self, kube: Kube, document: Document, namespace: str) -> StableFacts | None:
        if not document.spec.stable:
            return None
        name = document.spec.stable.service
        service = await kube.get(SERVICE, namespace, name)
        selector = ((service or {}).get("spec") or {}).get("selector") or {}
        pods = [pod for pod in self.pods if selector and _is_behind(pod, namespace, selector)]
        if not pods:
            return None
        spec = pods[0]["spec"]
        container = spec["containers"][0]
        resources = container.get("resources") or {}
        runtime = document.spec.runtime or recognise(self.profiles, container.get("image", ""))
        profile = self.profiles.get(runtime or "")
        return StableFacts(
            service=name,
            port=0,
            ready_replicas=len(pods),
            replicas=len(pods),
            image=container.get("image", ""),
            arguments=read_container(profile, container) if profile else {},
            cpu_millis=millis((resources.get("requests") or {}).get("cpu")) or None,
            node_selector=spec.get("nodeSelector") or {},
            gpus=group_size(pods[0]) * whole((resources.get("limits") or {}).get("nvidia.com/gpu")),
            nodes=group_size(pods[0]),
        )


async def read_cluster(kube: Kube, engines: EngineConstants, namespaces: Collection[str]) -> Cluster:
    """Return what the cluster offers; of pods elsewhere only what they take of their nodes is kept."""
    by_node: dict[str, list[Manifest]] = {}
    near: list[Manifest] = []
    async for page, _ in kube.pages(POD):
        near += [pod for pod in page if pod["metadata"].get("namespace") in namespaces]
        for slim in filter(None, map(taken_by, page)):
            by_node.setdefault(slim.get("spec", {}).get("nodeName") or "", []).append(slim)
    manifests, _ = await kube.list(NODE)
    nodes = tuple(node_from_manifests(each, by_node.get(each["metadata"]["name"], [])) for each in manifests)
    return Cluster(nodes, engines, await _profiles(kube), tuple(near), await _serves_groups(kube, min(namespaces)))


async def _kept(kube: Kube, document: Document, namespace: str) -> dict[str, ArtifactFacts | AdapterFacts]:
    """Return the facts that Jobs left of the rungs' artifacts: a claim's files can only be read in the cluster."""
    found: dict[str, ArtifactFacts | AdapterFacts] = {}
    digests = {rung.artifact: rung.digest for rung in document.spec.ladder}
    for uri in artifacts_in(document.spec):
        config_map = await kube.get(CONFIG_MAP, namespace, names.facts_name(uri, digests.get(uri)))
        if facts := facts_in(config_map) or adapter_in(config_map):
            found[uri] = facts
    return found


async def _profiles(kube: Kube) -> dict[str, RuntimeProfileSpec]:
    """Return the cluster's profiles; without Bitshift in it there are none, and engines are told by their names."""
    found: dict[str, RuntimeProfileSpec] = {}
    try:
        manifests, _ = await kube.list(RUNTIME_PROFILE)
    except ApiError:
        return found
    for manifest in manifests:
        try:
            found[manifest["metadata"]["name"]] = RuntimeProfileSpec.model_validate(manifest["spec"])
        except ValidationError:
            continue  # the operator names it; a plan goes by the others
    return found


async def _serves_groups(kube: Kube, namespace: str) -> bool:
    try:
        await kube.list(LEADER_WORKER_SET, namespace)
    except NotFound:
        return False
    except ApiError:
        return True  # they may not be read by whoever asks; the operator's own word counts
    return True


def _is_behind(pod: Manifest, namespace: str, selector: dict[str, str]) -> bool:
    metadata = pod["metadata"]
    return metadata.get("namespace") == namespace and selector.items() <= (metadata.get("labels") or {}).items()
