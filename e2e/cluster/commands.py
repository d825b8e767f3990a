"""Running other programs: their output goes to a log, and a failure names its step and shows the log's end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

TAIL_LINES = 25
POLL_SECONDS = 0.1


class ClusterError(RuntimeError):
    """Something that a person must look at: one sentence, and the end of the log that explains it."""

    def __init__(self, sentence: str, *, log: Path | None = None, output: str = "") -> None:
        shown = output or (log.read_text(errors="replace") if log and log.exists() else "")
        tail = "\n".join(f"    {line}" for line in shown.splitlines()[-TAIL_LINES:])
        where = f"\n  The end of {log}:" if log else "\n  It said:"
        super().__init__(sentence + (f"{where}\n{tail}" if tail else ""))


@contextmanager
def step(name: str, hint: str = "") -> Iterator[None]:
    """Print the step's name, then how long it took; an error on the way gets the name in front."""
    click.echo(f"  {name}{f' ({hint})' if hint else ''} … ", nl=False)
    began = time.monotonic()
    try:
        yield
    except ClusterError as error:
        click.echo("failed")
        raise ClusterError(f"Step '{name}' failed. {error}") from error
    except BaseException:
        click.echo("failed")
        raise
    click.echo(f"{time.monotonic() - began:.1f} s")


def run(
    *argv: str | Path,
    log: Path | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_seconds: float = 1800,
    stdin: str | None = None,
) -> str:
    """Return what the program printed on standard output; with `log`, everything it said is kept there too."""
    command = [str(word) for word in argv]
    try:
        done = subprocess.run(
            command, cwd=cwd, env={**os.environ, **(env or {})}, input=stdin, timeout=timeout_seconds,
            capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise ClusterError(f"The program `{command[0]}` is not installed.") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"`{shown(command)}` did not end within {timeout_seconds:.0f} s.") from error
    if log:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as book:
            book.write(f"$ {shown(command)}\n{done.stdout}{done.stderr}")
    if done.returncode:
        said = done.stderr.strip() or done.stdout
        raise ClusterError(f"`{shown(command)}` ended with {done.returncode}.", log=log, output=said)
    return done.stdout


def succeeds(*argv: str | Path, timeout_seconds: float = 60) -> bool:
    """Return whether the program ended well; for questions, and for clean-up that may find nothing to do."""
    try:
        run(*argv, timeout_seconds=timeout_seconds)
    except ClusterError:
        return False
    return True


def retried(times: int, action: Callable[[], object]) -> None:
    """Do what a busy network may refuse once: only for set-up, never for what a test observes."""
    for attempt in range(times):
        try:
            action()
            return
        except ClusterError:
            if attempt == times - 1:
                raise
            time.sleep(2.0 * (attempt + 1))


def wait_until(
    condition: Callable[[], bool], sentence: str, *, seconds: float, explain: Callable[[], str] | None = None
) -> None:
    """Return as soon as the condition holds; when the time is over, say what was waited for and what is known."""
    ends = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends:
            raise ClusterError(f"Waited {seconds:.0f} s in vain: {sentence}.", output=explain() if explain else "")
        time.sleep(POLL_SECONDS)


def shown(command: Sequence[str]) -> str:
    """Return a command line short enough for a message."""
    line = " ".join(command)
    return line if len(line) <= 160 else line[:157] + "…"


@contextmanager
def plain_errors() -> Iterator[None]:
    """Show a person the sentence and not where in our code it was said."""
    try:
        yield
    except ClusterError as error:
        click.secho(f"\n{error}", fg="red", err=True)
        sys.exit(1)
