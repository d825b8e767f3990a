"""Nodes that are only thought of: so many GPUs of a kind that a person names.

Here: the table of products and who is meant by a name. Not here: what fits on such nodes (`bitshift_core.fit`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

import click
from pydantic import Field

from bitshift_core.api.base import ApiObject
from bitshift_core.fit.placement import Node, node_from_manifests
from bitshift_core.fit.units import GIB, MIB
from bitshift_operator.cluster.shipped import shipped_yaml

UNBOUNDED = "1Pi"
"""Host memory where nobody said how much: it shall not be what a GPU rung is refused for."""
_MAKER = re.compile(r"^(nvidia|geforce|tesla)+")


class GpuProduct(ApiObject):
    """One kind of GPU: what its nodes' labels say."""

    name: Annotated[str, Field(min_length=1, max_length=63)]
    product: Annotated[str, Field(max_length=63)] = ""
    memory_mib: Annotated[int, Field(ge=1)]
    compute_capability: Annotated[str, Field(pattern=r"^(\d+\.\d+)?$")] = ""
    aliases: tuple[str, ...] = ()

    @property
    def labels(self) -> dict[str, str]:
        """Return what GPU feature discovery would write on a node."""
        major, _, minor = self.compute_capability.partition(".")
        found = {"nvidia.com/gpu.memory": str(self.memory_mib), "nvidia.com/gpu.product": self.product or self.name}
        if major:
            found |= {"nvidia.com/gpu.compute.major": major, "nvidia.com/gpu.compute.minor": minor}
        return found


@dataclass(frozen=True)
class Imagined:
    """The nodes that options describe."""

    words: str
    nodes: tuple[Node, ...]
    gpus: int
    """Of each node; 0 where none was named."""
    knows_memory: bool


@cache
def known_products() -> tuple[GpuProduct, ...]:
    """Return the table that ships with the command line."""
    return tuple(GpuProduct.model_validate(each) for each in shipped_yaml(__package__, "gpus.yaml")["products"])


def product_of(name: str, memory_gib: float | None = None) -> GpuProduct:
    """Return the product that a person means; with a memory of its own it need not be a known one."""
    meant = meant_by(name)
    if memory_gib:
        base = meant[0] if len(meant) == 1 else GpuProduct(name=name[:63] or "GPU", memory_mib=1)
        return base.model_copy(update={"memory_mib": int(memory_gib * GIB / MIB)})
    if len(meant) == 1:
        return meant[0]
    if meant:
        either = " or ".join(each.name for each in meant)
        raise click.BadParameter(f"'{name}' may be {either}: say which.", param_hint="'--gpu'")
    known = ", ".join(each.name for each in known_products())
    raise click.BadParameter(
        f"'{name}' is not known. Known are {known}; for another one say `--gpu-memory-gib` too.", param_hint="'--gpu'"
    )


def meant_by(name: str) -> tuple[GpuProduct, ...]:
    """Return the products of that name, alias or label; else those whose name begins so."""
    said = _plain(name)
    exact = [each for each in known_products() if said in map(_plain, (each.name, each.product, *each.aliases))]
    begins = [each for each in known_products() if said and _plain(each.name).startswith(said)]
    return tuple(exact or begins)


def imagined(
    gpu: str | None, gpu_memory_gib: float | None, count: int | None, nodes: int, node_memory_gib: float | None
) -> Imagined | None:
    """Return the nodes that the options describe; None where they describe none."""
    memory = f"{int(node_memory_gib * 1024)}Mi" if node_memory_gib else UNBOUNDED
    host = f" and {node_memory_gib:g} GiB of memory" if node_memory_gib else ""
    if gpu is None and gpu_memory_gib is None:
        if not node_memory_gib:
            return None
        made = [_node(number, {}, {"memory": memory}) for number in range(1, nodes + 1)]
        return Imagined(f"{_nodes(nodes)} with {node_memory_gib:g} GiB of memory", tuple(made), 0, True)
    product = product_of(gpu or "", gpu_memory_gib)
    gpus = count or 1
    offered = {"memory": memory, "nvidia.com/gpu": str(gpus)}
    made = [_node(number, product.labels, offered) for number in range(1, nodes + 1)]
    capability = f", compute capability {product.compute_capability}" if product.compute_capability else ""
    each = f"{gpus} × {product.name} ({product.memory_mib / 1024:.1f} GiB{capability})"
    return Imagined(f"{_nodes(nodes)} with {each}{host}", tuple(made), gpus, bool(node_memory_gib))


def _node(number: int, labels: dict[str, str], offered: dict[str, str]) -> Node:
    manifest: dict[str, Any] = {
        "metadata": {"name": f"node-{number}", "labels": labels},
        "status": {"allocatable": {"cpu": "1M"} | offered, "conditions": [{"type": "Ready", "status": "True"}]},
    }
    no_pods: Sequence[dict[str, Any]] = ()
    return node_from_manifests(manifest, no_pods)


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"


def _plain(name: str) -> str:
    return _MAKER.sub("", re.sub(r"[^a-z0-9]", "", name.lower()))
