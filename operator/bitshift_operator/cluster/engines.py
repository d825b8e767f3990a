"""Reading the engine constants that ship with the core, which itself opens no file."""

from importlib import resources

import yaml

from bitshift_core.fit.engines import EngineConstants


def load_engines() -> EngineConstants:
    """Return what is known of the engines' memory use, by version."""
    text = resources.files("bitshift_core.fit").joinpath("engines.yaml").read_text(encoding="utf-8")
    return EngineConstants.from_mapping(yaml.safe_load(text))
