"""One real Kubernetes on this machine: what the command line, the tests and the demo all use."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import yaml

from e2e.cluster import (
    addons,
    binaries,
    cleanup,
    control_plane,
    images,
    node,
    packages,
    pki,
    preflight,
    processes,
)
from e2e.cluster.commands import run, step, wait_until
from e2e.cluster.settings import GATEWAY_PORT, NODE, NODE_ADDRESS, PROMETHEUS_NODE_PORT, Paths

TURN_SECONDS = 1800.0


class Cluster:
    """A one-node cluster with a gateway, Prometheus and images; there is one for each state folder."""

    node = NODE
    gateway_url = f"http://127.0.0.1:{GATEWAY_PORT}"
    gateway_url_for_pods = f"http://{NODE_ADDRESS}:{GATEWAY_PORT}"
    prometheus_url = f"http://{NODE_ADDRESS}:{PROMETHEUS_NODE_PORT}"

    def __init__(self, paths: Paths | None = None) -> None:
        self.paths = paths or Paths.from_environment()

    @property
    def kubeconfig(self) -> Path:
        """The administrator's way in."""
        return self.paths.kubeconfig

    def up(self, *, project_images: bool = True) -> None:
        """Install, build and start what is not there yet; return once pods can run and routes are taken."""
        preflight.check_machine(self.paths)
        with self.alone():
            self.install()
            self.start()
            if project_images:
                images.import_all(self.paths, images.build_project_images(self.paths))

    def install(self) -> None:
        """Bring the machine to where a cluster can start: packages, binaries, images; nothing of it runs yet."""
        packages.install(self.paths)
        binaries.build_all(self.paths)
        images.build_base_images(self.paths)

    def start(self) -> None:
        """Start what does not run; what runs already is left alone."""
        preflight.clear_leftovers(self.paths)
        preflight.check_ports(self.paths)
        cleanup.ACTIVE.write_text(str(self.paths.state))
        pki.issue_all(self.paths)
        node.prepare_addresses()
        with step("start containerd"):
            node.start_containerd(self.paths)
        images.import_all(self.paths, images.build_base_images(self.paths))
        with step("start etcd, the API server, controllers and scheduler"):
            control_plane.start(self.paths)
        with step("start kubelet and kube-proxy, wait for the node"):
            node.start(self.paths)
        with step("install CoreDNS, Traefik and Prometheus"):
            addons.install(self.paths, images.imported(self.paths))
        with step("wait until they answer and the gateway takes routes"):
            addons.wait(self.paths)

    def down(self, *, purge: bool = False) -> None:
        """End everything that was started here; `purge` also forgets the images that the node holds."""
        with self.alone(), step("end the cluster"):
            cleanup.down(self.paths, purge=purge)

    def load_project_images(self) -> None:
        """Build the operator's and the runtime's images from the working tree and bring them to the node."""
        with self.alone():
            images.import_all(self.paths, images.build_project_images(self.paths))

    def provide_image(self, image: images.Project) -> None:
        """Build an image that only some tests need, where it is not there, and bring it to the node."""
        with self.alone():
            images.import_all(self.paths, [images.build_project_image(self.paths, image)])

    def kubectl(self, *args: str, stdin: str | None = None, timeout_seconds: float = 300) -> str:
        """Return what kubectl printed, asked with the administrator's rights."""
        return run(*addons.kubectl(self.paths), *args, stdin=stdin, timeout_seconds=timeout_seconds)

    def apply(self, *manifests: dict[str, Any] | str) -> str:
        """Apply manifests, given as objects or as YAML."""
        texts = [each if isinstance(each, str) else yaml.safe_dump(each) for each in manifests]
        return self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin="\n---\n".join(texts))

    def get(self, *args: str) -> Any:
        """Return an object or a list as the API server tells it."""
        return json.loads(self.kubectl("get", *args, "-o", "json"))

    def helm(self, *args: str | Path, timeout_seconds: float = 600) -> str:
        """Return what Helm printed, asked with the administrator's rights."""
        environment = {"KUBECONFIG": str(self.kubeconfig)}
        return run(self.paths.bin / "helm", *args, env=environment, timeout_seconds=timeout_seconds)

    def is_up(self) -> bool:
        """Return whether all processes run and the API server is ready."""
        recorded = processes.read(self.paths)
        return bool(recorded) and all(each.is_alive for each in recorded.values()) and control_plane.answers(self.paths)

    def describe(self) -> str:
        """Return what runs, for a person."""
        lines = [f"state       {self.paths.state}", f"kubeconfig  {self.kubeconfig}", f"binaries    {self.paths.bin}"]
        lines += [f"gateway     {self.gateway_url} (pods: {self.gateway_url_for_pods})"]
        lines += [f"prometheus  {self.prometheus_url}", "", control_plane.explain(self.paths) or "nothing was started"]
        if self.is_up():
            lines += ["", self.kubectl("get", "nodes,pods", "-A", "-o", "wide")]
        return "\n".join(lines)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let one caller at a time change the cluster; the others wait for their turn."""
        self.paths.log.mkdir(parents=True, exist_ok=True)
        with (self.paths.state / "lock").open("w") as lock:
            sentence = f"another command that changes the cluster in {self.paths.state} is done"
            wait_until(lambda: locked(lock), sentence, seconds=TURN_SECONDS)
            yield


def locked(lock: TextIO) -> bool:
    """Return whether the turn is ours now; it ends with the file's closing, also when we are killed."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
