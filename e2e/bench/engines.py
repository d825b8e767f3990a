"""What engines say they took, beside what was predicted for them before they started: weights, KV cache, the rest.

llama.cpp in several precisions, contexts and cache types, and vLLM on CPUs, each started as a pod by the flags that its
profile knows and read by the rules that the operator reads logs by. vLLM tells its weights on GPUs alone: `bench-gpu`.
"""

import json
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from bitshift_core.fit.units import MIB
from bitshift_core.starting.reading import read_log
from bitshift_operator.cluster.logs import load_log_rules
from e2e.cluster import Cluster
from e2e.cluster.commands import step
from e2e.cluster.images import LLAMA_CPP, VLLM
from e2e.models import CLAIM, file_name, provide_models
from e2e.vllm.artifacts import folder_name, make_checkpoints
from e2e.vllm.steps import BOUNDED, RUNS_FOUR_BITS

NAMESPACE = "engines"
PORT, READY_SECONDS = 8080, 420
LLAMA_CASES = (
    ("Q2_K", 512, 1, "f16"), ("Q4_K_M", 1024, 2, "f16"), ("Q4_1", 2048, 1, "f16"), ("Q8_0", 1024, 4, "f16"),
    ("Q8_0", 1024, 4, "q8_0"), ("Q8_0", 2048, 4, "q4_0"), ("F16", 2048, 2, "f16"), ("F16", 8192, 1, "q8_0"),
)  # fmt: skip
VLLM_FORMATS = ("BF16", "INT8", "FP8", *(("W4A16",) if RUNS_FOUR_BITS else ()))
VLLM_CONTEXT_TOKENS = 1024
TELLS_BUFFERS = ("--log-verbosity", "4")
"""llama.cpp of today keeps the sizes of its buffers to itself otherwise."""
_LLAMA_PARTS = {
    "kv-cache": re.compile(r"llama_kv_cache\w*: size =\s*([\d.]+) MiB"),
    "activations": re.compile(r"(?:compute|output) buffer size =\s*([\d.]+) MiB"),
}


@dataclass(frozen=True)
class Figure:
    """One quantity of one start."""

    case: str
    what: str
    predicted: float
    reported: float
    unit: str

    @property
    def error_percent(self) -> float:
        """Return by how much more was predicted than the engine took."""
        return 100 * (self.predicted / self.reported - 1)


def predicted(artifact: Path, runtime: str, *options: object) -> dict[str, Any]:
    """Return what `kubectl bitshift size` says of it; nothing is running yet."""
    program = Path(sys.executable).with_name("kubectl-bitshift")
    command = [str(each) for each in (program, "size", artifact, "--runtime", runtime, *options, "-o", "json")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def log_of(cluster: Cluster, name: str, image: str, args: list[str]) -> str:
    """Return what an engine printed until it was ready; its pod ends."""
    pod = a_pod(name, image, args)
    with step(f"start {name}"):
        cluster.apply(pod)
        try:
            wait = ("wait", f"pod/{name}", "--for=condition=Ready", f"--timeout={READY_SECONDS}s")
            cluster.kubectl("-n", NAMESPACE, *wait, timeout_seconds=READY_SECONDS + 10)
            return cluster.kubectl("-n", NAMESPACE, "logs", name)
        finally:
            cluster.kubectl("-n", NAMESPACE, "delete", "pod", name, "--grace-period=1", "--timeout=60s")


def a_pod(name: str, image: str, args: list[str]) -> dict[str, Any]:
    """Return a pod that runs the engine as its image has it, over the models read-only."""
    writable = {"tmp": ("/tmp", {}), "shared-memory": ("/dev/shm", {"medium": "Memory"})}
    mounts = [{"name": each, "mountPath": path} for each, (path, _) in writable.items()]
    container = {
        "name": "engine",
        "image": image,
        "args": args,
        "env": [{"name": "HOME", "value": "/tmp"}, {"name": "VLLM_NO_USAGE_STATS", "value": "1"}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": PORT}, "periodSeconds": 1, "timeoutSeconds": 5},
        "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": True}, *mounts],
    }  # fmt: skip
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "models", "persistentVolumeClaim": {"claimName": CLAIM}},
            *({"name": each, "emptyDir": kind} for each, (_, kind) in writable.items()),
        ],
    }  # fmt: skip
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def llama_figures(cluster: Cluster) -> Iterator[Figure]:
    """Yield what llama.cpp took for each case."""
    for precision, context, sequences, cache in LLAMA_CASES:
        case = f"{precision} {sequences} x {context} {cache}"
        flags = ("--context-tokens", context, "--sequences", sequences, "--kv-cache-dtype", cache)
        said = predicted(cluster.paths.models / file_name(precision), "llamacpp", *flags)
        items = {item["name"]: item["bytes"] for item in said["items"]}
        args = ["--model", f"/models/{file_name(precision)}", "--host", "0.0.0.0", "--port", str(PORT), "--no-webui"]
        args += ["--ctx-size", str(context * sequences), "--parallel", str(sequences), "--threads", "1"]
        args += ["--cache-type-k", cache, "--cache-type-v", cache, *TELLS_BUFFERS]
        name = re.sub(r"[^a-z0-9]+", "-", f"llama-{case}".lower())
        log = log_of(cluster, name, LLAMA_CPP, args)
        weights = read_log(load_log_rules().of("llamacpp"), log).report.model_bytes or 0
        parts = {what: sum(map(float, pattern.findall(log))) for what, pattern in _LLAMA_PARTS.items()}
        for what, took in ({"weights": weights / MIB} | parts).items():
            if not took:
                raise click.ClickException(f"{name} did not say how many bytes its {what} take.")
            yield Figure(case, what, items[what] / MIB, took, "MiB")


