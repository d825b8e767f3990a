"""The kinds of the API that Bitshift reads or writes, and where each lives.

Here: names and paths. Not here: their content (`resources`), calls (`cluster.client`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote


class Key(NamedTuple):
    """Which object of a kind is meant; of a QuantizedModel unless said otherwise."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Kind:
    """One kind of object and the words under which the API server serves it."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the path of one object, of its subresource, or of the list in one namespace or in all."""
        root = "/apis" if "/" in self.api_version else "/api"
        parts = [root, self.api_version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts += [self.plural, *(quote(part, safe="") for part in (name, subresource) if part)]
        return "/".join(parts)

    def new(self, namespace: str, name: str, **fields: Any) -> dict[str, Any]:
        """Return the start of a manifest of this kind."""
        metadata = {"name": name} | ({"namespace": namespace} if self.namespaced else {})
        return {"apiVersion": self.api_version, "kind": self.kind, "metadata": metadata} | fields


QUANTIZED_MODEL = Kind("bitshift.dev/v1alpha1", "QuantizedModel", "quantizedmodels")
MODEL_REVISION = Kind("bitshift.dev/v1alpha1", "ModelRevision", "modelrevisions")
EVAL_SUITE = Kind("bitshift.dev/v1alpha1", "EvalSuite", "evalsuites")
RUNTIME_PROFILE = Kind("bitshift.dev/v1alpha1", "RuntimeProfile", "runtimeprofiles", namespaced=False)

DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
LEADER_WORKER_SET = Kind("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "leaderworkersets")
WORKLOADS = (DEPLOYMENT, LEADER_WORKER_SET)
"""What makes pods of releases; the second only where a replica spans nodes, and not every cluster serves it."""
REPLICA_SET = Kind("apps/v1", "ReplicaSet", "replicasets")
STATEFUL_SET = Kind("apps/v1", "StatefulSet", "statefulsets")
POD = Kind("v1", "Pod", "pods")
SERVICE = Kind("v1", "Service", "services")
ENDPOINT_SLICE = Kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
SECRET = Kind("v1", "Secret", "secrets")
JOB = Kind("batch/v1", "Job", "jobs")
PERSISTENT_VOLUME_CLAIM = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
HORIZONTAL_POD_AUTOSCALER = Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
POD_DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
RESOURCE_QUOTA = Kind("v1", "ResourceQuota", "resourcequotas")

NODE = Kind("v1", "Node", "nodes", namespaced=False)
NAMESPACE = Kind("v1", "Namespace", "namespaces", namespaced=False)
CUSTOM_RESOURCE_DEFINITION = Kind(
    "apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False
)
RESOURCE_CLAIM = Kind("resource.k8s.io/v1", "ResourceClaim", "resourceclaims")
RESOURCE_CLAIM_TEMPLATE = Kind("resource.k8s.io/v1", "ResourceClaimTemplate", "resourceclaimtemplates")
RESOURCE_SLICE = Kind("resource.k8s.io/v1", "ResourceSlice", "resourceslices", namespaced=False)

HTTP_ROUTE = Kind("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes")
GATEWAY = Kind("gateway.networking.k8s.io/v1", "Gateway", "gateways")
GATEWAY_CLASS = Kind("gateway.networking.k8s.io/v1", "GatewayClass", "gatewayclasses", namespaced=False)

SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
ROLE = Kind("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLE_BINDING = Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
EVENT = Kind("v1", "Event", "events")
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")

KINDS: Mapping[tuple[str, str], Kind] = {
    (kind.api_version, kind.kind): kind for kind in list(globals().values()) if isinstance(kind, Kind)
}


def kind_of(manifest: Mapping[str, Any]) -> Kind:
    """Return the kind that a manifest names; one we do not know is a mistake of ours, so it crashes."""
    return KINDS[manifest["apiVersion"], manifest["kind"]]


def key_of(manifest: Mapping[str, Any]) -> Key:
    """Return which object a manifest is."""
    metadata = manifest["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])
