"""Where the demo runs: a cluster of its own on this machine, or the one that kubectl points at."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import yaml

from e2e.cluster import Cluster, addons
from e2e.cluster.commands import ClusterError
from e2e.cluster.images import PROJECT_IMAGES
from e2e.models import file_name, model_file, provide_models

LOCAL_ENGINE, PUBLIC_ENGINE = "bitshift.local/llama-cpp:1", "ghcr.io/ggml-org/llama.cpp:server"
OWN_GATEWAY = "{name: gw, namespace: gateway-system}"
PRECISIONS = ("F16", "Q8_0", "Q2_K")


class Target(Protocol):
    """What the demo needs of a cluster."""

    gateway_url: str
    gateway_url_for_pods: str
    project_images: tuple[str, ...]

    def provide_models(self, namespace: str) -> None: ...
    def watch(self, kind: str, name: str, namespace: str, seconds: float) -> Iterator[dict[str, Any]]: ...
    def localised(self, text: str) -> str: ...
    def kubectl(self, *args: str, stdin: str | None = None, timeout_seconds: float = 300) -> str: ...
    def helm(self, *args: str | Path, timeout_seconds: float = 600) -> str: ...


class CurrentCluster:
    """The cluster of the current kubectl context; nothing is started and nothing of it is changed but what is shown."""

    def __init__(self) -> None:
        self.project_images = (os.environ.get("OPERATOR_IMAGE", ""), os.environ.get("RUNTIME_IMAGE", ""))
        for tool in ("kubectl", "helm"):
            if shutil.which(tool) is None:
                raise ClusterError(
                    f"`{tool}` is not on the PATH: install it, or leave CLUSTER away to get a cluster made."
                )
        if not all(self.project_images):
            raise ClusterError(
                "OPERATOR_IMAGE and RUNTIME_IMAGE are not set: build operator/Dockerfile and runtime/Dockerfile, push them "
                "where the cluster can pull them, and name them here with their tags."
            )
        self.gateway = self._gateway(os.environ.get("GATEWAY", ""))
        self.gateway_url = self.gateway_url_for_pods = os.environ.get("GATEWAY_URL", "") or self._url()

    def _gateway(self, wanted: str) -> dict[str, Any]:
        """Return the Gateway that is named `NAMESPACE/NAME`, or the only one."""
        gateways = get(self, "gateways.gateway.networking.k8s.io", "-A")["items"]
        there = {f"{each['metadata']['namespace']}/{each['metadata']['name']}": each for each in gateways}
        found = [each for name, each in there.items() if wanted in ("", name)]
        if len(found) == 1:
            return found[0]
        listed = ", ".join(there) or "none"
        raise ClusterError(f"GATEWAY must be one of the cluster's Gateways, as NAMESPACE/NAME; there are: {listed}.")

    def _url(self) -> str:
        """Return where the Gateway's first listener for plain HTTP is reached, by its own status."""
        addresses = (self.gateway.get("status") or {}).get("addresses") or []
        ports = [each["port"] for each in self.gateway["spec"]["listeners"] if each["protocol"] == "HTTP"]
        if not addresses or not ports:
            raise ClusterError(
                "GATEWAY_URL is not set, and the Gateway tells no address: e.g. GATEWAY_URL=http://10.0.0.7:80."
            )
        return f"http://{addresses[0]['value']}:{ports[0]}"

    def provide_models(self, namespace: str) -> None:
        """Copy the model's files into a claim of the cluster's default storage class, by a pod that only writes them."""
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}
        container = {
            "name": "writer",
            "image": self.project_images[1],
            "command": ["sleep", "900"],
            "volumeMounts": [{"name": "models", "mountPath": "/models"}],
        }
        writer = {
            "containers": [container],
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"fsGroup": 65532},
            "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}],
        }
        metadata = {"namespace": namespace, "name": "models"}
        apply(
            self,
            yaml.safe_dump({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": claim}),
        )
        apply(self, yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": writer}))
        self.kubectl("-n", namespace, "wait", "pod/models", "--for=condition=Ready", "--timeout=300s")
        for precision in PRECISIONS:
            with model_file(precision).open("rb") as file:
                command = [
                    "kubectl",
                    "-n",
                    namespace,
                    "exec",
                    "-i",
                    "models",
                    "--",
                    "tee",
                    f"/models/{file_name(precision)}",
                ]
                subprocess.run(command, stdin=file, stdout=subprocess.DEVNULL, check=True, timeout=900)
        self.kubectl("-n", namespace, "delete", "pod", "models", "--wait")

    def localised(self, text: str) -> str:
        """Return a manifest with the engine's public image and the cluster's own Gateway."""
        named = "{{name: {name}, namespace: {namespace}}}".format(**self.gateway["metadata"])
        return text.replace(LOCAL_ENGINE, PUBLIC_ENGINE).replace(OWN_GATEWAY, named)

    def watch(self, kind: str, name: str, namespace: str, seconds: float) -> Iterator[dict[str, Any]]:
        """Yield an object whenever it changes."""
        return watched(["kubectl"], kind, name, namespace, seconds)

    def kubectl(self, *args: str, stdin: str | None = None, timeout_seconds: float = 300) -> str:
        """Return what kubectl printed."""
        return _run(["kubectl", *args], stdin, timeout_seconds)

    def helm(self, *args: str | Path, timeout_seconds: float = 600) -> str:
        """Return what Helm printed."""
        return _run(["helm", *map(str, args)], None, timeout_seconds)


def apply(target: Target, text: str) -> None:
    """Apply a manifest as its user would."""
    target.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)


def get(target: Target, *args: str) -> Any:
    """Return an object or a list."""
    return json.loads(target.kubectl("get", *args, "-o", "json"))


class OwnCluster(Cluster):
    """The cluster of this machine."""

    project_images = tuple(image.image for image in PROJECT_IMAGES[:2])

    def provide_models(self, namespace: str) -> None:
        """Give the namespace a claim on the folder of models."""
        provide_models(self, namespace)

    def watch(self, kind: str, name: str, namespace: str, seconds: float) -> Iterator[dict[str, Any]]:
        """Yield an object whenever it changes."""
        return watched([str(each) for each in addons.kubectl(self.paths)], kind, name, namespace, seconds)

    def localised(self, text: str) -> str:
        """Return a manifest as it is: it names images of this machine."""
        return text


def watched(kubectl: list[str], kind: str, name: str, namespace: str, seconds: float) -> Iterator[dict[str, Any]]:
    """Yield an object now and at each change for so long: one kubectl that waits instead of many that ask."""
    command = [
        *kubectl,
        "get",
        kind,
        name,
        "-n",
        namespace,
        "-o",
        "json",
        "--watch",
        f"--request-timeout={seconds:.0f}s",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        text = ""
        try:
            for line in process.stdout:
                text += line
                if line.startswith("}"):
                    yield json.loads(text)
                    text = ""
        finally:
            process.terminate()


def _run(command: list[str], stdin: str | None, timeout_seconds: float) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout_seconds, check=False)
    if done.returncode:
        raise ClusterError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
    return done.stdout
