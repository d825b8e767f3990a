"""Reading the engine constants that ship with the core, which itself opens no file."""

from functools import cache

from bitshift_core.fit.engines import EngineConstants

from .shipped import shipped_yaml


@cache
def load_engines() -> EngineConstants:
    """Return what is known of the engines' memory use, by version; read once, for it never changes."""
    return EngineConstants.from_mapping(shipped_yaml("bitshift_core.fit", "engines.yaml"))
