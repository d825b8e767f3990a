"""A line in an engine's log → the object says what it means: every stage of real starts, and causes that end one.

The log's own times, as the node's runtime took them, beside the moment at which a watch brought the status that tells it.
"""

import asyncio
import re
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from bitshift_core.rollout import names
from bitshift_core.rollout.one_pod import ENGINE
from bitshift_core.starting.reading import lines_of, read_log
from bitshift_core.starting.rules import STAGES, EngineLines
from bitshift_operator.cluster.client import Kube
from bitshift_operator.cluster.errors import ApiError
from bitshift_operator.cluster.kinds import POD, QUANTIZED_MODEL
from bitshift_operator.cluster.logs import LIMIT_BYTES, TAIL_LINES, load_log_rules
from e2e.cluster.commands import step
from e2e.cluster.images import LLAMA_CPP, VLLM
from e2e.demo import scenes
from e2e.demo.target import OwnCluster
from e2e.models import provide_models
from e2e.vllm.artifacts import make_checkpoints, uri
from e2e.vllm.steps import BOUNDED, FORMAT, UNCOMPILED

NAMESPACE = "stages"
GOAL_SECONDS = 5.0
LONGEST_SECONDS = 420.0
READ_EVERY_SECONDS = 0.5
UNKNOWN = "--no-such-flag"
Manifest = dict[str, Any]


@dataclass(frozen=True)
class Start:
    """One release that starts, and what tells that it was judged."""

    name: str
    runtime: str
    spec: Manifest
    ends: Callable[[Manifest], bool]


@dataclass
class Heard:
    """All that one start's log said, and all that the object said, each with its time."""

    log: dict[str, str] = field(default_factory=dict)
    """The longest log of each pod: one that ended is read no more."""
    statuses: list[tuple[float, Manifest]] = field(default_factory=list)


@dataclass(frozen=True)
class Delay:
    """How long one cause took to be told."""

    start: str
    what: str
    seconds: float


def vllm(name: str, *extra: str) -> Manifest:
    """Return a release of vLLM."""
    return _spec("vllm", VLLM.image, uri("BF16"), uri(name), [*BOUNDED, *extra])


def llama_cpp(*extra: str) -> Manifest:
    """Return a release of llama.cpp."""
    models = "pvc://models/SmolLM2-135M-Instruct-{}.gguf"
    return _spec("llamacpp", LLAMA_CPP, models.format("F16"), models.format("Q8_0"), list(extra))


def _spec(runtime: str, image: str, parent: str, artifact: str, extra: list[str]) -> Manifest:
    serving = {"image": image, "contextTokens": 512, "concurrentSequences": 1, "extraArgs": extra}
    return {
        "runtime": runtime,
        "parent": {"artifact": parent},
        "serving": serving | ({"env": UNCOMPILED} if runtime == "vllm" else {}),
        "ladder": [{"name": "rung", "artifact": artifact}],
        "traffic": {"mode": "None", "drainSeconds": 1},
    }


def answers(status: Manifest) -> bool:
    """Return whether the release started."""
    return bool(status.get("phase") == "Gating")


def is_refused(status: Manifest) -> bool:
    """Return whether the only rung was given up."""
    return any(rung.get("state") == "Refused" for rung in status.get("rungs") or [])


def starts(repeats: int, with_vllm: bool) -> Iterator[Start]:
    """Yield the starts: ones that come to an answer, and ones that end by a flag that the engine does not know."""
    for number in range(repeats):
        if with_vllm:
            yield Start(f"vllm-{number}", "vllm", vllm(FORMAT), answers)
            yield Start(f"vllm-fails-{number}", "vllm", vllm(FORMAT, UNKNOWN), is_refused)
        yield Start(f"llamacpp-{number}", "llamacpp", llama_cpp(), answers)
        yield Start(f"llamacpp-fails-{number}", "llamacpp", llama_cpp(UNKNOWN), is_refused)


