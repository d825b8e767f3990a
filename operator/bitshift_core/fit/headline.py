"""The line that a reader looks for first: what one replica holds there, what is missing, what would make it fit.

Here: numbers → one line, and what the engine itself will print. Not here: the numbers (`advice`, `capacity`), the whole
answer (`plan`).
"""

from .advice import Ways
from .capacity import Capacity
from .need import Need
from .units import gib

RUNTIMES = {"vllm": "vLLM", "sglang": "SGLang"}


def of_room(need: Need, *, sequences: int, context_tokens: int) -> str:
    """Return what fits: `Fits 57 sequences at 8,192 tokens; 16 were asked for, and could have 29,184 tokens each.`"""
    fits = f"Fits {_sequences(sequences)} at {need.context_tokens:,} tokens"
    asked = "1 was" if need.concurrent_sequences == 1 else f"{need.concurrent_sequences:,} were"
    more = f", and could have {context_tokens:,} tokens{'' if need.concurrent_sequences == 1 else ' each'}"
    if sequences < need.concurrent_sequences:
        return f"{fits}; {asked} asked for, and take turns."
    if context_tokens > need.context_tokens:
        return f"{fits}; {asked} asked for{more}."
    return f"{fits}; {asked} asked for." if sequences > need.concurrent_sequences else f"{fits}, as asked for."


def of_shortage(need: Need, ways: Ways, *, missing_bytes: int) -> str:
    """Return `Fits 41 sequences at 8,192 tokens; 42.0 GiB missing for 128; ways out: TP 2, KV fp8, 4,096 tokens.`"""
    held = f"Fits {_sequences(ways.sequences)} at {need.context_tokens:,} tokens"
    short = f"{gib(missing_bytes)} missing for {need.concurrent_sequences:,}"
    split = f"TP {ways.gpus}" if need.pipeline_stages == 1 else f"{ways.gpus} GPUs"
    found = [
        split if ways.gpus else "",
        f"KV {ways.kv_cache_dtype}" if ways.kv_cache_dtype else "",
        f"{ways.context_tokens:,} tokens" if ways.context_tokens else "",
        f"KV cache of {gib(ways.kv_cache_bytes)}" if ways.kv_cache_bytes else "",
    ]
    ways_out = ", ".join(way for way in found if way) or "fewer bits"
    return f"{held}; {short}; ways out: {ways_out}."


def of_engine(need: Need, held: Capacity) -> str:
    """Return what the engine will make of such a GPU by itself, with the band that this is told in."""
    name, tokens = RUNTIMES.get(need.runtime, need.runtime), held.tokens
    if not held.starts:
        return f"{name} itself would not start so: {held.message}"
    between = f"{_about(tokens.low)} to {_about(tokens.high)}"
    return (
        f"{name} itself will make a KV cache of {gib(max(held.pool.likely, 0))} on each GPU: about "
        f"{_about(tokens.likely)} tokens ({between}), surely {_sequences(held.sequences)} of {need.context_tokens:,}."
    )


def _about(tokens: int) -> str:
    """Return three digits of a number: the others are not known."""
    step = 10 ** max(len(str(max(tokens, 0))) - 3, 0)
    return f"{max(tokens, 0) // step * step:,}"


def _sequences(count: int) -> str:
    return f"{count or 'no'} sequence" if count in (0, 1) else f"{count:,} sequences"
