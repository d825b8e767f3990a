"""apply → the runtime's pod is created, over thirty objects: artifact facts known already, and once with them unknown.

Beside it, as the bound in the same run: a bare Deployment, apply → its pod, which no operator can be faster than.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import click

from bitshift_operator.cluster.client import Kube
from bitshift_operator.cluster.kinds import DEPLOYMENT, POD, QUANTIZED_MODEL
from e2e.demo import scenes
from e2e.demo.target import OwnCluster
from e2e.models import provide_models

NAMESPACE = "bench"
GOAL_P50_SECONDS, GOAL_P99_SECONDS = 1.0, 3.0
ARTIFACT = "pvc://models/SmolLM2-135M-Instruct-Q2_K.gguf"
LONGEST_SECONDS = 60.0


class Pods:
    """When each pod of the namespace was first heard of."""

    def __init__(self, kube: Kube) -> None:
        self._kube, self._waiting = kube, list[tuple[Callable[[dict[str, str]], bool], "asyncio.Future[float]"]]()

    async def watch(self) -> None:
        """Note the arrival of every pod until cancelled."""
        _, version = await self._kube.list(POD, NAMESPACE)
        async for kind, pod in self._kube.watch(POD, NAMESPACE, resource_version=version, timeout_seconds=3000):
            if kind == "ADDED":
                labels = pod["metadata"].get("labels") or {}
                for wanted, future in self._waiting:
                    if wanted(labels) and not future.done():
                        future.set_result(time.perf_counter())

    async def arrival(self, wanted: Callable[[dict[str, str]], bool]) -> "asyncio.Future[float]":
        """Return what will hold the moment at which such a pod appears."""
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, future))
        return future


async def seconds_until_pod(pods: Pods, wanted: Callable[[dict[str, str]], bool], apply: Awaitable[Any]) -> float:
    """Return how long it took from the call to the pod."""
    future = await pods.arrival(wanted)
    began = time.perf_counter()
    await apply
    return await asyncio.wait_for(future, LONGEST_SECONDS) - began


def a_model(name: str, sequences: int) -> dict[str, Any]:
    """Return a model that judges only; `sequences` makes each release another one."""
    return QUANTIZED_MODEL.new(
        NAMESPACE,
        name,
        spec={
            "runtime": "llamacpp",
            "parent": {"artifact": ARTIFACT},
            "serving": {"image": "bitshift.local/llama-cpp:1", "contextTokens": 128, "concurrentSequences": sequences},
            "ladder": [{"name": "q2-k", "artifact": ARTIFACT}],
            "traffic": {"mode": "None", "drainSeconds": 1},
        },
    )


def a_deployment(name: str) -> dict[str, Any]:
    labels = {"bench": name}
    container = {"name": "pause", "image": "bitshift.local/pause:1"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return DEPLOYMENT.new(NAMESPACE, name, spec={"selector": {"matchLabels": labels}, "template": template})


async def measure(kube: Kube, objects: int) -> tuple[float, list[float], list[float]]:
    """Return the seconds with facts unknown, those with facts known, and those of bare Deployments."""
    pods = Pods(kube)
    watching = asyncio.create_task(pods.watch())
    ours: list[float] = []
    bare: list[float] = []
    unknown = 0.0
    try:
        for number in range(objects + 1):
            name = f"m-{number}"
            took = await seconds_until_pod(
                pods,
                lambda labels, name=name: (
                    labels.get("bitshift.dev/model") == name and labels.get("bitshift.dev/role") == "release"
                ),  # type: ignore[misc]
                kube.create(a_model(name, 1)),
            )
            if number:
                ours.append(took)
            else:
                unknown = took
            if number:  # the first one stays: the facts that all share belong to it
                await kube.delete(QUANTIZED_MODEL, NAMESPACE, name)
            bare.append(
                await seconds_until_pod(
                    pods,
                    lambda labels, name=name: labels.get("bench") == f"d-{name}",  # type: ignore[misc]
                    kube.create(a_deployment(f"d-{name}")),
                )
            )
            await kube.delete(DEPLOYMENT, NAMESPACE, f"d-{name}")
            print(f"  {number:3}  with Bitshift {took:6.3f} s   bare Deployment {bare[-1]:6.3f} s", flush=True)
    finally:
        watching.cancel()
    return unknown, ours, bare


def quantile(values: list[float], share: float) -> float:
    """Return a quantile by the nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@click.command()
@click.option("--objects", default=30, show_default=True, type=click.IntRange(2, 500))
def main(objects: int) -> None:
    """Print p50 and p99 of apply → pod, and their ratio to a bare Deployment's."""
    cluster = OwnCluster()
    cluster.up()
    scenes.install(cluster, scenes.Console())
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    provide_models(cluster, NAMESPACE)

    async def run() -> tuple[float, list[float], list[float]]:
        async with await Kube.connect(str(cluster.kubeconfig)) as kube:
            return await measure(kube, objects)

    try:
        unknown, ours, bare = asyncio.run(run())
    finally:
        cluster.kubectl("delete", "namespace", NAMESPACE, "--timeout=120s")
    p50, p99 = statistics.median(ours), quantile(ours, 0.99)
    print(f"apply → pod, facts unknown: {unknown:.2f} s")
    print(
        f"apply → pod, facts known, {len(ours)} objects: p50 {p50:.2f} s (goal {GOAL_P50_SECONDS:.0f}), p99 {p99:.2f} s (goal {GOAL_P99_SECONDS:.0f})"
    )
    print(f"bare Deployment → pod: p50 {statistics.median(bare):.2f} s; ratio {p50 / statistics.median(bare):.1f}")


if __name__ == "__main__":
    main()
