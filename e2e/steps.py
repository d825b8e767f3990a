"""Given, when, then: the few words in which the end-to-end tests speak of models."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import yaml

from e2e.cluster import Cluster
from e2e.demo.scenes import HOST, MANIFESTS, NAMESPACE
from e2e.demo.target import apply, get

Status = dict[str, Any]


@dataclass(frozen=True)
class Model:
    """One QuantizedModel under test."""

    cluster: Cluster
    name: str
    namespace: str = NAMESPACE

    def given(self, spec: dict[str, Any]) -> "Model":
        """Apply a spec as a user would."""
        metadata = {"name": self.name, "namespace": self.namespace}
        manifest = {"apiVersion": "bitshift.dev/v1alpha1", "kind": "QuantizedModel", "metadata": metadata, "spec": spec}
        apply(self.cluster, yaml.safe_dump(manifest))
        return self

    def object(self) -> dict[str, Any]:
        """Return the object as it is."""
        found: dict[str, Any] = get(self.cluster, "quantizedmodel", self.name, "-n", self.namespace)
        return found

    def status(self) -> Status:
        """Return the status, empty while it is of an older spec."""
        model = self.object()
        status: Status = model.get("status") or {}
        return status if status.get("observedGeneration") == model["metadata"]["generation"] else {}

    def condition(self, kind: str) -> dict[str, Any]:
        """Return one condition of the current status."""
        return next((each for each in self.status().get("conditions") or [] if each["type"] == kind), {})

    def comes_to(self, what: Callable[[Status], bool], *, seconds: float, called: str) -> Status:
        """Wait until the status says so; the assertion carries the object's last words."""
        ends = time.time() + seconds
        status = self.status()
        while not what(status) and time.time() < ends:
            time.sleep(0.5)
            status = self.status()
        said = f"{status.get('phase')} {status.get('reason')}: {status.get('message')}"
        assert what(status), f"{self.name} did not come to {called} within {seconds:.0f} s; it says: {said}"
        return status

    def gone(self) -> None:
        """Delete it and wait until it is gone."""
        self.cluster.kubectl(
            "-n", self.namespace, "delete", "quantizedmodel", self.name, "--ignore-not-found", "--timeout=180s"
        )


def manifest(name: str) -> dict[str, Any]:
    """Return the spec of one of the demo's models."""
    found: dict[str, Any] = yaml.safe_load((MANIFESTS / name).read_text())["spec"]
    return found


def stable_answers(cluster: Cluster) -> bool:
    """Ask the model through the gateway as its users do."""
    body = {"model": "smollm2", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4}
    answer = httpx.post(f"{cluster.gateway_url}/v1/chat/completions", json=body, headers={"host": HOST}, timeout=60)
    return answer.status_code == 200