async def follow(kube: Kube, start: Start) -> Heard:
    """Start a release and listen until it was judged; the object is gone afterwards."""
    heard = Heard()

    async def listen() -> None:
        _, version = await kube.list(QUANTIZED_MODEL, NAMESPACE)
        async for kind, model in kube.watch(QUANTIZED_MODEL, NAMESPACE, resource_version=version, timeout_seconds=3000):
            if kind in ("ADDED", "MODIFIED") and model["metadata"]["name"] == start.name:
                heard.statuses.append((time.time(), model.get("status") or {}))
                if start.ends(heard.statuses[-1][1]):
                    return

    async def read() -> None:
        while True:
            await read_logs(kube, start.name, heard)
            await asyncio.sleep(READ_EVERY_SECONDS)

    listening, reading = asyncio.create_task(listen()), asyncio.create_task(read())
    try:
        await kube.create(QUANTIZED_MODEL.new(NAMESPACE, start.name, spec=start.spec))
        await asyncio.wait_for(listening, LONGEST_SECONDS)
        await read_logs(kube, start.name, heard)
    except TimeoutError:
        last = heard.statuses[-1][1].get("message") if heard.statuses else "nothing"
        raise click.ClickException(
            f"{start.name} was not judged within {LONGEST_SECONDS:.0f} s; it says: {last}"
        ) from None
    finally:
        listening.cancel()
        reading.cancel()
        await kube.delete(QUANTIZED_MODEL, NAMESPACE, start.name)
        while await kube.get(QUANTIZED_MODEL, NAMESPACE, start.name):
            await asyncio.sleep(READ_EVERY_SECONDS)
    return heard


async def read_logs(kube: Kube, name: str, heard: Heard) -> None:
    """Keep what the release's pods said so far."""
    pods, _ = await kube.list(POD, NAMESPACE, label_selector=f"{names.MODEL}={name},{names.ROLE}=release")
    for pod in pods:
        try:
            text = await kube.logs(
                NAMESPACE,
                pod["metadata"]["name"],
                container=ENGINE,
                tail_lines=TAIL_LINES,
                limit_bytes=LIMIT_BYTES,
                timestamps=True,
            )
        except ApiError:
            continue  # not started, or gone
        known = heard.log.get(pod["metadata"]["name"], "")
        heard.log[pod["metadata"]["name"]] = max(known, text, key=len)


def delays(start: Start, heard: Heard) -> Iterator[Delay]:
    """Yield how long each stage and each failure took from its line to the object."""
    text = next(iter(heard.log.values()), "")
    for what, at in causes(load_log_rules().of(start.runtime), text).items():
        told = [arrived for arrived, status in heard.statuses if tells(status, what)]
        if not told:
            raise click.ClickException(f"{start.name} never told {what}, which its log shows.")
        yield Delay(start.name, what, max(0.0, min(told) - at))


def causes(rules: EngineLines, text: str) -> dict[str, float]:
    """Return when the log first told each stage or failure."""
    first: dict[str, float] = {}
    for so_far in accumulate(text.splitlines(keepends=True)):
        reading = read_log(rules, so_far)
        if reading.failure:
            first.setdefault(reading.failure.reason, lines_of(so_far)[-1].at)
        elif reading.stage and reading.stage != "Answering":
            first.setdefault(reading.stage, reading.since)
    return first


def tells(status: Manifest, what: str) -> bool:
    """Return whether the object says so: the reason of a failure, or a stage that is at least as far."""
    if what not in STAGES:
        return what in (status.get("reason"), *(rung.get("reason") for rung in status.get("rungs") or []))
    said = re.search(r"\((\w+)", status.get("message") or "")
    is_at_least = said is not None and said[1] in STAGES and STAGES.index(said[1]) >= STAGES.index(what)  # type: ignore[arg-type]
    return is_at_least or answers(status)


@click.command()
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1, 50))
@click.option(
    "--vllm/--no-vllm", "with_vllm", default=True, help="Also vLLM, whose image is built where it is missing."
)
def main(repeats: int, with_vllm: bool) -> None:
    """Print, for each line that tells a stage or a failure, the seconds until the object told it.

    \b
    Example:
      make bench-stages
      .venv/bin/python -m e2e.bench.stages --repeats 10 --no-vllm
    """
    cluster = OwnCluster()
    cluster.up()
    scenes.install(cluster, scenes.Console())
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    if with_vllm:
        make_checkpoints("BF16", FORMAT, paths=cluster.paths)
        cluster.provide_image(VLLM)
    provide_models(cluster, NAMESPACE)

    async def run() -> list[Delay]:
        found: list[Delay] = []
        async with await Kube.connect(str(cluster.kubeconfig)) as kube:
            for start in starts(repeats, with_vllm):
                with step(f"start {start.name}"):
                    found += delays(start, await follow(kube, start))
        return found

    try:
        found = asyncio.run(run())
    finally:
        cluster.kubectl("delete", "namespace", NAMESPACE, "--timeout=180s")
    table = Table("start", "what its log told", "told by the object after")
    for each in found:
        table.add_row(each.start, each.what, f"{each.seconds:.2f} s")
    Console(width=100).print(table)
    seconds = [each.seconds for each in found]
    print(f"line in the log → object, {len(seconds)} causes: median {statistics.median(seconds):.2f} s, "
          f"worst {max(seconds):.2f} s (goal {GOAL_SECONDS:.0f})")  # fmt: skip


if __name__ == "__main__":
    main()
