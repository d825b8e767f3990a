"""bf16, FP8, AWQ and GPTQ of one model with random weights on real kernels, each beside what sizing said of it before.

`make bench-gpu` serves them one after the other by vLLM on this machine's NVIDIA GPU. SIZE=3B or 8B takes a larger
model, VLLM_PYTHON=… an interpreter that has vLLM, and WRITE=1 writes docs/gpu.md. DEVICE=cpu SIZE=tiny tries the script.
"""

import asyncio
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bitshift_core.api.v1alpha1 import LoadGate
from bitshift_core.artifact.facts import ArtifactFacts
from bitshift_core.evidence.gates import Record, judge_load
from bitshift_core.evidence.report import LoadReport
from bitshift_core.fit.placement import Node, node_from_manifests
from bitshift_core.fit.units import MIB
from bitshift_operator.cli.gpus import GpuProduct
from bitshift_operator.cli.reading import read_facts, uri_of
from bitshift_operator.cli.sizing import Asked, need_of, sized
from bitshift_operator.cluster.engines import load_engines
from bitshift_operator.cluster.kernels import load_kernels
from bitshift_runtime.evaluate.config import SideConfig
from bitshift_runtime.load.command import record_of
from bitshift_runtime.load.schedule import Block, blocks
from bitshift_runtime.load.sender import Target, send_block, session, settle_parameters
from e2e.bench.gpu_figures import Figures, Planned, as_json, page, planned_from, remarks, screen, seen_from
from e2e.cluster import ClusterError, Paths
from e2e.cluster.commands import plain_errors, run
from e2e.vllm.here import (
    CHECKPOINTS_GIB,
    PACKAGES,
    SERVED_NAME,
    Engine,
    Server,
    engine_of,
    make_environment,
    make_random_model,
    served,
    told_by,
)

PAGE = Path(__file__).parents[2] / "docs" / "gpu.md"
FORMATS = ("BF16", "FP8", "AWQ", "GPTQ")
REQUEST_SECONDS = 600
SEED = 1


@dataclass(frozen=True)
class Work:
    """How the model is served, and what users ask of it: the same for every format."""

    context_tokens: int
    sequences: int
    requests_per_second: float
    seconds: float
    prompt_tokens: int
    reply_tokens: int
    crowd: int
    """Requests that come at once, when the steady ones are over."""
    args: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    """The same as `args` in the words of a need."""

    @property
    def words(self) -> str:
        """Return it in a sentence."""
        return (
            f"{self.requests_per_second:g} requests a second for {self.seconds:g} s, whatever the server does, then "
            f"{self.crowd} at once; prompts of up to {self.prompt_tokens} tokens, replies of {self.reply_tokens}; "
            f"room for {self.sequences} sequences of {self.context_tokens:,} tokens."
        )


CACHE_BYTES = 256 * MIB
WORKS = {
    "cuda": Work(4096, 64, 4.0, 60.0, 512, 128, 256),
    "cpu": Work(
        1024, 8, 1.0, 20.0, 100, 16, 16,
        ("--enforce-eager", "--kv-cache-memory-bytes", str(CACHE_BYTES)),
        {"enforce_eager": True, "kv_cache_bytes": CACHE_BYTES},
    ),
}  # fmt: skip


# What it runs on


@dataclass(frozen=True)
class Device:
    """What the model is served on, and the same as a node of a cluster."""

    words: str
    gpus: int
    node: Node
    idle_bytes: int = 0
    """What others hold of the GPU before anything is served."""

    def held_bytes(self, server: int) -> int:
        """Return what a server holds; on a GPU by its driver's count, which knows no processes inside containers."""
        return int(nvidia_smi("memory.used")) * MIB - self.idle_bytes if self.gpus else resident_bytes(server)


def nvidia_smi(query: str) -> str:
    """Return what the driver says of the first GPU."""
    return run("nvidia-smi", "--id=0", f"--query-gpu={query}", "--format=csv,noheader,nounits").strip()


