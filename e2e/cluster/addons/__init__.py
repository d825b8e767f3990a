"""What runs in the cluster before any test: name service, gateway, metrics; this module puts it there and waits."""

from __future__ import annotations

from pathlib import Path

from e2e.cluster.commands import retried, run
from e2e.cluster.settings import Paths

HERE = Path(__file__).parent
DEPLOYMENTS = (("kube-system", "coredns"), ("gateway-system", "traefik"), ("monitoring", "prometheus"))


def install(paths: Paths) -> None:
    """Apply all of it; a second time changes nothing."""
    apply(paths, paths.crds)
    run(*kubectl(paths), "wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    for name in ("coredns", "traefik", "gateway", "prometheus"):
        apply(paths, HERE / f"{name}.yaml")


def apply(paths: Paths, manifests: Path) -> None:
    """Apply on the server's side; a definition that was made a moment ago may not be served yet."""
    command = (*kubectl(paths), "apply", "--server-side", "--force-conflicts", "-f", manifests)
    retried(3, lambda: run(*command, log=paths.log / "addons.log", timeout_seconds=120))


def wait(paths: Paths) -> None:
    """Return once all answer and the gateway takes routes."""
    for namespace, name in DEPLOYMENTS:
        run(*kubectl(paths), "-n", namespace, "rollout", "status", f"deployment/{name}", "--timeout=120s")
    gateway = (*kubectl(paths), "-n", "gateway-system", "wait", "gateway/gw", "--timeout=60s")
    run(*gateway, "--for=condition=Programmed")


def kubectl(paths: Paths) -> tuple[Path | str, ...]:
    """Return kubectl with the administrator's rights."""
    return (paths.bin / "kubectl", "--kubeconfig", paths.kubeconfig)
