"""The small model as checkpoints that vLLM reads, made once and kept; torch lives in an environment of its own.

Here: which ones there are, and when they are made anew. Not here: what is in them (`checkpoints`), claims (`e2e.models`).
"""

import hashlib
import shutil
import sys
from pathlib import Path

from e2e.cluster import Paths, preflight
from e2e.cluster.commands import retried, run, step
from e2e.cluster.packages import install
from e2e.models import SHIPPED, make_models, model_file

HERE = Path(__file__).parent
PROGRAMS = (HERE / "checkpoints.py", HERE / "packing.py")
MADE_FROM = {"W4A16-DAMAGED": "W4A16", "INT8-DAMAGED": "INT8"}
"""What is not made from the 16-bit parent; that itself comes from the GGUF file."""
ENVIRONMENT_GIB = 8
REQUIREMENTS = ("llmcompressor==0.14.0.1", "gguf==0.19.0")


def folder_name(name: str) -> str:
    """Return the name of a checkpoint's folder among the models."""
    return f"SmolLM2-135M-Instruct-{name}"


def uri(name: str) -> str:
    """Return where pods find a checkpoint."""
    return f"pvc://models/{folder_name(name)}"


def make_checkpoints(*names: str, paths: Paths | None = None) -> None:
    """Make those of the checkpoints that are missing or were made by another version of the programs."""
    paths = paths or Paths.from_environment()
    make_models(paths)
    wanted = dict.fromkeys(["BF16", *(MADE_FROM.get(name, "BF16") for name in names), *names])
    for name in wanted:
        target, mark = paths.models / folder_name(name), paths.models / f".{folder_name(name)}"
        if not target.exists() or not mark.exists() or mark.read_text() != version():
            with step(f"write checkpoint {name}"):
                _make(paths, name, target)
            mark.write_text(version())


def _make(paths: Paths, name: str, target: Path) -> None:
    source = model_file(SHIPPED, paths) if name == "BF16" else paths.models / folder_name(MADE_FROM.get(name, "BF16"))
    fresh = target.with_name(f"{target.name}.part")
    shutil.rmtree(fresh, ignore_errors=True)
    told = (environment(paths), PROGRAMS[0], name, source, fresh)
    run(*told, log=paths.log / "checkpoints.log", env={"PYTHONDONTWRITEBYTECODE": "1"})
    for each in (fresh, *fresh.rglob("*")):
        each.chmod(0o755 if each.is_dir() else 0o644)  # pods read it as nobody
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)


def version() -> str:
    """Return what tells one version of the programs from another."""
    return hashlib.sha256(b"".join(each.read_bytes() for each in PROGRAMS) + repr(REQUIREMENTS).encode()).hexdigest()


def environment(paths: Paths) -> Path:
    """Return the interpreter of an environment with llm-compressor, and make it where it is missing."""
    folder = paths.cache / "quantizing"
    python, mark = folder / "bin" / "python", folder / ".requirements"
    if not mark.exists() or mark.read_text() != repr(REQUIREMENTS):
        install(paths)
        preflight.check_room(paths, ENVIRONMENT_GIB, "llm-compressor and its torch")
        with step("install llm-compressor", "4 GB, first time: about two minutes"):
            shutil.rmtree(folder, ignore_errors=True)
            run(sys.executable, "-m", "venv", folder)
            pip = (python, "-m", "pip", "install", "-q", "--no-cache-dir")
            retried(3, lambda: run(*pip, *REQUIREMENTS, log=paths.log / "checkpoints.log"))
        mark.write_text(repr(REQUIREMENTS))
    return python
