"""An artifact's facts, read from here: by the reader that the facts Job runs, as a process of its own.

One reader knows every source and layout, so what a laptop says of an artifact is what the cluster will say; and what a
hostile file does to it, it does to that process. Here: starting it, its progress, its end. Not here: reading.
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.text import Text

from bitshift_core.artifact.adapter import AdapterFacts
from bitshift_core.artifact.errors import ArtifactError
from bitshift_core.artifact.facts import ArtifactFacts

QUIET_SECONDS, REPEAT_SECONDS = 2.0, 10.0
LONGEST_SECONDS = 600.0
_PROGRESS = re.compile(r"^(.{1,120}): (\d+) of (\d+)$")
Told = Callable[[str], None]


async def read_facts(uri: str, root: Path | None, told: Told) -> ArtifactFacts | AdapterFacts:
    """Return the facts that sizing needs, of a model or of a LoRA adapter; a claim's files are below the root."""
    mount = ["--mount", str(root)] if root else []
    reader = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "bitshift_runtime", "facts", "--headers-only", "--uri", uri, *mount),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"BITSHIFT_TERMINATION_LOG": os.devnull},
    )
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            answer, last_words = await asyncio.gather(_all_of(reader.stdout), _progress(reader.stderr, told))
            status = await reader.wait()
    except TimeoutError:
        raise ArtifactError("ArtifactUnreachable", f"It was not read within {LONGEST_SECONDS:.0f} s.") from None
    finally:
        with suppress(ProcessLookupError):
            reader.kill()
        await reader.wait()
    if status:
        raise ArtifactError("ReaderFailed", f"The reader ended with status {status}: {last_words or 'it said nothing'}")
    found = json.loads(answer)
    if "reason" in found:
        raise ArtifactError(str(found["reason"]), str(found["message"]))
    return (AdapterFacts if "rank" in found else ArtifactFacts).model_validate(found)


def uri_of(artifact: str) -> str:
    """Return a local path as a URI; anything with a scheme as it is."""
    return artifact if "://" in artifact else f"file://{Path(artifact).expanduser().absolute()}"


@asynccontextmanager
async def patience(console: Console, what: str) -> AsyncIterator[Told]:
    """Yield what is told of progress; it is shown once somebody would begin to wonder."""
    latest = [what]
    showing = asyncio.create_task(_show(console, latest))
    try:
        yield lambda text: latest.__setitem__(0, f"{what}: {text}")
    finally:
        showing.cancel()
        with suppress(asyncio.CancelledError):
            await showing


async def _show(console: Console, latest: list[str]) -> None:
    await asyncio.sleep(QUIET_SECONDS)
    if not console.is_terminal:
        while True:
            console.print(latest[0], markup=False)
            await asyncio.sleep(REPEAT_SECONDS)
    with console.status(Text(latest[0])) as status:
        while True:
            status.update(Text(latest[0]))
            await asyncio.sleep(0.2)


async def _all_of(stream: asyncio.StreamReader | None) -> bytes:
    return await stream.read() if stream else b""


async def _progress(stream: asyncio.StreamReader | None, told: Told) -> str:
    """Tell each line of progress; return the last line that was none."""
    last = ""
    while stream and (raw := await stream.readline()):
        line = raw.decode(errors="replace").strip()
        if found := _PROGRESS.match(line):
            told(f"{found[2]} of {found[3]} {found[1]}")
        else:
            last = line or last
    return last[:500]
