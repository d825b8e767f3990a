"""How fast, and at what size, 10,000 models get their first turn: `python tests/bench/wake.py [--models N]`.

The API server is the fake one in a process of its own; kopf, queue and caches are the operator's. The bound is a plain
list of the same objects by the same client: what any operator must do at least.
"""

import asyncio
import resource
import sys
from argparse import ArgumentParser
from multiprocessing import get_context
from pathlib import Path
from time import monotonic, process_time
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from bitshift_operator.cluster.client import Kube
from bitshift_operator.cluster.engines import load_engines
from bitshift_operator.cluster.kinds import QUANTIZED_MODEL, Key
from bitshift_operator.controller.triggers import watch_resources
from bitshift_operator.controller.world import World
from bitshift_operator.settings import Settings

QUIET_SECONDS = 5.0


def main() -> None:
    arguments = ArgumentParser(description=__doc__)
    arguments.add_argument("--models", type=int, default=10_000)
    models = arguments.parse_args().models
    ours, theirs = get_context("spawn").Pipe()
    server = get_context("spawn").Process(target=serve, args=(models, theirs))
    server.start()
    try:
        found = asyncio.run(measure(ours, models))
    finally:
        ours.send("end")
        server.join(10)
    ratio = found["turns_seconds"] / found["list_seconds"]
    print(
        f"{models} models: {found['turns_seconds']:.1f} s until each had its turn "
        f"({found['cpu_seconds']:.1f} s of CPU), "
        f"{ratio:.1f} times a plain list of them ({found['list_seconds']:.1f} s); "
        f"{found['rss_mib']:.0f} MiB at most ({found['base_mib']:.0f} MiB before); "
        f"{found['quiet_calls']:.0f} calls in the {QUIET_SECONDS:.0f} s after"
    )


async def measure(server: Any, models: int) -> dict[str, float]:
    """Return seconds, MiB and calls of one start."""
    url = server.recv()
    turns: set[Key] = set()
    all_had_one = asyncio.Event()

    async def turn(key: Key) -> None:
        turns.add(key)
        if len(turns) == models:
            all_had_one.set()

    async with (
        Kube(ApiClient(Configuration(host=url))) as kube,
        World.around(kube, Settings(), load_engines()) as world,
    ):
        base_mib, started = rss_mib(), monotonic()
        async for _ in kube.pages(QUANTIZED_MODEL):
            pass
        list_seconds, started, cpu = monotonic() - started, monotonic(), process_time()
        watching = asyncio.create_task(watch_resources(world))
        working = asyncio.create_task(world.queue.work(turn))
        await asyncio.wait_for(all_had_one.wait(), 600)
        turns_seconds, cpu_seconds, calls = monotonic() - started, process_time() - cpu, await served(server)
        await asyncio.sleep(QUIET_SECONDS)
        quiet_calls = await served(server) - calls
        watching.cancel()
        world.queue.stop()
        await asyncio.wait([watching, working])
    return {
        "base_mib": base_mib,
        "list_seconds": list_seconds,
        "turns_seconds": turns_seconds,
        "cpu_seconds": cpu_seconds,
        "rss_mib": rss_mib(),
        "quiet_calls": quiet_calls,
    }


async def served(server: Any) -> int:
    """Return how many requests the server has answered, watches included."""
    server.send("count")
    return int(await asyncio.to_thread(server.recv))


def rss_mib() -> float:
    """Return the largest size that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def a_model(number: int) -> dict[str, Any]:
    """Return a model of a usual size, with a status as the operator writes it."""
    conditions = [
        {"type": kind, "status": "True", "reason": "Settled", "message": "All is well. " * 8}
        for kind in ("Ready", "Fits", "GatesPassed", "Progressing")
    ]
    rungs = [{"name": f"rung-{rung}", "artifact": f"pvc://models/model-{number}-{rung}.gguf"} for rung in range(3)]
    return QUANTIZED_MODEL.new(
        f"team-{number % 50}",
        f"model-{number}",
        spec={"stable": {"service": "chat"}, "ladder": rungs, "traffic": {"route": "chat"}},
        status={"phase": "Serving", "conditions": conditions},
    )


def serve(models: int, pipe: Any) -> None:
    """Run the fake API server with so many models in it until told to end."""
    from tests.fake_api import FakeApi

    async def run() -> None:
        async with FakeApi.started() as api:
            for number in range(models):
                api.put(a_model(number))
            pipe.send(api.url)
            while await asyncio.to_thread(pipe.recv) == "count":
                pipe.send(len(api.requests))

    asyncio.run(run())


if __name__ == "__main__":
    main()
