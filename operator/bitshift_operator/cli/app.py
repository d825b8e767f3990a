"""The command line: options, exit codes, and which function answers.

Exit codes: 0 done · 1 no cluster, or it said no · 2 wrong usage · 3 no such model · 4 nothing to do, and why ·
5 some rungs fit and some do not.
"""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from typing import Any

import click
from rich.console import Console

from bitshift_operator.cluster.client import Kube
from bitshift_operator.cluster.kinds import QUANTIZED_MODEL

from .access import Access, connected, read_model
from .plan import plan
from .screen import screen
from .size import size
from .story import Story, as_json, understand
from .verbs import VERBS
from .watch import watch as watching

RETRY_TIME = "%Y-%m-%dT%H:%M:%SZ"
EXAMPLES = """
\b
Examples:
  kubectl bitshift why chat              one screen: what it does, waits for, and refused
  kubectl bitshift watch chat -n team    the same, as it changes
  kubectl bitshift rollback chat         everyone home at once
  kubectl bitshift why chat -o json      for programs
  kubectl bitshift plan -f chat.yaml     what each rung needs and where it fits; works without a cluster too
  kubectl bitshift size ./chat-awq       what an artifact needs

\b
Exit codes:
  0 done   1 no cluster, or it said no   2 wrong usage   3 no such model   4 nothing to do   5 only some rungs fit

Verbs write annotations that are bound to one release, never `spec`: GitOps has nothing to revert.
"""

Command = Callable[..., Any]


def about_one_model(command: Command) -> Command:
    """Give a command its NAME and the options by which kubectl finds a cluster."""
    for option in (
        click.option("--kubeconfig", default="", metavar="FILE", help="The kubeconfig; KUBECONFIG when not given."),
        click.option("--context", default="", metavar="NAME", help="The kubeconfig's context; its current one."),
        click.option("-n", "--namespace", default="", metavar="NAME", help="The namespace; the context's."),
        click.argument("name"),
    ):
        command = option(command)
    return command


@click.group(epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Ask about a QuantizedModel's rollout, and tell it what to do."""


main.add_command(plan)
main.add_command(size)


@main.command()
@about_one_model
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print it.")
def why(name: str, namespace: str, context: str, kubeconfig: str, output: str) -> None:
    """Show what NAME is doing, what it waits for, and what every rung was refused for."""

    async def answer(kube: Kube, access: Access) -> None:
        story = understand(await read_model(kube, access, name))
        if output == "json":
            click.echo(json.dumps(as_json(story), indent=2, ensure_ascii=False))
        else:
            Console(highlight=False).print(screen(story))

    _run(Access(namespace, kubeconfig, context), answer)


@main.command()
@about_one_model
def watch(name: str, namespace: str, context: str, kubeconfig: str) -> None:
    """Show NAME as it changes, until Ctrl-C; without a terminal, print one line for each change."""

    async def answer(kube: Kube, access: Access) -> None:
        await watching(kube, access, name, Console(highlight=False))

    _run(Access(namespace, kubeconfig, context), answer)


@main.command()
@about_one_model
def promote(name: str, namespace: str, context: str, kubeconfig: str) -> None:
    """Go on with NAME's candidate without waiting for more evidence; gates cannot be skipped, safety still works."""
    _tell("promote", name, Access(namespace, kubeconfig, context))


@main.command()
@about_one_model
def pause(name: str, namespace: str, context: str, kubeconfig: str) -> None:
    """Take no further step with NAME's candidate; traffic stays where it is, safety still works."""
    _tell("pause", name, Access(namespace, kubeconfig, context))


@main.command()
@about_one_model
def resume(name: str, namespace: str, context: str, kubeconfig: str) -> None:
    """Take a pause of NAME back."""
    _tell("resume", name, Access(namespace, kubeconfig, context))


@main.command()
@about_one_model
def rollback(name: str, namespace: str, context: str, kubeconfig: str) -> None:
    """Bring all of NAME's users home at once; this release is not tried again until `retry`."""
    _tell("rollback", name, Access(namespace, kubeconfig, context))


@main.command()
@about_one_model
def retry(name: str, namespace: str, context: str, kubeconfig: str) -> None:
    """Read, gate and try once more what was refused of NAME."""
    _tell("retry", name, Access(namespace, kubeconfig, context))


def _tell(verb: str, name: str, access: Access) -> None:
    async def answer(kube: Kube, access: Access) -> None:
        story: Story = understand(await read_model(kube, access, name))
        told = VERBS[verb](story, time.strftime(RETRY_TIME, time.gmtime()))
        body = {"metadata": {"annotations": {told.annotation: told.value}}}
        await kube.patch_merge(QUANTIZED_MODEL, access.namespace, name, body)
        click.echo(f"{name}: {told.sentence}\n{story.command('watch')}")

    _run(access, answer)


def _run(access: Access, answer: Callable[[Kube, Access], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        chosen = access.resolved()
        async with connected(chosen) as kube:
            await answer(kube, chosen)

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        raise SystemExit(0) from None
