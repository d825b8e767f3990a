"""GPU nodes without machines: kwok keeps them ready and runs what is placed on them; labels are those of real ones.

Labels of NVIDIA's nodes are what GPU feature discovery writes, of AMD's what its node labeller does.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from e2e.cluster import Cluster, binaries, processes
from e2e.cluster.commands import wait_until
from e2e.cluster.settings import Paths

SELECTOR = "kwok.x-k8s.io/node"
ROLE = "bitshift.dev/e2e"
NVIDIA, AMD = "nvidia.com/gpu", "amd.com/gpu"
TAINT = {"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}
"""Keeps the cluster's own pods away."""
TOLERATION = {"key": "kwok.x-k8s.io/node", "operator": "Exists", "effect": "NoSchedule"}


def _nvidia(product: str, memory_mib: int, capability: str, count: int, **more: str) -> dict[str, Any]:
    major, minor = capability.split(".")
    labels = {
        f"{NVIDIA}.present": "true",
        f"{NVIDIA}.product": product,
        f"{NVIDIA}.memory": str(memory_mib),
        f"{NVIDIA}.count": str(count),
        f"{NVIDIA}.compute.major": major,
        f"{NVIDIA}.compute.minor": minor,
    }
    return {"labels": labels | more, "allocatable": {NVIDIA: str(count)}}


MIG = {
    "nvidia.com/mig.strategy": "mixed",
    "nvidia.com/mig-3g.40gb.count": "2",
    "nvidia.com/mig-3g.40gb.memory": "40320",
    "nvidia.com/mig-3g.40gb.product": "NVIDIA-H100-80GB-HBM3-MIG-3g.40gb",
    "nvidia.com/mig-1g.10gb.count": "2",
    "nvidia.com/mig-1g.10gb.memory": "9984",
    "nvidia.com/mig-1g.10gb.product": "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb",
}
KINDS: dict[str, dict[str, Any]] = {
    "h100": _nvidia("NVIDIA-H100-80GB-HBM3", 81_559, "9.0", 8),
    "a100-40": _nvidia("NVIDIA-A100-SXM4-40GB", 40_960, "8.0", 8),
    "l4": _nvidia("NVIDIA-L4", 23_034, "8.9", 4),
    "l40s": _nvidia("NVIDIA-L40S", 46_068, "8.9", 4),
    "rtx-4090": _nvidia("NVIDIA-GeForce-RTX-4090", 24_564, "8.9", 2),
    "b200": _nvidia("NVIDIA-B200", 183_359, "10.0", 8),
    "t4": _nvidia("Tesla-T4", 15_360, "7.5", 4),
    "l4-shared": _nvidia(
        "NVIDIA-L4-SHARED",
        23_034,
        "8.9",
        8,
        **{f"{NVIDIA}.replicas": "4", f"{NVIDIA}.sharing-strategy": "time-slicing"},
    ),
    "mi300x": {
        "labels": {f"{AMD}.vram": "192G", f"{AMD}.product-name": "AMD_Instinct_MI300X_OAM", f"{AMD}.family": "AI"},
        "allocatable": {AMD: "8"},
    },
    "h100-mig": {
        "labels": _nvidia("NVIDIA-H100-80GB-HBM3", 81_559, "9.0", 0)["labels"] | MIG,
        "allocatable": {"nvidia.com/mig-3g.40gb": "2", "nvidia.com/mig-1g.10gb": "2"},
    },
}
"""What each kind of node says of itself; there is one node of each."""
HELD = {"h100": 5, "l40s": 3, "b200": 4, "mi300x": 7}
"""GPUs that somebody else's pods hold."""


def manifests() -> list[dict[str, Any]]:
    """Return the nodes, and the pods that hold some of their GPUs."""
    found = []
    for name, kind in KINDS.items():
        capacity = {"cpu": "128", "memory": "2Ti", "pods": "110"} | kind["allocatable"]
        metadata = {"name": name, "labels": kind["labels"] | {ROLE: "placement", "kubernetes.io/hostname": name}}
        metadata["annotations"] = {SELECTOR: "fake"}
        found.append({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {"taints": [TAINT]},
                      "status": {"allocatable": capacity, "capacity": capacity}})  # fmt: skip
        if held := HELD.get(name):
            (resource,) = kind["allocatable"]
            found.append(holder(name, {resource: str(held)}))
    return found


def holder(node: str, gpus: dict[str, str]) -> dict[str, Any]:
    """Return a pod of somebody else on a node."""
    container = {"name": "c", "image": "bitshift.local/pause:1", "resources": {"limits": gpus}}
    spec = {"containers": [container], "tolerations": [TOLERATION], "nodeSelector": {"kubernetes.io/hostname": node}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": "placement", "name": f"held-{node}"},
        "spec": spec,
    }


@contextmanager
def gpu_nodes(cluster: Cluster) -> Iterator[None]:
    """Give the cluster these nodes for a while."""
    paths = cluster.paths
    with cluster.alone():
        binaries.build_kwok(paths)
        processes.ensure(paths, "kwok", kwok(paths))
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "placement"}})
    try:
        for each in manifests():
            cluster.apply(each)
            if each["kind"] == "Node":
                status = {key: each[key] for key in ("apiVersion", "kind", "metadata", "status")}
                cluster.kubectl("apply", "--server-side", "--subresource=status", "--force-conflicts", "-f", "-",
                                stdin=json.dumps(status))  # fmt: skip
        wait_until(lambda: are_ready(cluster), "kwok's nodes are ready and their holders run", seconds=60)
        yield
    finally:
        cluster.kubectl("delete", "namespace", "placement", "--timeout=120s")
        cluster.kubectl("delete", "nodes", "-l", f"{ROLE}=placement")
        with cluster.alone():
            processes.end_one(paths, "kwok")


def are_ready(cluster: Cluster) -> bool:
    """Say whether all nodes are ready and all holders run."""
    nodes = cluster.get("nodes", "-l", f"{ROLE}=placement")["items"]
    conditions = [{each["type"]: each["status"] for each in node["status"].get("conditions", [])} for node in nodes]
    pods = cluster.get("pods", "-n", "placement")["items"]
    running = [pod for pod in pods if pod.get("status", {}).get("phase") == "Running"]
    return all(each.get("Ready") == "True" for each in conditions) and len(running) == len(HELD)


def kwok(paths: Paths) -> list[str]:
    """Return kwok's command line: it minds no node that does not ask for it."""
    return [
        str(paths.bin / "kwok"),
        f"--kubeconfig={paths.kubeconfig}",
        f"--config={paths.bin / 'kwok-stages.yaml'}",
        "--manage-all-nodes=false",
        f"--manage-nodes-with-annotation-selector={SELECTOR}=fake",
        "--server-address=127.0.0.1:10247",
    ]
