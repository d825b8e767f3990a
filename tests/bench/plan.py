"""How long one plan of 50 rungs takes over 5,000 nodes with 8 GPUs each, and what it holds: `make bench-plan`.

Nodes are of eight kinds and no two alike in what runs on them. Rungs are of every verdict: some fit, some wait, some
are too large for every card, some have no kernel. The bound is a plain loop over the same nodes that compares, for each
rung, one number with the node's free GPUs: what any answer must do at least that looks at every node.
"""

import argparse
import random
import resource
import sys
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import process_time

sys.path.insert(0, str(Path(__file__).parents[2]))

from bitshift_core.artifact.facts import ArtifactFacts, LayerGroup, TensorGroup
from bitshift_core.fit.fleet import fleet_of
from bitshift_core.fit.need import Need
from bitshift_core.fit.placement import Holder, Node
from bitshift_core.fit.plan import Fit, plan_release
from bitshift_core.fit.units import GIB, MIB
from bitshift_operator.cluster.engines import load_engines
from bitshift_operator.cluster.kernels import load_kernels
from tests.bitshift_core.fit import builders

CARDS = (
    ("NVIDIA-H100-80GB-HBM3", 81_559, "9", "0"),
    ("NVIDIA-A100-SXM4-40GB", 40_960, "8", "0"),
    ("NVIDIA-A100-SXM4-80GB", 81_920, "8", "0"),
    ("NVIDIA-L4", 23_034, "8", "9"),
    ("NVIDIA-L40S", 46_068, "8", "9"),
    ("NVIDIA-GeForce-RTX-4090", 24_564, "8", "9"),
    ("NVIDIA-B200", 183_359, "10", "0"),
    ("Tesla-T4", 15_360, "7", "5"),
)
SCHEMES = ("BF16", "awq", "fp8", "compressed-tensors/w4a16", "modelopt/nvfp4")
PARAMETERS = (8, 14, 32, 70, 405)
SECONDS_GOAL, MIB_GOAL = 1.0, 100


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--nodes", type=int, default=5_000)
    arguments.add_argument("--rungs", type=int, default=50)
    asked = arguments.parse_args()
    nodes, needs = some_nodes(asked.nodes), some_needs(asked.rungs)
    engines, kernels = load_engines(), load_kernels()

    def planned() -> list[Fit]:
        fleet = fleet_of(nodes)
        return [plan_release(need, fleet, engines, kernels=kernels) for need in needs]

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fits, seconds = timed(planned)
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    _, bound_seconds = timed(lambda: [plain_loop(need, nodes) for need in needs])
    tracemalloc.start()
    kept = planned()
    peak_mib = tracemalloc.get_traced_memory()[1] / MIB
    tracemalloc.stop()
    verdicts = ", ".join(f"{many} {verdict}" for verdict, many in sorted(Counter(fit.verdict for fit in kept).items()))
    print(f"{len(needs)} rungs over {len(nodes)} nodes: {verdicts}; {sum(len(fit.node_names) for fit in fits)} names")
    print(
        f"plan {seconds:.2f} s of CPU (goal {SECONDS_GOAL:.0f}), {seconds / bound_seconds:.1f} times a plain loop over "
        f"the same nodes ({bound_seconds:.2f} s); {peak_mib:.0f} MiB of objects at most, resident memory "
        f"+{grown_mib:.0f} MiB (goal {MIB_GOAL})"
    )
    if seconds > SECONDS_GOAL or max(peak_mib, grown_mib) > MIB_GOAL:
        sys.exit("The goal is missed.")


def timed(work):  # type: ignore[no-untyped-def]
    begin = process_time()
    result = work()
    return result, process_time() - begin


def plain_loop(need: Need, nodes: Sequence[Node]) -> list[tuple[int, str]]:
    """Return each node's seats by its free GPUs alone, most free first."""
    seats = [(-(node.gpu_free // need.gpus_per_replica), node.name) for node in nodes if node.ready]
    return sorted(one for one in seats if one[0])


def some_nodes(count: int) -> list[Node]:
    """Return nodes of eight GPUs, each with its own load."""
    chance = random.Random(5)
    found = []
    for index in range(count):
        product, mebibytes, major, minor = CARDS[index % len(CARDS)]
        free = chance.randint(0, 8)
        labels = {
            "kubernetes.io/hostname": f"node-{index}",
            "nvidia.com/gpu.product": product,
            "nvidia.com/gpu.memory": str(mebibytes),
            "nvidia.com/gpu.compute.major": major,
            "nvidia.com/gpu.compute.minor": minor,
        }
        found.append(
            Node(
                name=f"node-{index}",
                labels=labels,
                gpu_count=8,
                gpu_free=free,
                gpu_memory_bytes=mebibytes * MIB,
                memory_allocatable_bytes=2048 * GIB,
                memory_requested_bytes=chance.randrange(1024) * GIB,
                cpu_allocatable_millis=128_000,
                cpu_requested_millis=chance.randrange(96_000),
                holders=tuple(Holder(f"team/pod-{index}-{each}", "nvidia.com/gpu", 1) for each in range(8 - free)),
            )
        )
    return found


def some_needs(count: int) -> list[Need]:
    """Return rungs of all sizes and schemes; the first is small and the last fits no card."""
    found = []
    for index in range(count):
        need = Need(
            facts=some_facts(PARAMETERS[index % len(PARAMETERS)], SCHEMES[index // len(PARAMETERS) % len(SCHEMES)]),
            runtime="vllm",
            engine_version="0.19.0",
            context_tokens=(4096, 16_384, 65_536)[index % 3],
            concurrent_sequences=(8, 64, 256)[index // 3 % 3],
            gpus_per_replica=(1, 2, 4, 8)[index % 4],
            cpu_millis=(0, 8_000)[index % 2],
            replicas=(1, 40, 2_000)[index // 7 % 3],
        )
        found.append(replace(need, dtype="half") if index % 5 else need)
    return found


def some_facts(billions: int, scheme: str) -> ArtifactFacts:
    """Return a dense model of so many parameters."""
    bits = 16 if scheme == "BF16" else 8 if scheme == "fp8" else 4
    elements = billions * 10**9
    return builders.some_facts(
        scheme=scheme,
        layers=80,
        hidden_size=8192,
        intermediate_size=28_672,
        attention_heads=64,
        attention=(LayerGroup(kind="full", layers=80, kv_heads=8, key_dim=128, value_dim=128),),
        tensors=(TensorGroup(role="block", dtype="BF16", count=1, elements=elements, bytes=elements * bits // 8),),
    )


if __name__ == "__main__":
    main()
