"""Reading the table of kernels that ships with the core, which itself opens no file."""

from functools import cache
from importlib import resources

import yaml

from bitshift_core.fit.kernels import KernelTable


@cache
def load_kernels() -> KernelTable:
    """Return which kernels run what, by engine version and GPU; read once, for it never changes."""
    text = resources.files("bitshift_core.fit").joinpath("kernels.yaml").read_text(encoding="utf-8")
    return KernelTable.from_mapping(yaml.safe_load(text))
