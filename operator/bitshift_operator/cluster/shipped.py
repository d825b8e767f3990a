"""Reading the YAML that ships inside the packages, quickly; what users write is read with care (`cli.manifests`)."""

from importlib import resources
from typing import Any

import yaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The parser in C takes a tenth of the time, and ends the process at text that is nested deeply: ours is not."""


def shipped_yaml(package: str, name: str) -> Any:
    """Return the document in a file of the package."""
    return yaml.load(resources.files(package).joinpath(name).read_text(encoding="utf-8"), _Loader)  # a SafeLoader
