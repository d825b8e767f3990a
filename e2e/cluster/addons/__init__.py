"""What runs in the cluster before any test: name service, gateway, metrics; this module puts it there and waits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from e2e.cluster.commands import ClusterError, retried, run
from e2e.cluster.settings import Paths

HERE = Path(__file__).parent
NAMES = ("coredns", "traefik", "gateway", "prometheus")
DEPLOYMENTS = (("kube-system", "coredns"), ("gateway-system", "traefik"), ("monitoring", "prometheus"))
ARCHIVE = "bitshift.local/image-archive"


def install(paths: Paths, archives: Mapping[str, str]) -> None:
    """Apply all of it; a second time changes nothing."""
    kubectl_apply(paths, paths.crds)
    definitions = [f"crd/{name}" for name in definitions_in(paths.crds)]
    run(*kubectl(paths), "wait", "--for=condition=Established", "--timeout=60s", *definitions)
    manifests = [each for name in NAMES for each in yaml.safe_load_all((HERE / f"{name}.yaml").read_text())]
    for manifest in manifests:
        name_archives(manifest, archives)
    kubectl_apply(paths, Path("-"), stdin=yaml.safe_dump_all(manifests))


def definitions_in(folder: Path) -> list[str]:
    """Return the resource definitions' names; files are called GROUP_PLURAL.yaml; policies lie beside them."""
    parts = [file.stem.partition("_") for file in sorted(folder.glob("*.yaml"))]
    return [f"{plural}.{group}" for group, _, plural in parts if not plural.startswith("vap_")]


def name_archives(manifest: dict[str, Any], archives: Mapping[str, str]) -> None:
    """Write into a Deployment which archive its image came from: a new image under the old name must restart pods."""
    if manifest["kind"] == "Deployment":
        template = manifest["spec"]["template"]
        used = [archives.get(container["image"], "") for container in template["spec"]["containers"]]
        template["metadata"].setdefault("annotations", {})[ARCHIVE] = ",".join(used)


def kubectl_apply(paths: Paths, manifests: Path, stdin: str | None = None) -> None:
    """Apply on the server's side; a definition that was made a moment ago may not be served yet."""
    command = (*kubectl(paths), "apply", "--server-side", "--force-conflicts", "-f", manifests)
    retried(3, lambda: run(*command, log=paths.log / "addons.log", timeout_seconds=120, stdin=stdin))


def wait(paths: Paths) -> None:
    """Return once all answer and the gateway takes routes."""
    for namespace, name in DEPLOYMENTS:
        asked = (*kubectl(paths), "-n", namespace, "rollout", "status", f"deployment/{name}", "--timeout=120s")
        try:
            run(*asked)
        except ClusterError as error:
            raise ClusterError(f"{name} did not become ready.", output=explain(paths, namespace, name)) from error
    gateway = (*kubectl(paths), "-n", "gateway-system", "wait", "gateway/gw", "--timeout=60s")
    run(*gateway, "--for=condition=Programmed")


def explain(paths: Paths, namespace: str, name: str) -> str:
    """Return what a person would look at: the pods, and what the newest of them said."""
    said = [run(*kubectl(paths), "-n", namespace, "get", "pods", "-o", "wide")]
    try:
        said.append(run(*kubectl(paths), "-n", namespace, "logs", f"deployment/{name}", "--tail=15"))
    except ClusterError as error:
        said.append(str(error))
    return "\n".join(said)


def kubectl(paths: Paths) -> tuple[Path | str, ...]:
    """Return kubectl with the administrator's rights."""
    return (paths.bin / "kubectl", "--kubeconfig", paths.kubeconfig)
