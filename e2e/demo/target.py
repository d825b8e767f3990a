"""Where the demo runs: a cluster of its own on this machine, or the one that kubectl points at."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Protocol

from e2e.cluster import Cluster
from e2e.cluster.commands import ClusterError


class Target(Protocol):
    """What the demo needs of a cluster."""

    gateway_url: str

    def kubectl(self, *args: str, stdin: str | None = None, timeout_seconds: float = 300) -> str: ...
    def helm(self, *args: str | Path, timeout_seconds: float = 600) -> str: ...


class CurrentCluster:
    """The cluster of the current kubectl context; nothing is started and nothing of it is changed but what is shown."""

    def __init__(self) -> None:
        self.gateway_url = os.environ.get("GATEWAY_URL", "")
        for tool in ("kubectl", "helm"):
            if shutil.which(tool) is None:
                raise ClusterError(
                    f"`{tool}` is not on the PATH: install it, or leave CLUSTER away to get a cluster made."
                )
        if not self.gateway_url:
            raise ClusterError(
                "GATEWAY_URL is not set: say where your Gateway listens, e.g. GATEWAY_URL=http://10.0.0.7:80."
            )

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


def made_here() -> Cluster:
    """Return the cluster of this machine."""
    return Cluster()


def _run(command: list[str], stdin: str | None, timeout_seconds: float) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout_seconds, check=False)
    if done.returncode:
        raise ClusterError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
    return done.stdout
