"""Ending a cluster, also one that was killed half-way: processes, containers, mounts, links, rules, cgroups.

Everything is found by the state folder's path or by the pods' network, never by a program's name.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

from e2e.cluster import node, processes
from e2e.cluster.commands import run, succeeds, wait_until
from e2e.cluster.settings import NODE_ADDRESS, POD_RANGE, Paths

ACTIVE = Path("/run/bitshift-e2e.state")  # names the state folder whose cluster this machine runs; gone after a boot
OBJECTS = ("etcd", "kubelet", "pod-logs", "pod-addresses", "volume-plugins", "cni", "registries")
KEPT = ("containerd", "images.json", "pki", "kubeconfig")
END_SECONDS = 10.0


def down(paths: Paths, *, purge: bool = False) -> None:
    """End everything; images, certificates and logs stay for the next start, unless they are to be forgotten too."""
    remove_containers(paths)
    processes.end_all(paths)
    end_shims(paths)
    unmount(paths)
    remove_network()
    remove_cgroups()
    for name in (*OBJECTS, *(KEPT if purge else ())):
        remove(paths.state / name)
    shutil.rmtree(paths.state / "containerd" / "state", ignore_errors=True)
    if ACTIVE.exists() and ACTIVE.read_text() == str(paths.state):
        ACTIVE.unlink()


def remove(path: Path) -> None:
    """Remove a folder or a file that may not be there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_containers(paths: Paths) -> None:
    """Kill and forget all containers while containerd still runs: it would offer them to the next cluster's kubelet."""
    recorded = processes.read(paths)
    if "containerd" not in recorded or not recorded["containerd"].is_alive:
        return
    for name in ("kubelet", "kube-controller-manager"):  # they would start new ones meanwhile
        if name in recorded and recorded[name].is_alive:
            processes.end(recorded[name])
    ctr = node.ctr(paths)
    if tasks := run(*ctr, "tasks", "ls", "-q").split():
        for task in tasks:
            succeeds(*ctr, "tasks", "kill", "-s", "SIGKILL", task)
        succeeds(*ctr, "tasks", "rm", "-f", *tasks)
    if containers := run(*ctr, "containers", "ls", "-q").split():
        succeeds(*ctr, "containers", "rm", *containers)


def end_shims(paths: Paths) -> None:
    """Kill what outlives containerd: its shims, known by the socket in their command line, and their containers."""
    bundles = paths.state / "containerd" / "state" / "io.containerd.runtime.v2.task" / "k8s.io"
    inits = [int(file.read_text()) for file in bundles.glob("*/init.pid")] if bundles.exists() else []
    shims = list(shims_of(paths))
    for pid in (*(pid for pid in inits if is_in_a_pod(pid)), *shims):
        kill(pid)
    wait_until(lambda: not list(shims_of(paths)), "containerd's shims end", seconds=END_SECONDS)


def shims_of(paths: Paths) -> Iterator[int]:
    """Yield the shims that were started for our containerd."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            words = words_of(folder)
            if words and "containerd-shim" in words[0] and str(paths.containerd_socket) in words:
                yield int(folder.name)


def words_of(process: Path) -> list[str]:
    """Return a process' command line."""
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def is_in_a_pod(pid: int) -> bool:
    """Return whether the process lives in a pod's cgroup: a recorded number may belong to somebody else by now."""
    try:
        return "/kubepods" in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False


def kill(pid: int) -> None:
    """Kill a process that may be gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def unmount(paths: Paths) -> None:
    """Unmount what lies below the state folder, the deepest first."""
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    below = [point for point in points if point.startswith(f"{paths.state}/")]
    for point in sorted(below, reverse=True):
        succeeds("umount", "-l", point.replace("\\040", " "))


def remove_network() -> None:
    """Remove the pods' links and network spaces, kube-proxy's tables, the plugins' rules and the node's address.

    The kernel empties a space some time after it was deleted; until then a route of its pod stands, and the plugin that
    joins the next cluster's pod of the same address takes it for its own.
    """
    for route in json.loads(run("ip", "-j", "route", "show", "root", POD_RANGE) or "[]"):
        if route["dev"].startswith("veth"):
            succeeds("ip", "link", "delete", route["dev"])
    for line in run("ip", "netns", "list").splitlines():
        if line.startswith("cni-"):
            succeeds("ip", "netns", "delete", line.split()[0])
    for family in ("ip", "ip6"):
        succeeds("nft", "delete", "table", family, "kube-proxy")
    for program in ("iptables", "ip6tables"):
        for table in ("nat", "filter", "mangle"):
            remove_rules(program, table)
    succeeds("ip", "address", "delete", f"{NODE_ADDRESS}/32", "dev", "lo")
    for kept in Path("/var/lib/cni/results").glob("bitshift-e2e-*"):
        kept.unlink(missing_ok=True)


def remove_rules(program: str, table: str) -> None:
    """Delete the rules and chains that the network plugins and the kubelet made, and no others."""
    if not shutil.which(f"{program}-save"):
        return
    lines = run(f"{program}-save", "-t", table).splitlines()
    for line in lines:
        if line.startswith("-A ") and ("CNI-" in line or "KUBE-" in line):
            succeeds(program, "-t", table, "-D", *shlex.split(line)[1:])
    for line in lines:
        if line.startswith((":CNI-", ":KUBE-")):
            succeeds(program, "-t", table, "-X", line[1:].split()[0])


def remove_cgroups() -> None:
    """Remove the pods' cgroups; an empty folder is all that is left of them, in each hierarchy of version 1."""
    for top in (*Path("/sys/fs/cgroup").glob("*/kubepods"), Path("/sys/fs/cgroup/kubepods")):
        if top.exists():
            for folder, _, _ in os.walk(top, topdown=False):
                try:
                    os.rmdir(folder)
                except OSError:
                    continue
