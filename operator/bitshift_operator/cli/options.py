"""The options that `size` and `plan` share: how a model is served, and on which nodes that are only thought of."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from .sizing import Asked

Command = Callable[..., Any]

SERVING = (
    click.option("--runtime", metavar="NAME", help="The engine: vllm, llamacpp …; the one that loads the format."),
    click.option("--engine-version", default="", metavar="VERSION", help="0.19.0, b4719; unknown widens the margin."),
    click.option("--context-tokens", type=click.IntRange(64, 16_777_216), help="Of each sequence, prompt and answer."),
    click.option("--sequences", type=click.IntRange(1, 4_096), help="Served at once at full context."),
    click.option("--kv-cache-dtype", metavar="TYPE", help="auto, fp8, q8_0 …"),
    click.option(
        "--tensor-parallel", type=click.IntRange(0, 64), metavar="GPUS", help="GPUs per replica; 0 for a CPU."
    ),
)
ENGINE = (
    click.option("--pipeline-parallel", type=click.IntRange(1, 64), metavar="STAGES", help="Parts of layers; 1."),
    click.option("--quantization", metavar="METHOD", help="fp8, bitsandbytes …: done by the engine while it loads."),
    click.option("--dtype", metavar="TYPE", help="half, bfloat16, float32: what it computes in."),
    click.option("--batched-tokens", type=click.IntRange(32, 1_048_576), help="Computed in one step at most."),
    click.option("--memory-utilization", type=click.FloatRange(0.05, 1), metavar="SHARE", help="Of each GPU: 0.9."),
    click.option("--enforce-eager", is_flag=True, help="No CUDA graphs."),
    click.option("--expert-parallel", is_flag=True, help="Whole experts on each GPU."),
    click.option("--data-parallel", type=click.IntRange(1, 1_024), metavar="COPIES", help="That share whole experts."),
    click.option("--prefix-caching/--no-prefix-caching", default=None, help="The engine's own choice."),
    click.option("--speculative-tokens", type=click.IntRange(1, 64), help="Guessed ahead by layers of its own."),
    click.option("--draft", metavar="ARTIFACT", help="The model that guesses instead."),
    click.option("--adapters", type=click.IntRange(1, 256), metavar="COUNT", help="LoRA adapters held at once."),
    click.option("--adapter-rank", type=click.IntRange(1, 4_096), metavar="RANK", help="Of the largest; 16."),
)
NODES = (
    click.option("--gpu", metavar="NAME", help="H100-80, A100-40, L40S, RTX-4090 …, or a node's own label."),
    click.option("--gpu-memory-gib", type=click.FloatRange(1, 4_096), metavar="GIB", help="For a GPU not known here."),
    click.option("--count", type=click.IntRange(1, 64), metavar="GPUS", help="GPUs of each node; 1."),
    click.option("--nodes", type=click.IntRange(1, 5_000), default=1, help="How many such nodes; 1."),
    click.option("--node-memory-gib", type=click.FloatRange(0.1, 65_536), metavar="GIB", help="Host memory of a node."),
)
OUTPUT = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print it.")
ROOT = click.option(
    "--artifact-root",
    "roots",
    multiple=True,
    metavar="[CLAIM=]DIR",
    help="Where a claim's files lie here, for pvc://; once for each claim, or one for all.",
)


def with_options(*options: Command) -> Callable[[Command], Command]:
    """Give a command options, in the order in which `--help` shows them."""

    def give(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return give


def asked_of(values: dict[str, Any]) -> Asked:
    """Return what the serving options say, and take them out of the rest."""
    return Asked(
        runtime=values.pop("runtime"),
        engine_version=values.pop("engine_version"),
        context_tokens=values.pop("context_tokens"),
        sequences=values.pop("sequences"),
        kv_cache_dtype=values.pop("kv_cache_dtype"),
        gpus_per_replica=values.pop("tensor_parallel"),
        more=_more(values),
    )


def _more(values: dict[str, Any]) -> dict[str, Any]:
    """Return what was said of the engine beyond the basics, by the need's names; what was not is left out."""
    share = values.pop("memory_utilization", None)
    said = {
        "pipeline_stages": values.pop("pipeline_parallel", None),
        "memory_utilization_percent": round(100 * share, 3) if share else None,
    }
    same = (
        "quantization",
        "dtype",
        "batched_tokens",
        "enforce_eager",
        "expert_parallel",
        "data_parallel",
        "prefix_caching",
    )
    said |= {name: values.pop(name, None) for name in (*same, "speculative_tokens", "adapters", "adapter_rank")}
    return {name: value for name, value in said.items() if value or (name == "prefix_caching" and value is False)}


def roots_of(values: tuple[str, ...]) -> dict[str, Path]:
    """Return each claim's directory; '' stands for every claim that is not named."""
    found: dict[str, Path] = {}
    for value in values:
        claim, _, folder = value.rpartition("=")
        path = Path(folder).expanduser()
        if not path.is_dir():
            raise click.BadParameter(f"'{folder}' is no directory.", param_hint="'--artifact-root'")
        found[claim] = path.absolute()
    return found


def consoles() -> tuple[Console, Console]:
    """Return where answers go, and where progress does."""
    return Console(highlight=False), Console(stderr=True, highlight=False)
