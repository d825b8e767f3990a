"""`make demo`: the main job on a real Kubernetes, with a real gateway, a real engine and real answers."""

import sys
import time
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from e2e.cluster.commands import ClusterError
from e2e.models import make_models

from . import report, scenes
from .story import Story
from .target import CurrentCluster, OwnCluster, Target

NEXT = (
    "kubectl bitshift why chat -n demo",
    "kubectl get quantizedmodels,modelrevisions,httproutes -n demo",
    "kubectl bitshift retry chat -n demo",
)


@click.group(invoke_without_command=True)
@click.option("--cluster", type=click.Choice(["own", "current"]), default="own", show_default=True,
              help="'own' starts one on this machine (Debian, root); 'current' uses kubectl's context.")  # fmt: skip
@click.option("--work", type=click.Path(path_type=Path), default=Path("build/demo"), show_default=True,
              help="Where the requests and the report are written.")  # fmt: skip
@click.pass_context
def demo(context: click.Context, cluster: str, work: Path) -> None:
    """Show a rollout that works and one that must come back, with real users' requests all the while.

    \b
    Examples:
      python -m e2e.demo
      OPERATOR_IMAGE=… RUNTIME_IMAGE=… GATEWAY=infra/public python -m e2e.demo --cluster current
      python -m e2e.demo down
    """
    if context.invoked_subcommand is None:
        sys.exit(run(cluster, work))


@demo.command()
def down() -> None:
    """Remove the cluster that the demo started."""
    OwnCluster().down()


def run(cluster: str, work: Path) -> int:
    """Play the scenes in order; return 0 when each came out as it should."""
    console = Console(width=160, highlight=False)
    began = time.time()
    try:
        console.rule("1  Set-up")
        target = set_up(cluster)
        scenes.install(target, console)
        console.rule("2  Before Bitshift")
        users = scenes.before(target, console, work)
    except (ClusterError, RuntimeError, TimeoutError) as error:
        console.print(f"[red]Set-up failed:[/] {escape(str(error))}")
        return 1
    try:
        story = Story(target, console)
        console.rule("3  A rollout that works")
        first = scenes.works(target, console, story)
        console.rule("4  A rollout that must come back")
        second = scenes.comes_back(target, console, story, users)
    except (ClusterError, RuntimeError, TimeoutError) as error:
        console.print(f"[red]The demo stopped:[/] {escape(str(error))}")
        console.print(
            target.kubectl("-n", "bitshift-system", "logs", "-l", "app.kubernetes.io/name=bitshift", "--tail=40")
        )
        return 1
    finally:
        users.stop()
    console.rule("5  The end")
    end(console, work, users, story, first, second, time.time() - began)
    failed = [each for each in users.seen() if not each.ok and each.arm != "candidate"]
    return 1 if failed else 0


def set_up(cluster: str) -> Target:
    """Return the cluster to play in; one of our own is brought up with everything it needs."""
    target: Target = CurrentCluster() if cluster == "current" else OwnCluster()
    make_models()
    if isinstance(target, OwnCluster):
        target.up()
    return target


def end(
    console: Console,
    work: Path,
    users: scenes.Users,
    story: Story,
    first: scenes.Scene,
    second: scenes.Scene,
    seconds: float,
) -> None:
    """Print the summary, write the report, name what to try next."""
    table = Table(title="What happened", show_header=True)
    for column in ("", "requests", "by the candidate", "failed at stable or by Bitshift", "failed at the candidate"):
        table.add_column(column, justify="left" if not column else "right")
    for scene in (first, second):
        seen = users.seen(scene.began, scene.ended)
        candidate = [each for each in seen if each.arm == "candidate"]
        table.add_row(
            scene.title,
            str(len(seen)),
            str(len(candidate)),
            str(sum(not each.ok for each in seen if each.arm != "candidate")),
            str(sum(not each.ok for each in candidate)),
        )
    console.print(table)
    facts = second.facts
    millis = facts.get("verdict_to_last_new_request_ms")
    last = (
        "is not known"
        if millis is None
        else f"began {abs(millis)} ms {'after' if millis > 0 else 'before'} the verdict"
    )
    console.print(
        f"The bad release answered {facts['answered_by_bad_release']} requests; its last new one {last}; "
        f"{facts['cut_streams']} streams were cut."
    )
    console.print(
        "Loosened to be quick on two cores: quality margins of 20 and 12 points; load up to ten times slower allowed, in the "
        "second rollout 20 s to the first token; replies of 8 tokens; live evidence at an error rate of 5 % and promotion margins of 20 points (latencies: 40); hold 10 s. The defaults are stricter."
    )
    page = report.write(work / "report.html", users.seen(), story, (first, second))
    console.print(f"Report: {page}\nThe whole demo took {seconds / 60:.1f} minutes. The cluster stays up; try next:")
    for command in NEXT:
        console.print(f"  {command}")


if __name__ == "__main__":
    demo()