def vllm_figures(cluster: Cluster) -> Iterator[Figure]:
    """Yield how many tokens vLLM's KV cache holds in a given number of bytes."""
    bound_bytes = int(BOUNDED[BOUNDED.index("--kv-cache-memory-bytes") + 1])
    for name in VLLM_FORMATS:
        folder = folder_name(name)
        flags = ("--context-tokens", VLLM_CONTEXT_TOKENS, "--sequences", 1)
        said = predicted(cluster.paths.models / folder, "vllm", *flags)
        args = ["--model", f"/models/{folder}", "--port", str(PORT), "--max-model-len", str(VLLM_CONTEXT_TOKENS)]
        log = log_of(cluster, f"vllm-{name.lower()}", VLLM.image, [*args, *BOUNDED])
        report = read_log(load_log_rules().of("vllm"), log).report
        if report.kv_tokens is None:
            raise click.ClickException(f"vLLM did not say how many tokens its KV cache holds for {name}.")
        tokens = bound_bytes / said["kvCache"]["bytesPerToken"]
        yield Figure(f"vLLM {name}", "kv-cache", tokens, report.kv_tokens, "tokens")


@click.command()
@click.option("--vllm/--no-vllm", default=True, help="Also vLLM, whose image is built where it is missing: minutes.")
def main(vllm: bool) -> None:
    """Print, for each start of an engine, what was predicted, what it reported, and the error.

    \b
    Example:
      make bench-engines
      .venv/bin/python -m e2e.bench.engines --no-vllm
    """
    cluster = Cluster()
    cluster.up(project_images=False)
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    provide_models(cluster, NAMESPACE)
    try:
        figures = list(llama_figures(cluster))
        if vllm:
            make_checkpoints(*VLLM_FORMATS, paths=cluster.paths)
            cluster.provide_image(VLLM)
            figures += vllm_figures(cluster)
    finally:
        cluster.kubectl("delete", "namespace", NAMESPACE, "--timeout=120s")
    table = Table("start", "what", "predicted", "reported", "error")
    for each in figures:
        numbers = (f"{number:,.1f} {each.unit}" for number in (each.predicted, each.reported))
        table.add_row(each.case, each.what, *numbers, f"{each.error_percent:+.2f} %")
    Console(width=100).print(table)
    for what in sorted({each.what for each in figures}):
        errors = [abs(each.error_percent) for each in figures if each.what == what]
        print(f"{what}: n={len(errors)} median={statistics.median(errors):.2f}% worst={max(errors):.2f}%")


if __name__ == "__main__":
    main()
