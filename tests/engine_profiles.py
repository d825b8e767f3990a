"""The profiles that ship, and the flags that each engine says it knows (`tests/engine_flags`, with their sources)."""

from functools import cache
from pathlib import Path

import yaml

from bitshift_core.api.catalogue import RuntimeProfileSpec

HERE = Path(__file__).parent
FILES = HERE.parent / "charts" / "bitshift" / "files" / "profiles"
ENGINES = tuple(sorted(path.stem for path in FILES.glob("*.yaml")))


@cache
def shipped(engine: str) -> RuntimeProfileSpec:
    manifest = yaml.safe_load((FILES / f"{engine}.yaml").read_text(encoding="utf-8"))
    return RuntimeProfileSpec.model_validate(manifest["spec"])


def known_flags(engine: str) -> frozenset[str]:
    lines = (HERE / "engine_flags" / f"{engine}.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())
