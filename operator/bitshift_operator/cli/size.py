"""`kubectl bitshift size`: what an artifact needs, before anything is downloaded."""

import asyncio
import json
from pathlib import Path
from typing import Any

import click

from bitshift_core.artifact.adapter import AdapterFacts
from bitshift_core.artifact.errors import ArtifactError
from bitshift_core.artifact.facts import ArtifactFacts
from bitshift_core.rollout.places import claim_of
from bitshift_operator.cluster.engines import load_engines
from bitshift_operator.cluster.kernels import load_kernels

from .access import Refusal
from .gpus import Imagined, imagined
from .options import ENGINE, NODES, OUTPUT, ROOT, SERVING, asked_of, consoles, roots_of, with_options
from .reading import patience, read_facts, uri_of
from .sizing import as_json, need_of, sized
from .tables import size_screen

EXAMPLES = """
\b
Examples:
  kubectl bitshift size ./chat-Q4_K_M.gguf
  kubectl bitshift size ./chat-awq --gpu L40S --context-tokens 8192 --sequences 64
  kubectl bitshift size https://models.example/chat-fp8/ --gpu H100-80 --count 2 --tensor-parallel 2
  kubectl bitshift size hf://org/chat --quantization fp8 --adapters 4 --adapter-rank 64 --gpu L40S
  kubectl bitshift size pvc://models/chat-awq --artifact-root /mnt/models -o json

A folder is a URL that ends with a slash. Only headers are read, by range: 400 GB of weights cost about a megabyte.
"""


@click.command(epilog=EXAMPLES)
@click.argument("artifact")
@with_options(*SERVING, *ENGINE, *NODES, ROOT, OUTPUT)
def size(artifact: str, output: str, roots: tuple[str, ...], draft: str | None, **values: Any) -> None:
    """Show what ARTIFACT (a path, or a URI) needs of each GPU, or of a host: weights, KV cache, and the rest."""
    asked = asked_of(values)
    nodes = imagined(**values)
    facts, guessing = asyncio.run(_both(artifact, draft, roots_of(roots)))
    need = need_of(facts, asked, gpus=nodes.gpus if nodes else 0, draft=guessing)
    _check(need.gpus_per_replica, nodes)
    sizing = sized(need, nodes.nodes if nodes else (), load_engines(), load_kernels())
    if output == "json":
        click.echo(json.dumps({"artifact": artifact} | as_json(sizing), indent=2, ensure_ascii=False))
    else:
        consoles()[0].print(size_screen(sizing, artifact, nodes.words if nodes else ""))


async def _both(artifact: str, draft: str | None, roots: dict[str, Path]) -> tuple[ArtifactFacts, ArtifactFacts | None]:
    return await _facts(artifact, roots), await _facts(draft, roots) if draft else None


async def _facts(artifact: str, roots: dict[str, Path]) -> ArtifactFacts:
    inside = claim_of(artifact)
    root = (roots.get(inside[0]) or roots.get("")) if inside else None
    if inside and root is None:
        raise Refusal(
            f"{artifact} lies on a claim of a cluster: say where its files are here by `--artifact-root DIR`."
        )
    if "://" not in artifact and not Path(artifact).expanduser().exists():
        raise Refusal(f"There is no file or folder '{artifact}' here. Elsewhere it would be a URI, like https://…")
    async with patience(consoles()[1], f"Reading {artifact}") as told:
        try:
            found = await read_facts(uri_of(artifact), root, told)
        except ArtifactError as error:
            raise Refusal(f"{artifact} cannot be sized. {error.reason}: {error}") from None
    if isinstance(found, AdapterFacts):
        rank = f"`--adapters 1 --adapter-rank {found.rank}`"
        raise Refusal(f"{artifact} is a LoRA adapter: name the model that it was made for, and say {rank}.")
    return found


def _check(gpus: int, nodes: Imagined | None) -> None:
    """Refuse to judge by a memory that no option tells."""
    if nodes and not gpus and not nodes.knows_memory:
        raise click.BadParameter(
            "0 is sized against a host: say `--node-memory-gib`.", param_hint="'--tensor-parallel'"
        )
    if nodes and gpus and not nodes.gpus:
        raise click.BadParameter("it is served on GPUs: say `--gpu`.", param_hint="'--node-memory-gib'")
