"""`kubectl bitshift watch`: the same screen, as it changes; where there is no terminal, one line for each change."""

import asyncio

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from bitshift_operator.cluster.client import Kube
from bitshift_operator.cluster.errors import Unreachable

from .access import Access, read_model
from .screen import BUSY, screen
from .story import Story, understand

LOOK_SECONDS = 1.0


async def watch(kube: Kube, access: Access, name: str, console: Console) -> None:
    """Show the model until it is gone or the person has seen enough; a moment without an answer is only told."""
    story = understand(await read_model(kube, access, name))
    if console.is_terminal:
        await _live(kube, access, story, console)
    else:
        await _lines(kube, access, story)


async def _live(kube: Kube, access: Access, story: Story, console: Console) -> None:
    with Live(screen(story), console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            live.update(screen(story), refresh=True)
            await asyncio.sleep(LOOK_SECONDS)
            try:
                story = understand(await read_model(kube, access, story.name))
            except Unreachable:
                live.update(Group(screen(story), Text("\nThe API server does not answer …", style=BUSY)), refresh=True)


async def _lines(kube: Kube, access: Access, story: Story) -> None:
    shown = ""
    while True:
        if (line := one_line(story)) != shown:
            click.echo(line)
            shown = line
        await asyncio.sleep(LOOK_SECONDS)
        try:
            story = understand(await read_model(kube, access, story.name))
        except Unreachable:
            click.echo("The API server does not answer …", err=True)


def one_line(story: Story) -> str:
    """Return what changes from moment to moment, in one line."""
    status = story.status
    parts = (status.phase or "unknown", status.reason, status.rung, status.canary, status.message)
    return "  ".join(part for part in parts if part)
