"""The operator at rest: ten settled objects, its memory, and every write to the API that it makes meanwhile."""

import time
from pathlib import Path

import click
import httpx

from e2e.cluster import Cluster
from e2e.demo import scenes
from e2e.demo.target import OwnCluster
from e2e.models import provide_models
from e2e.steps import Model

NAMESPACE = "rest"
WRITES = ("create", "apply", "patch", "update", "delete")
GOAL_MIB = 120


def settled_spec() -> dict[str, object]:
    """Return a spec that settles at once: nothing fits, and the object says so."""
    return {
        "runtime": "llamacpp",
        "parent": {"artifact": "pvc://models/SmolLM2-135M-Instruct-Q2_K.gguf"},
        "serving": {"contextTokens": 8192, "concurrentSequences": 4096},
        "ladder": [{"name": "q2-k", "artifact": "pvc://models/SmolLM2-135M-Instruct-Q2_K.gguf"}],
        "traffic": {"mode": "None"},
    }


def metrics(cluster: Cluster) -> dict[str, float]:
    """Return the operator's own metrics."""
    pod = cluster.get("pods", "-n", scenes.SYSTEM, "-l", "app.kubernetes.io/name=bitshift")["items"][0]
    text = httpx.get(f"http://{pod['status']['podIP']}:8080/metrics", timeout=10).text
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def writes(found: dict[str, float]) -> float:
    """Return the writes that are not the Lease's."""
    calls = {name: value for name, value in found.items() if name.startswith("bitshift_api_calls_total")}
    mine = [name for name in calls if any(f'verb="{verb}"' in name for verb in WRITES) and 'kind="leases"' not in name]
    return sum(calls[name] for name in mine)


def rss_mib(cluster: Cluster) -> float:
    """Return the operator's resident memory as the kernel counts it."""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"bitshift_operator" in process.read_bytes() and b"/opt/bitshift" in process.read_bytes():
                pages = int((process.parent / "statm").read_text().split()[1])
                return pages * 4096 / 2**20
        except OSError:
            continue
    raise RuntimeError("The operator's process was not found on this machine.")


@click.command()
@click.option("--objects", default=10, show_default=True)
@click.option("--seconds", default=600, show_default=True)
def main(objects: int, seconds: int) -> None:
    """Print the memory and the writes of an operator that has nothing to do."""
    cluster = OwnCluster()
    cluster.up()
    scenes.install(cluster, scenes.Console())
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    cluster.apply(namespace)
    provide_models(cluster, NAMESPACE)
    models = [Model(cluster, f"m-{number}", NAMESPACE).given(settled_spec()) for number in range(objects)]
    for model in models:
        model.comes_to(lambda status: status.get("phase") == "Blocked", seconds=120, called="Blocked")
    before, began = writes(metrics(cluster)), time.monotonic()
    while time.monotonic() - began < seconds:
        time.sleep(10)
        print(
            f"  {time.monotonic() - began:4.0f} s  {rss_mib(cluster):6.1f} MiB  {writes(metrics(cluster)) - before:.0f} writes",
            flush=True,
        )
    print(f"at rest, {objects} settled objects, {seconds} s: {rss_mib(cluster):.1f} MiB RSS (goal {GOAL_MIB}), "
          f"{writes(metrics(cluster)) - before:.0f} API writes besides the Lease (goal 0)")  # fmt: skip
    cluster.kubectl("delete", "namespace", NAMESPACE, "--timeout=120s")


if __name__ == "__main__":
    main()
