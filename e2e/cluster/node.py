"""The one node: containerd, the pods' network, the kubelet and kube-proxy."""

from __future__ import annotations

import json
import os
from pathlib import Path

import yaml

from e2e.cluster import pki, processes
from e2e.cluster.commands import run, succeeds, wait_until
from e2e.cluster.settings import DNS_SERVICE_ADDRESS, NODE, NODE_ADDRESS, POD_RANGE, Paths

PAUSE_IMAGE = "bitshift.local/pause:1"
START_SECONDS = 60.0


def start_containerd(paths: Paths) -> None:
    """Start containerd and return once it answers: images are imported before any pod asks for one."""
    config = paths.state / "containerd.toml"
    config.write_text(containerd_config(paths))
    write_network(paths)
    ours_first = ("env", f"PATH={paths.bin}:{os.environ['PATH']}")  # it takes its shim from there
    processes.ensure(paths, "containerd", [*ours_first, paths.bin / "containerd", "-c", config])

    def answers() -> bool:
        processes.must_live(paths, "containerd")
        return succeeds(*ctr(paths), "version", timeout_seconds=10)

    wait_until(answers, "containerd answers on its socket", seconds=START_SECONDS)


def ctr(paths: Paths) -> tuple[str | Path, ...]:
    """Return containerd's own client, among the images and containers of pods."""
    return (paths.bin / "ctr", "-a", paths.containerd_socket, "-n", "k8s.io")


def write_once(path: Path, text: str) -> None:
    """Write a file unless it says the same already: kube-proxy ends itself when its configuration is written."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def start(paths: Paths) -> None:
    """Start the kubelet and kube-proxy and return once the node is ready."""
    kubelet, proxy = paths.state / "kubelet.yaml", paths.state / "kube-proxy.yaml"
    write_once(kubelet, yaml.safe_dump(kubelet_config(paths), sort_keys=False))
    write_once(proxy, yaml.safe_dump(proxy_config(paths), sort_keys=False))
    processes.ensure(paths, "kubelet", kubelet_command(paths, kubelet))
    processes.ensure(paths, "kube-proxy", [paths.bin / "kube-proxy", f"--config={proxy}"])
    wait_until(
        lambda: is_ready(paths), "the node is ready", seconds=START_SECONDS,
        explain=lambda: tail(paths.log / "kubelet.log"),
    )  # fmt: skip


def is_ready(paths: Paths) -> bool:
    """Return whether the node is ready and pods may be created: not before the default account exists."""
    processes.must_live(paths, "kubelet")
    processes.must_live(paths, "kube-proxy")
    kubectl = (paths.bin / "kubectl", "--kubeconfig", paths.kubeconfig, "--request-timeout=10s")
    status = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    if not succeeds(*kubectl, "get", "serviceaccount", "default"):
        return False
    return succeeds(*kubectl, "get", "node", NODE) and run(*kubectl, "get", "node", NODE, "-o", status) == "True"


def prepare_addresses() -> None:
    """Give the machine the node's address and let it forward between pods."""
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "replace", f"{NODE_ADDRESS}/32", "dev", "lo")
    run("sysctl", "-qw", "net.ipv4.ip_forward=1")


def containerd_config(paths: Paths) -> str:
    """Return containerd's configuration."""
    root = paths.state / "containerd"
    return f"""version = 3
root = "{root}/root"
state = "{root}/state"
[grpc]
  address = "{paths.containerd_socket}"
[ttrpc]
  address = "{paths.containerd_socket}.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "{root}/opt"
[plugins."io.containerd.cri.v1.images"]
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{PAUSE_IMAGE}"
  [plugins."io.containerd.cri.v1.images".registry]
    config_path = "{paths.registries}"
[plugins."io.containerd.cri.v1.runtime"]
  # Where CAP_SYS_RESOURCE is missing, runc dies without this: "can't get final child's PID from pipe".
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{cni_plugins()}"]
    conf_dir = "{paths.state / "cni"}"
"""


def cni_plugins() -> Path:
    """Return where Debian, or else another installation, keeps the network plugins."""
    return next((p for p in map(Path, ("/usr/lib/cni", "/opt/cni/bin")) if (p / "ptp").exists()), Path("/usr/lib/cni"))


def write_network(paths: Paths) -> None:
    """Join each pod to the machine by a pair of its own.

    Not by a bridge: there, answers between two pods skip the address translation of services unless the kernel has
    `br_netfilter`, which not every machine does.
    """
    ranges = {"type": "host-local", "ranges": [[{"subnet": POD_RANGE}]], "routes": [{"dst": "0.0.0.0/0"}]}
    ranges["dataDir"] = str(paths.state / "pod-addresses")
    plugins = [
        {"type": "ptp", "ipMasq": True, "ipam": ranges},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    network = {"cniVersion": "1.0.0", "name": "bitshift-e2e", "plugins": plugins}
    (paths.state / "cni").mkdir(parents=True, exist_ok=True)
    (paths.state / "cni" / "10-pods.conflist").write_text(json.dumps(network, indent=1))


def kubelet_command(paths: Paths, config: Path) -> list[str]:
    """Return the kubelet's command line: the few things that its configuration file cannot say."""
    return [
        str(paths.bin / "kubelet"),
        f"--config={config}",
        f"--kubeconfig={pki.client(paths, 'kubelet')}",
        f"--hostname-override={NODE}",
        f"--node-ip={NODE_ADDRESS}",
        f"--root-dir={paths.state / 'kubelet'}",
        f"--cert-dir={paths.state / 'kubelet' / 'pki'}",
    ]


def kubelet_config(paths: Paths) -> dict[str, object]:
    """Return the kubelet's configuration for a machine whose cgroups may be of version 1 and whose disk is shared."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(paths.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{paths.containerd_socket}",
        "podLogsDir": str(paths.state / "pod-logs"),
        "volumePluginDir": str(paths.state / "volume-plugins"),
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDNS": [DNS_SERVICE_ADDRESS],
        "clusterDomain": "cluster.local",
        "imageGCHighThresholdPercent": 100,  # no registry could bring back what it removes
        "evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%", "memory.available": "100Mi"},
    }


def proxy_config(paths: Paths) -> dict[str, object]:
    """Return kube-proxy's configuration; in nftables mode node ports answer on the node's address, not on 127.0.0.1."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(pki.client(paths, "proxy"))},
        "mode": "nftables",
        "hostnameOverride": NODE,
        "clusterCIDR": POD_RANGE,
        "nodePortAddresses": [f"{NODE_ADDRESS}/32"],
    }


def tail(log: Path) -> str:
    """Return a log as text; nothing where there is none."""
    return log.read_text(errors="replace") if log.exists() else ""
