"""`kubectl bitshift plan`: what every rung of a file needs and where it fits, before anything runs.

Here: the command, and gathering what the plan stands on. Not here: the plan (`rungs`), how it looks (`tables`).
"""

import asyncio
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bitshift_core.artifact.errors import ArtifactError
from bitshift_core.rollout.places import claim_of
from bitshift_operator.cluster.engines import load_engines
from bitshift_operator.cluster.errors import Forbidden
from bitshift_operator.cluster.kernels import load_kernels

from .access import Access, Refusal, connected
from .gpus import Imagined, imagined
from .manifests import Document, models_in
from .options import NODES, OUTPUT, ROOT, SERVING, asked_of, consoles, roots_of, with_options
from .reading import Told, patience, read_facts
from .rungs import Ground, ModelPlan, Read, artifacts_in, as_json, plan_model, verdict_status
from .sizing import Asked
from .surroundings import read_cluster
from .tables import PlanScreen

READERS = 4
"""Artifacts that are read at a time; each reader asks for several headers at once."""
STATUS = {"all": 0, "some": 5, "none": 1}
EXAMPLES = """
\b
Examples:
  kubectl bitshift plan -f chat.yaml                                against the cluster's nodes
  kubectl bitshift plan -f chat.yaml --gpu H100-80 --count 2        without a cluster
  kubectl bitshift plan -f first.yaml --node-memory-gib 64          for CPU nodes
  kubectl bitshift plan -f chat.yaml --gpu L40S --artifact-root models=/mnt/models -o json

\b
Exit codes:
  0 every rung fits   5 some do, at least one of each ladder   1 none of a ladder does, or it cannot be told

A rung that fits only once there is room (`Waiting`) counts as one that fits.
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "-f", "--filename", "files", multiple=True, required=True, metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="QuantizedModels as YAML, - for standard input; may be repeated.",
)  # fmt: skip
@with_options(*NODES, *SERVING, ROOT)
@click.option("--kubeconfig", default="", metavar="FILE", help="The kubeconfig; KUBECONFIG when not given.")
@click.option("--context", default="", metavar="NAME", help="The kubeconfig's context; its current one.")
@click.option("-n", "--namespace", default="", metavar="NAME", help="Where stable runs, for files that do not say it.")
@OUTPUT
def plan(
    files: tuple[Path, ...],
    output: str,
    roots: tuple[str, ...],
    kubeconfig: str,
    context: str,
    namespace: str,
    **values: Any,
) -> None:
    """Say of every rung in FILE whether it fits, where, and what would make it fit; nothing is written anywhere."""
    asked = asked_of(values)
    documents = [document for path in files for document in models_in(path)]
    nodes = imagined(**values)
    access = Access(namespace, kubeconfig, context)
    plans, words = asyncio.run(_plans(documents, asked, nodes, access, roots_of(roots)))
    status = verdict_status(plans)
    if output == "json":
        said = {"nodes": words, "fits": status, "models": [as_json(each) for each in plans]}
        click.echo(json.dumps(said, indent=2, ensure_ascii=False))
    else:
        _show(consoles()[0], plans, words)
    raise click.exceptions.Exit(STATUS[status])


async def _plans(
    documents: Sequence[Document], asked: Asked, nodes: Imagined | None, access: Access, roots: dict[str, Path]
) -> tuple[list[ModelPlan], str]:
    reading = asyncio.create_task(_read_all(documents, roots))
    try:
        if nodes:
            ground = Ground(
                nodes.nodes,
                load_engines(),
                {},
                knows_gpus=bool(nodes.gpus),
                knows_memory=nodes.knows_memory,
                kernels=load_kernels(),
            )
            grounds, words = [ground] * len(documents), nodes.words
        else:
            grounds, words = await _grounds(documents, access)
        read = await reading
    finally:
        reading.cancel()
    plans = [plan_model(each, read, asked, ground) for each, ground in zip(documents, grounds, strict=True)]
    return plans, words


async def _grounds(documents: Sequence[Document], access: Access) -> tuple[list[Ground], str]:
    """Return what the cluster offers each document."""
    if not access.kubeconfig and not access.context and not _has_cluster():
        raise Refusal(
            "There is no kubeconfig to plan by the cluster's nodes: say which nodes by `--gpu H100-80 --count 2`, "
            "or by `--node-memory-gib 64` for CPU nodes."
        )
    chosen = access.resolved()
    async with connected(chosen) as kube:
        namespaces = [each.namespace or chosen.namespace for each in documents]
        try:
            cluster = await read_cluster(kube, load_engines(), set(namespaces))
        except Forbidden as error:
            raise Refusal(
                "Room is shared by all: nodes and pods of the whole cluster are read, and you may not: "
                f"{error.message}. Say which nodes there are by `--gpu H100-80 --count 2`."
            ) from error
        found = [await cluster.beside(kube, *each) for each in zip(documents, namespaces, strict=True)]
    return found, cluster.words


def _has_cluster() -> bool:
    paths = (os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")).split(os.pathsep)
    return any(Path(path).exists() for path in paths) or "KUBERNETES_SERVICE_HOST" in os.environ


async def _read_all(documents: Sequence[Document], roots: dict[str, Path]) -> dict[str, Read]:
    """Return the facts of every artifact, or why it cannot be read from here; each is read once."""
    wanted = list(dict.fromkeys(uri for each in documents for uri in artifacts_in(each.spec)))
    turns = asyncio.Semaphore(READERS)
    async with patience(consoles()[1], f"Reading headers of {len(wanted)} artifacts") as told:

        async def read(uri: str) -> Read:
            async with turns:
                return await _read(uri, roots, told)

        return dict(zip(wanted, await asyncio.gather(*map(read, wanted)), strict=True))


async def _read(uri: str, roots: dict[str, Path], told: Told) -> Read:
    inside = claim_of(uri)
    root = (roots.get(inside[0]) or roots.get("")) if inside else None
    if inside and root is None:
        return ArtifactError(
            "NotReadableFromHere",
            f"It cannot be read from here: {uri} lies on a claim of the cluster. Say where its files are here by "
            f"`--artifact-root {inside[0]}=DIR`; in the cluster a Job reads them.",
        )
    try:
        return await read_facts(uri, root, told)
    except ArtifactError as error:
        return error


def _show(console: Console, plans: Iterable[ModelPlan], words: str) -> None:
    for number, each in enumerate(plans):
        if number:
            console.print()
        console.print(PlanScreen(each, words))