def no_gpu() -> str:
    """Return why nothing can be measured here; '' where something can."""
    if not shutil.which("nvidia-smi"):
        return "nvidia-smi is not installed"
    try:
        return "" if nvidia_smi("memory.used").isdigit() else "nvidia-smi tells no memory"
    except ClusterError:
        return "nvidia-smi finds none"


def first_gpu() -> Device:
    """Return this machine's first GPU, with the labels that feature discovery would write."""
    told = nvidia_smi("name,memory.total,compute_cap,driver_version,memory.used")
    name, mebibytes, capability, driver, used = (part.strip() for part in told.split(","))
    label = name.replace(" ", "-")[:63]
    product = GpuProduct(name=label, product=label, memory_mib=int(mebibytes), compute_capability=capability)
    words = f"{name}, {int(mebibytes):,} MiB, compute capability {capability}, driver {driver}"
    return Device(words, 1, _node(product.labels, {"nvidia.com/gpu": "1"}), int(used) * MIB)


def host() -> Device:
    """Return this machine as a node without GPUs."""
    return Device(f"A CPU with {os.cpu_count()} threads", 0, _node({}, {}))


def _node(labels: dict[str, str], offered: dict[str, str]) -> Node:
    memory = str(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    allocatable = {"cpu": str(os.cpu_count()), "memory": memory} | offered
    status = {"allocatable": allocatable, "conditions": [{"type": "Ready", "status": "True"}]}
    return node_from_manifests({"metadata": {"name": "here", "labels": labels}, "status": status}, ())


def resident_bytes(session_id: int) -> int:
    """Return what the processes of a session hold in memory; what they share is counted once."""
    found = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.getsid(int(folder.name)) == session_id:
                share = re.search(r"^Pss:\s+(\d+)", (folder / "smaps_rollup").read_text(), re.MULTILINE)
                found += int(share[1]) * 1024 if share else 0
    return found


# One format


def measure(name: str, model: Path, device: Device, engine: Engine, work: Work, log: Path) -> Figures:
    """Return what was planned and seen of one format; one that its engine refuses is told by the engine's last words."""
    planned = plan(model, device, engine, work)
    args = ("--max-model-len", work.context_tokens, "--max-num-seqs", work.sequences, *work.args)
    try:
        with served(engine, model, args, log) as server:
            steady, crowd = asyncio.run(loads(server, work))
            memory_bytes = device.held_bytes(server.pid)
    except ClusterError as error:
        click.echo(error)
        return Figures(name, planned, failure=str(error).partition("\n")[0])
    text, report = told_by(log)
    seen = seen_from(
        text, report, planned.promise,
        memory_bytes=memory_bytes, ready_seconds=server.ready_seconds, steady=steady, crowd=crowd,
    )  # fmt: skip
    return Figures(name, planned, seen)


def plan(model: Path, device: Device, engine: Engine, work: Work) -> Planned:
    """Return what sizing says of a checkpoint, by the functions of `kubectl bitshift size`."""
    facts = asyncio.run(read_facts(uri_of(str(model)), None, lambda _: None))
    assert isinstance(facts, ArtifactFacts)
    asked = Asked(
        runtime="vllm",
        engine_version=engine.version,
        context_tokens=work.context_tokens,
        sequences=work.sequences,
        gpus_per_replica=device.gpus,
        more=work.more,
    )
    return planned_from(sized(need_of(facts, asked, gpus=device.gpus), (device.node,), load_engines(), load_kernels()))


async def loads(server: Server, work: Work) -> tuple[LoadReport, LoadReport]:
    """Return what users had of steady arrivals, and of coming all at once."""
    side = SideConfig(url=server.url, model=SERVED_NAME)
    async with session(side) as opened:
        target = Target(
            "candidate", side, work.reply_tokens, REQUEST_SECONDS, opened,
            context_tokens=work.context_tokens, prompt_tokens=work.prompt_tokens,
        )  # fmt: skip
        if failure := (await settle_parameters(target, SEED)).failure:
            raise ClusterError(f"It was ready and did not answer the first request: {failure}.", log=server.log)
        steady: list[Record] = []
        for block in blocks(work.requests_per_second, work.seconds, SEED):
            found = await records(target, block)
            steady += [] if block.warm_up else found
        crowd = Block(1, 0.0, (0.0,) * work.crowd, first_request=10**6)
        return _report(steady), _report(await records(target, crowd))


async def records(target: Target, block: Block) -> list[Record]:
    """Send a block's requests, and return them as the load gate takes them."""
    return [record_of("candidate", block.number, timing) for timing in await send_block(target, block, SEED)]


def _report(found: list[Record]) -> LoadReport:
    report = judge_load("random", found, LoadGate()).load
    assert report
    return report


# The command


@click.command(context_settings={"show_default": True, "max_content_width": 100})
@click.option("--size", envvar="SIZE", type=click.Choice(list(CHECKPOINTS_GIB)), default="1B", help="Of the model.")
@click.option(
    "--device", envvar="DEVICE", type=click.Choice(list(PACKAGES)), default="cuda", help="cpu tries the script."
)
@click.option(
    "--format", "formats", type=click.Choice(FORMATS), multiple=True, default=FORMATS, help="May be repeated."
)
@click.option(
    "--vllm-python", envvar="VLLM_PYTHON", type=click.Path(exists=True, path_type=Path), help="That has vLLM."
)
@click.option("--requests-per-second", type=click.FloatRange(min=0.1), help="Steady arrivals; 4, on a CPU 1.")
@click.option("--seconds", type=click.IntRange(10, 3600), help="Of steady arrivals; 60, on a CPU 20.")
@click.option("--write", envvar="WRITE", is_flag=True, help="Write docs/gpu.md; never from a CPU.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print it.")
def main(size: str, device: str, formats: tuple[str, ...], write: bool, output: str, **said: Any) -> None:
    """Print what was planned and seen of each format of one model, and its ratio to the first in the same run."""
    if write and device == "cpu":
        raise click.BadParameter("docs/gpu.md holds figures of a GPU.", param_hint="'--write'")
    if device == "cuda" and (why := no_gpu()):
        click.echo(
            f"No NVIDIA GPU was found ({why}), so nothing was measured: run `make bench-gpu` where there is one."
        )
        return
    python = said.pop("vllm_python")
    work = replace(WORKS[device], **{name: value for name, value in said.items() if value})
    with plain_errors(), redirect_stdout(sys.stderr):
        found, about = measure_all(size, device, formats, python, work)
    if output == "json":
        click.echo(json.dumps(as_json(found, about), indent=2, ensure_ascii=False))
    else:
        show(found, about)
    if write:
        PAGE.write_text(page(found, about, f"make bench-gpu SIZE={size} WRITE=1"))
    sys.exit(any(each.failure for each in found))


def measure_all(
    size: str, device: str, formats: tuple[str, ...], python: Path | None, work: Work
) -> tuple[list[Figures], list[str]]:
    """Return every format's figures, and what they were taken on."""
    paths, here = Paths.from_environment(), first_gpu() if device == "cuda" else host()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # as Ctrl-C does, it ends the server too
    paths.cache.mkdir(parents=True, exist_ok=True)
    engine = engine_of(python or make_environment(paths, device), device)
    models = {name: make_random_model(paths, engine, size, name) for name in formats}
    found = []
    for name, model in models.items():
        log = paths.log / f"gpu-{size}-{name}.log"
        click.echo(f"  serve {size} in {name} (log: {log})")
        found.append(measure(name, model, here, engine, work, log))
    parts = f"{here.words}; {engine.package} {engine.version}, torch {engine.torch}."
    return found, [parts, f"A Llama of size {size} with random weights; {work.words}"]


def show(found: list[Figures], about: list[str]) -> None:
    """Print the table between what it was taken on and what must be said of it."""
    console = Console(highlight=False)
    console.print(*about, sep="\n", markup=False, soft_wrap=True)
    console.print(screen(found))
    console.print(*remarks(found), sep="\n", markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
