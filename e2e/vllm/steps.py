"""What the tests of vLLM ask for: the same model in another format, judged as two shared cores allow."""

from typing import Any

from e2e.vllm.artifacts import uri

BOUNDED = ["--enforce-eager", "--kv-cache-memory-bytes", "268435456"]
GATES = {
    "quality": {"maxSeconds": 300, "suites": [{"name": "starter-facts", "marginPoints": 30}]},
    "load": {"requestsPerMinute": 60, "seconds": 26, "promptTokens": 100, "replyTokens": 4, "slowerPercent": 900},
}
"""Loosened, because four bits rounded to the nearest cost a model of 135M parameters much, and two engines share two cores."""
TRAFFIC = {
    "route": "chat",
    "steps": [
        {"name": "half", "tenantsPercent": 50, "weightPercent": 80},
        {"name": "all", "tenantsPercent": 100, "weightPercent": 80},
    ],
    "evidence": {
        "errorRatePpm": 50_000,
        "promoteMarginPpm": 300_000,
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
        "serving": {"extraArgs": BOUNDED} | serving,
        "ladder": [rung(name) for name in names],
        "gates": GATES,
        "traffic": traffic,
    }
