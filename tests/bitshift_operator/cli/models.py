"""Models as the API server tells them, in the phases that a person may find them in."""

from bitshift_operator.cluster.kinds import QUANTIZED_MODEL

SPEC = {
    "stable": {"service": "chat"},
    "ladder": [{"name": "fp8", "artifact": "hf://org/fp8"}, {"name": "awq", "artifact": "hf://org/awq"}],
    "traffic": {"route": "chat"},
}
FP8 = {
    "name": "fp8",
    "state": "DoesNotFit",
    "reason": "InsufficientGPUMemory",
    "message": "It needs 42.0 GiB per GPU; the largest GPU offers 24.0 GiB.",
    "neededBytes": 42 << 30,
}
AWQ = {
    "name": "awq",
    "revision": "chat-awq-1a2b3c4d",
    "state": "Live",
    "neededBytes": 21 << 30,
    "sizing": [{"name": "weights", "bytes": 18 << 30}, {"name": "kv-cache", "bytes": 512 << 20}],
    "gates": [
        {"name": "quality", "verdict": "Passed", "message": "[a/b] 180 of 192 against 182 of 192."},
        {"name": "load", "verdict": "Running"},
    ],
}


def a_model(phase="Shifting", *, spec=None, annotations=None, generation=2, **status):
    model = QUANTIZED_MODEL.new("team", "chat", spec=SPEC | (spec or {}))
    model["metadata"] |= {"generation": generation, "annotations": annotations or {}}
    model["status"] = {"phase": phase, "rung": "awq", "observedGeneration": 2, "rungs": [FP8, AWQ]} | status
    return model
