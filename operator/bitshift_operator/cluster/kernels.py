"""Reading the tables that ship with the core, which itself opens no file: kernels, published losses."""

import csv
from functools import cache
from importlib import resources

from bitshift_core.fit.kernels import KernelTable
from bitshift_core.fit.published import Loss, losses_from_rows

from .shipped import shipped_yaml


@cache
def load_kernels() -> KernelTable:
    """Return which kernels run what, by engine version and GPU; read once, for it never changes."""
    return KernelTable.from_mapping(shipped_yaml("bitshift_core.fit", "kernels.yaml"))


@cache
def load_losses() -> tuple[Loss, ...]:
    """Return what others published that schemes lose, each with its source."""
    text = resources.files("bitshift_core.fit").joinpath("published.csv").read_text(encoding="utf-8")
    return losses_from_rows(csv.DictReader(text.splitlines()))
