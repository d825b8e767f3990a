"""buildah, told to need neither a daemon nor a registry, and to leave nothing of this machine in an image."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tarfile
import tempfile
from pathlib import Path

from e2e.cluster.commands import retried, run, succeeds
from e2e.cluster.settings import Paths

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
REFERENCE = "org.opencontainers.image.ref.name"
ANYTHING = json.dumps({"default": [{"type": "insecureAcceptAnything"}]})  # only archives made here are ever read


def buildah(paths: Paths) -> list[str]:
    """Return buildah with its storage below our cache; where overlays cannot be mounted, it copies instead."""
    storage = paths.cache / "buildah"
    storage.mkdir(parents=True, exist_ok=True)
    policy, chosen = storage / "policy.json", storage / "driver"
    policy.write_text(ANYTHING)
    if not chosen.exists():
        with_overlay = command(storage, "overlay")
        chosen.write_text("overlay" if succeeds(*with_overlay, "images") else "vfs")
    return command(storage, chosen.read_text())


def command(storage: Path, driver: str) -> list[str]:
    """Return buildah's options that every call needs."""
    run_root = f"/run/bitshift-buildah-{hashlib.sha256(str(storage).encode()).hexdigest()[:8]}-{driver}"
    where = ["--root", str(storage / driver), "--runroot", run_root]
    return ["buildah", *where, "--storage-driver", driver]


def signature_policy(paths: Paths) -> list[str]:
    """Return the option that each command needs which reads an image; a bare machine has no policy of its own."""
    return ["--signature-policy", str(paths.cache / "buildah" / "policy.json")]


def build(paths: Paths, image: str, context: Path, dockerfile: Path, target: Path, *, base: str = "") -> None:
    """Build one image into an archive; a build that dies leaves no archive."""
    log, chroot = paths.log / "images.log", {"BUILDAH_ISOLATION": "chroot"}
    tool, policy = buildah(paths), signature_policy(paths)
    with tempfile.TemporaryDirectory() as folder:
        reach = reach_of_packages(Path(folder)) if base else []
        arguments = ["--build-arg", f"BASE={base}", "--layers", "--pull=never"] if base else []
        told = [*tool, "bud", *policy, *arguments, *reach, "-f", str(dockerfile), "-t", image, str(context)]
        retried(2, lambda: run(*told, log=log, env=chroot))
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_suffix(".part")
    fresh.unlink(missing_ok=True)
    compression = ("--compression-format", "zstd")  # gzip takes minutes for an engine's image
    run(*tool, "push", *policy, *compression, image, f"oci-archive:{fresh}:{image}", log=log)
    fresh.replace(target)


def reach_of_packages(folder: Path) -> list[str]:
    """Return what lets a step of the build reach the package index as this machine does: mounts, gone afterwards."""
    options = []
    certificates = next((os.environ[name] for name in ("PIP_CERT", "SSL_CERT_FILE") if os.environ.get(name)), "")
    if bundle := certificates or (CERTIFICATES if Path(CERTIFICATES).exists() else ""):
        options += ["-v", f"{bundle}:{CERTIFICATES}:ro"]
    pip = folder / "pip.conf"
    pip.write_text("[global]\n" + "".join(f"{key} = {value}\n" for key, value in index_settings().items()))
    return [*options, "--secret", f"id=pip,src={pip}"]


def index_settings() -> dict[str, str]:
    """Return where pip finds packages here, from its files and its environment, in the words of its own file."""
    wanted, found = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout"), {}
    for line in run(sys.executable, "-m", "pip", "config", "list").splitlines():
        key, _, value = line.partition("=")
        name = key.rpartition(".")[2]
        if name in wanted or name == "default-timeout":
            found["timeout" if name == "default-timeout" else name] = value.strip("'\"")
    return {**found, "cert": CERTIFICATES, "disable-pip-version-check": "true", "root-user-action": "ignore"}


def ensure_known(paths: Paths, image: str, archived: Path) -> None:
    """Let buildah know an image that an earlier run made, even after its storage was lost."""
    tool = buildah(paths)
    marker = paths.cache / "buildah" / f"{archived.name}.known"
    if marker.exists() and succeeds(*tool, "inspect", "--type", "image", image):
        return
    pulled = run(*tool, "pull", *signature_policy(paths), f"oci-archive:{archived}").split()[-1]
    run(*tool, "tag", pulled, image)
    marker.touch()


def forget_unused(paths: Paths) -> None:
    """Delete the layers that no named image is made of any more; what a build that died still holds stays."""
    succeeds(*buildah(paths), "rmi", "--prune")


def name_in(archived: Path) -> str:
    """Return the name that an archive carries."""
    with tarfile.open(archived) as tar:
        index = tar.extractfile("index.json")
        if index is None:
            raise ValueError(f"{archived} must be an OCI archive")
        return str(json.load(index)["manifests"][0]["annotations"][REFERENCE])
