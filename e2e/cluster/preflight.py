"""What must be true of the machine before anything is started, said in sentences."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from e2e.cluster import binaries, cleanup, processes
from e2e.cluster.commands import ClusterError, run
from e2e.cluster.settings import GATEWAY_PORT, LONGEST_STATE_PATH, Paths

GIB = 1 << 30
COLD_GIB = 14  # Go's caches, the images' root file systems and their archives
WARM_GIB = 4
PORTS = {
    2379: "etcd", 2380: "etcd's peers", 6443: "the API server", 10248: "the kubelet's health", 10250: "the kubelet",
    10249: "kube-proxy's metrics", 10256: "kube-proxy's health", 10257: "the controllers", 10259: "the scheduler",
    GATEWAY_PORT: "the gateway", 18080: "the gateway's metrics",
}  # fmt: skip


def check_machine(paths: Paths) -> None:
    """Refuse with all reasons at once; a machine that is only unusual passes."""
    problems = [problem for problem in (needs_root(), needs_debian(), needs_disk(paths), needs_short_path(paths))
                if problem]  # fmt: skip
    if problems:
        raise ClusterError("This machine cannot take the cluster:\n  - " + "\n  - ".join(problems))


def needs_root() -> str:
    """Return why a user without root's rights cannot go on."""
    if os.geteuid() == 0:
        return ""
    return "It must be started as root: a kubelet mounts, makes network spaces and writes cgroups."


def needs_debian() -> str:
    """Return why another system cannot go on: the packages' names and the root file systems are Debian's."""
    if shutil.which("apt-get") and Path("/etc/debian_version").exists():
        return ""
    return "It must be Debian 12 or newer: packages come from apt, and the images' root file systems are Debian's."


def needs_disk(paths: Paths) -> str:
    """Return how much room is missing."""
    paths.cache.mkdir(parents=True, exist_ok=True)
    built = binaries.is_built(binaries.cluster(), paths)
    return lacks_room(paths, WARM_GIB if built else COLD_GIB)


def lacks_room(paths: Paths, needed_gib: int) -> str:
    """Return how much room is missing below the cache."""
    free_gib = shutil.disk_usage(paths.cache).free / GIB
    if free_gib >= needed_gib:
        return ""
    return f"{paths.cache} must have {needed_gib} GiB free and has {free_gib:.1f}; make room or set BITSHIFT_CACHE elsewhere."


def check_room(paths: Paths, needed_gib: int, what: str) -> None:
    """Refuse what would fill the disk half-way."""
    if lack := lacks_room(paths, needed_gib):
        raise ClusterError(f"There is no room for {what}: {lack}")


def needs_short_path(paths: Paths) -> str:
    """Return why a deep state folder cannot work."""
    if len(str(paths.state)) <= LONGEST_STATE_PATH:
        return ""
    return f"{paths.state} must have at most {LONGEST_STATE_PATH} characters: sockets lie in it; set BITSHIFT_STATE."


def check_ports(paths: Paths) -> None:
    """Refuse when somebody else listens where the cluster must; what the cluster itself started is welcome."""
    ours = {recorded.pid for recorded in processes.read(paths).values() if recorded.is_alive}
    taken = []
    for line in run("ss", "-ltnpH").splitlines():
        port = int(line.split()[3].rpartition(":")[2])
        pids = {int(pid) for pid in re.findall(r"pid=(\d+)", line)}
        if port in PORTS and not pids & ours and not any(cleanup.is_in_a_pod(pid) for pid in pids):
            who = " ".join(word for pid in pids for word in cleanup.words_of(Path(f"/proc/{pid}"))[:3]) or "?"
            taken.append(f"port {port}, for {PORTS[port]}, is taken by process {sorted(pids)} ({who.strip()})")
    if taken:
        raise ClusterError("Ports must be free:\n  - " + "\n  - ".join(taken))


def clear_leftovers(paths: Paths) -> None:
    """Take down what an earlier cluster with another state folder left; refuse where that one still works."""
    if not cleanup.ACTIVE.exists():
        return
    before = Path(cleanup.ACTIVE.read_text().strip())
    if before == paths.state:
        return
    other = Paths(cache=paths.cache, state=before)
    recorded = processes.read(other)
    if recorded and all(each.is_alive for each in recorded.values()):
        raise ClusterError(
            f"Another cluster of ours runs here, with its state in {before}. A machine takes one at a time: use it, or "
            f"end it with `BITSHIFT_STATE={before} python -m e2e.cluster down`."
        )
    cleanup.down(other)
