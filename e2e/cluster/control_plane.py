"""etcd, the API server, the controllers and the scheduler: plain processes on the machine."""

from __future__ import annotations

import subprocess

from e2e.cluster import pki, processes
from e2e.cluster.commands import wait_until
from e2e.cluster.settings import NODE_ADDRESS, SERVICE_RANGE, Paths

ETCD_URL = "http://127.0.0.1:2379"
ETCD_PEER_URL = "http://127.0.0.1:2380"
START_SECONDS = 90.0


def start(paths: Paths) -> None:
    """Start what does not run, and return once the API server says that it is ready."""
    processes.ensure(paths, "etcd", etcd(paths))
    processes.ensure(paths, "kube-apiserver", api_server(paths))
    wait_until(lambda: answers(paths, "kube-apiserver"), "the API server's /readyz says ok", seconds=START_SECONDS)
    processes.ensure(paths, "kube-controller-manager", controller_manager(paths))
    processes.ensure(paths, "kube-scheduler", scheduler(paths))


def answers(paths: Paths, *needed: str) -> bool:
    """Return whether the API server is ready; a process that it cannot be ready without must not have died."""
    for name in needed:
        processes.must_live(paths, name)
    try:
        asked = subprocess.run(
            [str(paths.bin / "kubectl"), "--kubeconfig", str(paths.kubeconfig), "get", "--raw", "/readyz"],
            capture_output=True, timeout=15, check=False,
        )  # fmt: skip
    except (subprocess.TimeoutExpired, FileNotFoundError):
        return False
    return asked.returncode == 0


def etcd(paths: Paths) -> list[str]:
    """Return etcd's command line; a cluster for tests may lose its last writes with the machine, so it never syncs."""
    return [
        str(paths.bin / "etcd"),
        f"--data-dir={paths.state / 'etcd'}",
        f"--listen-client-urls={ETCD_URL}",
        f"--advertise-client-urls={ETCD_URL}",
        f"--listen-peer-urls={ETCD_PEER_URL}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def api_server(paths: Paths) -> list[str]:
    """Return the API server's command line."""
    key = paths.pki / "service-accounts.key"
    return [
        str(paths.bin / "kube-apiserver"),
        f"--etcd-servers={ETCD_URL}",
        f"--advertise-address={NODE_ADDRESS}",
        "--secure-port=6443",
        f"--tls-cert-file={paths.pki / 'apiserver.crt'}",
        f"--tls-private-key-file={paths.pki / 'apiserver.key'}",
        f"--client-ca-file={paths.pki / 'ca.crt'}",
        f"--kubelet-client-certificate={paths.pki / 'admin.crt'}",
        f"--kubelet-client-key={paths.pki / 'admin.key'}",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
    ]


def controller_manager(paths: Paths) -> list[str]:
    """Return the controllers' command line."""
    return [
        str(paths.bin / "kube-controller-manager"),
        f"--kubeconfig={pki.client(paths, 'controller-manager')}",
        f"--service-account-private-key-file={paths.pki / 'service-accounts.key'}",
        f"--root-ca-file={paths.pki / 'ca.crt'}",
        "--use-service-account-credentials",
        "--leader-elect=false",
    ]


def scheduler(paths: Paths) -> list[str]:
    """Return the scheduler's command line."""
    kubeconfig = pki.client(paths, "scheduler")
    return [str(paths.bin / "kube-scheduler"), f"--kubeconfig={kubeconfig}", "--leader-elect=false"]


def explain(paths: Paths) -> str:
    """Return one line for each process: what a person asks first when nothing answers."""
    recorded = processes.read(paths).values()
    return "\n".join(f"{each.name}: {'runs' if each.is_alive else 'ended'}, pid {each.pid}" for each in recorded)
