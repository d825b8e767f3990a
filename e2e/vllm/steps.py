"""What the tests of vLLM ask for: the same model in another format, judged as two shared cores allow."""

from pathlib import Path
from typing import Any

from e2e.vllm.artifacts import uri

INSTRUCTIONS = frozenset(Path("/proc/cpuinfo").read_text().partition("\nflags")[2].partition("\n")[0].upper().split())
"""What this machine's CPU can do: vLLM has another build for CPUs with AVX-512, and only that one runs four bits."""
RUNS_FOUR_BITS = "AVX512F" in INSTRUCTIONS
KERNELS = {
    "W4A16": "CPUWNA16LinearKernel",
    "AWQ": "CPUWNA16LinearKernel",
    "GPTQ": "CPUWNA16LinearKernel",
    "INT8": "CPUInt8ScaledMMLinearKernel",
    "FP8": "ChannelWiseTorchFP8ScaledMMLinearKernel",
}
FORMAT = "W4A16" if RUNS_FOUR_BITS else "INT8"
"""The fewest bits that this CPU has a kernel for."""
BOUNDED = ["--enforce-eager", "--kv-cache-memory-bytes", "268435456"]
UNCOMPILED = [{"name": "TORCHDYNAMO_DISABLE", "value": "1"}]
"""As stable has it: the image has no compiler."""
GATES = {
    "quality": {"maxSeconds": 300, "suites": [{"name": "starter-facts", "marginPoints": 30}]},
    "load": {"requestsPerMinute": 30, "seconds": 104, "promptTokens": 82, "replyTokens": 4, "slowerPercent": 900},
}
"""Loosened, because four bits rounded to the nearest cost a model of 135M parameters much, and two engines share two cores."""
TRAFFIC = {
    "route": "chat",
    "steps": [
        {"name": "half", "tenantsPercent": 50, "weightPercent": 60},
        {"name": "all", "tenantsPercent": 100, "weightPercent": 60},
    ],
    "evidence": {
        "errorRatePpm": 50_000,
        "promoteMarginPpm": 300_000,
        "promoteLatencyPoints": 50,
        "latencyMarginPercent": 400,
        "stepDeadlineSeconds": 600,
    },
    "holdSeconds": 10,
    "drainSeconds": 30,
}
JUDGED_ONLY = {"mode": "None", "drainSeconds": 1}


def rung(name: str, **serving: Any) -> dict[str, Any]:
    """Return one step of the ladder by the name of its checkpoint."""
    return {"name": name.lower(), "artifact": uri(name)} | ({"serving": serving} if serving else {})


def a_spec(*names: str, traffic: dict[str, Any] = JUDGED_ONLY, **serving: Any) -> dict[str, Any]:
    """Return the spec of a model with these checkpoints as its ladder, beside the stable one."""
    return {
        "stable": {"service": "chat"},
        "serving": {"extraArgs": BOUNDED, "env": UNCOMPILED} | serving,
        "ladder": [rung(name) for name in names],
        "gates": GATES,
        "traffic": traffic,
    }
