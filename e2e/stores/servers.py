"""What the servers have in common: who vouches for them, how their programs run, what a test says of a store.

Here: authority, processes, the shape of a store. Not here: the stores themselves (`hub`, `objects`, `registry`).
"""

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx
import trustme

from e2e.cluster import Cluster, Paths, processes
from e2e.cluster.commands import wait_until

START_SECONDS = 30
GUESSED = "guessed"
"""Part of each secret that opens nothing, and of no sentence."""


@dataclass(frozen=True)
class Put:
    """Where a model lies now."""

    address: str
    """What a user writes into a spec."""
    pinned: str
    """What it means at this moment, or how that begins."""


class Store(Protocol):
    """Somewhere that models lie, with a lock."""

    secret: Mapping[str, str]
    """Of a Secret that may read."""
    wrong: Mapping[str, str]
    """Of one that may not."""

    def put(self, place: str, file: Path) -> Put:
        """Lay a model at a place, over whatever lay there; earlier ones stay where the store keeps them."""

    def damage(self, place: str) -> None:
        """Change the last byte of what lies there behind the store's back: sizes and promises stay as they were."""


@dataclass(frozen=True)
class Trust:
    """The authority that vouches for the servers, as files for programs."""

    authority: Path
    server: Path
    """Key and certificate of all servers here."""

    @classmethod
    def made(cls, folder: Path, host: str) -> "Trust":
        """Make an authority, and have it vouch for an address."""
        made, found = trustme.CA(), cls(folder / "authority.pem", folder / "server.pem")
        made.cert_pem.write_to_path(str(found.authority))
        made.issue_cert(host).private_key_and_cert_chain_pem.write_to_path(str(found.server))
        return found

    @property
    def context(self) -> ssl.SSLContext:
        """What a server of ours shows."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server)
        return context

    def client(self, **options: object) -> httpx.Client:
        """Return a client that believes the servers."""
        verify = ssl.create_default_context(cafile=self.authority)
        return httpx.Client(verify=verify, timeout=60, trust_env=False, **options)  # type: ignore[arg-type]


@contextmanager
def running(cluster: Cluster, name: str, argv: Sequence[str | Path], url: str, trust: Trust) -> Iterator[None]:
    """Run a program until the end of the block; it answers when the block begins, whatever its answer is.

    It stands in the cluster's record, so that `down` ends it when a session could not.
    """
    paths = cluster.paths
    with cluster.alone():
        processes.end_one(paths, name)
        processes.ensure(paths, name, argv)
    try:
        with trust.client() as client:
            wait_until(lambda: _answers(paths, name, client, url), f"{name} answers at {url}", seconds=START_SECONDS,
                       explain=lambda: (paths.log / f"{name}.log").read_text(errors="replace"))  # fmt: skip
        yield
    finally:
        with cluster.alone():
            processes.end_one(paths, name)


def _answers(paths: Paths, name: str, client: httpx.Client, url: str) -> bool:
    processes.must_live(paths, name)
    try:
        client.get(url)
    except httpx.TransportError:
        return False
    return True


def flip_last_byte(file: Path) -> None:
    """Change a file's last byte in place, and nothing that is known of the file."""
    with file.open("r+b") as opened:
        opened.seek(-1, 2)
        last = opened.read(1)[0]
        opened.seek(-1, 2)
        opened.write(bytes([last ^ 0xFF]))
