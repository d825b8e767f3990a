"""The cluster's own processes: started apart from us, recorded, and ended only while the record is still true.

A process id alone may belong to somebody else by now, so the record also holds when the process started.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from e2e.cluster.commands import ClusterError
from e2e.cluster.settings import Paths

END_SECONDS = 10.0
START_TIME_FIELD = 19  # of /proc/PID/stat, counted after the program's name
OURS: list[subprocess.Popen[bytes]] = []
"""Kept, because a forgotten one complains of a process that is meant to outlive it."""


@dataclass(frozen=True)
class Recorded:
    """One process that we started."""

    name: str
    pid: int
    started_ticks: int
    boot: str

    @property
    def is_alive(self) -> bool:
        """Return whether this very process still runs."""
        return self.boot == boot_id() and started_ticks(self.pid) == self.started_ticks


def boot_id() -> str:
    """Return what changes with every boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def started_ticks(pid: int) -> int | None:
    """Return when the process started, in clock ticks since boot; nothing if it is gone or only waits to be reaped."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if after_name[0] in "ZX" else int(after_name[START_TIME_FIELD])


def read(paths: Paths) -> dict[str, Recorded]:
    """Return the recorded processes by name, in the order in which they were started."""
    book = paths.state / "processes.json"
    if not book.exists():
        return {}
    return {each["name"]: Recorded(**each) for each in json.loads(book.read_text())}


def write(paths: Paths, processes: dict[str, Recorded]) -> None:
    """Keep the record; whole or not at all."""
    fresh = paths.state / ".processes.json"
    fresh.write_text(json.dumps([asdict(each) for each in processes.values()], indent=1))
    fresh.replace(paths.state / "processes.json")


def ensure(paths: Paths, name: str, argv: Sequence[str | Path]) -> bool:
    """Start the process unless it runs already; return whether it had to be started."""
    processes = read(paths)
    if name in processes and processes[name].is_alive:
        return False
    paths.log.mkdir(parents=True, exist_ok=True)
    with (paths.log / f"{name}.log").open("w") as log:
        child = subprocess.Popen(
            [str(word) for word in argv],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, cwd=paths.state,
        )  # fmt: skip
    OURS.append(child)
    processes.pop(name, None)
    ticks = started_ticks(child.pid) or 0
    write(paths, processes | {name: Recorded(name, child.pid, ticks, boot_id())})
    return True


def must_live(paths: Paths, name: str) -> None:
    """Say so at once when a process died, instead of waiting for what it will never do."""
    recorded = read(paths).get(name)
    if recorded is None or not recorded.is_alive:
        raise ClusterError(f"The process `{name}` ended by itself.", log=paths.log / f"{name}.log")


def free_port(host: str) -> int:
    """Return a port of this address that nobody listens on."""
    with socket.socket() as asking:
        asking.bind((host, 0))
        port: int = asking.getsockname()[1]
        return port


def end_all(paths: Paths) -> None:
    """End the recorded processes, the last started first; what does not go when asked is killed."""
    for recorded in reversed(read(paths).values()):
        if recorded.is_alive:
            end(recorded)
    (paths.state / "processes.json").unlink(missing_ok=True)


def end_one(paths: Paths, name: str) -> None:
    """End one process that was started here, and forget it."""
    recorded = read(paths)
    found = recorded.pop(name, None)
    if found and found.is_alive:
        end(found)
    write(paths, recorded)


def end(recorded: Recorded) -> None:
    """Ask, wait, then kill."""
    for how, seconds in ((signal.SIGTERM, END_SECONDS), (signal.SIGKILL, END_SECONDS)):
        try:
            os.kill(recorded.pid, how)
        except ProcessLookupError:
            return
        ends = time.monotonic() + seconds
        while recorded.is_alive and time.monotonic() < ends:
            reap(recorded.pid)
            time.sleep(0.05)
        if not recorded.is_alive:
            return


def reap(pid: int) -> None:
    """Collect the process where it is our own child; elsewhere init does."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
