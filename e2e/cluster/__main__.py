"""The command line: `python -m e2e.cluster up`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from e2e.cluster.cluster import Cluster
from e2e.cluster.commands import ClusterError, plain_errors

EXAMPLES = """
\b
Examples:
  python -m e2e.cluster up              start, and build whatever is missing
  export KUBECONFIG=$(python -m e2e.cluster kubeconfig)
  kubectl get pods -A
  python -m e2e.cluster images          after a change of the operator's code
  python -m e2e.cluster logs kubelet    why does a pod not start?
  python -m e2e.cluster down
"""


@click.group(epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Start a real one-node Kubernetes with gateway, Prometheus and images on this Debian machine, as root.

    The first start builds everything from packages (about twenty minutes on two cores); later ones take seconds. All
    is kept below ~/.cache/bitshift: BITSHIFT_CACHE moves it, BITSHIFT_STATE moves the running cluster alone.
    """


@main.command()
@click.option("--project-images/--no-project-images", default=True, help="Build the operator's and runtime's images.")
def up(project_images: bool) -> None:
    """Start what does not run; a second call changes nothing."""
    cluster = Cluster()
    cluster.up(project_images=project_images)
    click.echo(f"\nUp. Next:\n  export KUBECONFIG={cluster.kubeconfig}\n  export PATH={cluster.paths.bin}:$PATH")
    click.echo(f"The gateway answers at {cluster.gateway_url}; attach routes to Gateway gateway-system/gw.")


@main.command()
@click.option("--purge", is_flag=True, help="Also forget the node's images and certificates; builds are kept.")
def down(purge: bool) -> None:
    """End every process, container, mount, link and rule that `up` made; objects are gone, builds are kept."""
    Cluster().down(purge=purge)


@main.command()
def status() -> None:
    """Show what runs and where it answers; exit code 1 when the cluster is not up."""
    cluster = Cluster()
    click.echo(cluster.describe())
    sys.exit(0 if cluster.is_up() else 1)


@main.command()
def build() -> None:
    """Install packages and build binaries and base images, without starting anything."""
    cluster = Cluster()
    with cluster.alone():
        cluster.install()


@main.command()
def images() -> None:
    """Build the operator's and the runtime's images from the working tree and bring them to the running node."""
    Cluster().load_project_images()


@main.command()
def kubeconfig() -> None:
    """Print the path of the administrator's kubeconfig."""
    click.echo(Cluster().kubeconfig)


@main.command()
@click.argument("name", required=False)
@click.option("-n", "--lines", default=50, show_default=True, help="How many lines from the end.")
def logs(name: str | None, lines: int) -> None:
    """Show the end of a process' or a step's log; without NAME, list the logs."""
    folder = Cluster().paths.log
    found = {file.stem: file for file in sorted(folder.glob("*.log"))} if folder.exists() else {}
    if name is None:
        click.echo("\n".join(found) or "There are no logs yet.")
    elif name in found:
        click.echo("\n".join(tail(found[name], lines)))
    else:
        raise ClusterError(f"NAME must be one of: {', '.join(found)}.")


def tail(file: Path, lines: int) -> list[str]:
    """Return a file's last lines."""
    return file.read_text(errors="replace").splitlines()[-lines:]


if __name__ == "__main__":
    with plain_errors():
        main()
