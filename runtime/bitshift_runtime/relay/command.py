"""`python -m bitshift_runtime relay`.

Here: arguments → settings. Not here: what runs (`relay.server`).
"""

import asyncio
import resource
import socket

import click

from .logs import log_json_lines
from .server import serve
from .settings import RelaySettings


@click.command()
@click.option("--stable-url", required=True, help="Where stable's requests go, as http://service.namespace.svc:80.")
@click.option("--candidate-url", default="", help="Where the candidate's go; while there is none its port answers 503.")
@click.option("--tenant-header", default="x-tenant-id", show_default=True)
@click.option("--release", default="", help="The candidate's release, told to probes.")
@click.option("--ports", nargs=2, type=int, default=(8081, 8082), show_default=True, help="Stable's, the candidate's.")
@click.option("--admin-port", type=int, default=8083, show_default=True)
@click.option("--host", default=None, help="Interface to listen on; all unless said.")
@click.option("--pod", envvar="POD_NAME", default=socket.gethostname, help="This relay's name in its reports.")
@click.option("--first-maturity-seconds", type=float, default=30, show_default=True)
@click.option("--end-maturity-seconds", type=float, default=120, show_default=True)
@click.option("--patience-seconds", type=float, default=10, show_default=True)
@click.option("--pause-seconds", type=float, default=5, show_default=True)
@click.option("--drain-seconds", type=float, default=300, show_default=True)
def relay(ports: tuple[int, int], **options: str | float | int | None) -> None:
    """Pass requests on to both arms of a rollout, and count what comes of them."""
    log_json_lines()
    _allow_many_connections()
    stable_port, candidate_port = ports
    settings = RelaySettings(stable_port=stable_port, candidate_port=candidate_port, **options)  # type: ignore[arg-type]
    asyncio.run(serve(settings))


def _allow_many_connections() -> None:
    """Raise the number of open files to what the container may have: each stream takes two."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
