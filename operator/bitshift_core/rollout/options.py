"""What a spec says of an engine beyond the basics, as the words that its arguments are filled with.

Here: fields → words, and the refusal of a field that a runtime has no argument for. Not here: what an artifact forbids
(`rollout.agreement`), how an argument is written (`rollout.engine`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..api.catalogue import ArgumentSource, RuntimeProfileSpec
from ..api.v1alpha1 import Serving
from .agreement import Parallelism
from .engine import FIELDS, takes
from .errors import SpecRefusedError

Options = Mapping[ArgumentSource, tuple[str, ...]]
CHAT_TEMPLATE_DIRECTORY = "/chat-template"
CHAT_TEMPLATE_PATH = f"{CHAT_TEMPLATE_DIRECTORY}/chat_template.jinja"


@dataclass(frozen=True)
class Placed:
    """An artifact besides the model as the engine's container sees it: a draft, or an adapter with its rank."""

    name: str
    """Of the adapter; '' for the draft."""
    path: str
    rank: int = 0


def options_of(
    asked: Serving, profile: RuntimeProfileSpec, placed: Sequence[Placed], spread: Parallelism, *, on_gpus: bool
) -> Options:
    """Return the words of everything that was asked for; what was not is left to the engine."""
    words: dict[ArgumentSource, object] = {
        **_plain_fields(asked),
        ArgumentSource.TENSOR_PARALLEL: spread.tensor if on_gpus or spread.tensor > 1 else None,
        ArgumentSource.PIPELINE_PARALLEL: spread.pipeline if spread.pipeline > 1 else None,
        ArgumentSource.NODES_PER_REPLICA: spread.nodes if spread.nodes > 1 else None,
        ArgumentSource.CHAT_TEMPLATE_PATH: CHAT_TEMPLATE_PATH if asked.chat_template else None,
    }
    found = {source: (str(value),) for source, value in words.items() if value is not None}
    adapters = [each for each in placed if each.name]
    draft = next((each.path for each in placed if not each.name), None)
    return found | _speculative(asked, draft) | _adapters(adapters, profile)


def check_served(runtime: str, profile: RuntimeProfileSpec, asked: Serving, spread: Parallelism, version: str) -> None:
    """Refuse a field that the runtime has no argument for: leaving it out in silence would break a promise."""
    explicit: dict[ArgumentSource, object] = {
        **_plain_fields(asked),
        ArgumentSource.KV_CACHE_DTYPE: asked.kv_cache_dtype,
        ArgumentSource.SERVED_MODEL_NAME: asked.served_model_name,
        ArgumentSource.TENSOR_PARALLEL: asked.tensor_parallel if (asked.tensor_parallel or 1) > 1 else None,
        ArgumentSource.PIPELINE_PARALLEL: spread.pipeline if spread.pipeline > 1 else None,
        ArgumentSource.CHAT_TEMPLATE_PATH: CHAT_TEMPLATE_PATH if asked.chat_template else None,
    }
    _check_spans(runtime, profile, spread.nodes, version)
    for source, value in explicit.items():
        if value is not None and not takes(profile, source, str(value), version):
            raise _not_served(runtime, FIELDS[source], str(value))
    if asked.adapters and not takes(profile, ArgumentSource.LORA_MODULES, "", version):
        raise _not_served(runtime, "`serving.adapters`", "given")
    if asked.speculative:
        _check_speculative(runtime, profile, asked, version)


def _check_spans(runtime: str, profile: RuntimeProfileSpec, nodes: int, version: str) -> None:
    """Refuse several nodes for an engine, or a version of it, that cannot be told of them."""
    if nodes > 1 and not takes(profile, ArgumentSource.NODES_PER_REPLICA, str(nodes), version):
        raise SpecRefusedError(
            "MultiNodeNotServed",
            f"`serving.nodesPerReplica` is {nodes}, but runtime '{runtime}' has no argument by which the image's "
            f"version '{version}' spans nodes: set it to 1, choose a smaller artifact, or name another `runtime` or a "
            "newer `serving.image`.",
        )


def _check_speculative(runtime: str, profile: RuntimeProfileSpec, asked: Serving, version: str) -> None:
    assert asked.speculative is not None
    if takes(profile, ArgumentSource.SPECULATIVE_CONFIG, "", version):
        return
    method = asked.speculative.method
    if not takes(profile, ArgumentSource.SPECULATIVE_METHOD, method, version):
        raise _not_served(runtime, "`serving.speculative.method`", method)
    if asked.speculative.draft and not takes(profile, ArgumentSource.DRAFT_PATH, "", version):
        raise _not_served(runtime, "`serving.speculative.draft`", "given")


def _plain_fields(asked: Serving) -> dict[ArgumentSource, object]:
    return {
        ArgumentSource.QUANTIZATION: asked.quantization,
        ArgumentSource.DTYPE: asked.dtype,
        ArgumentSource.BATCHED_TOKENS: asked.batched_tokens,
        ArgumentSource.PREFIX_CACHING: asked.prefix_caching,
        ArgumentSource.CHUNKED_PREFILL: asked.chunked_prefill,
        ArgumentSource.ATTENTION_BACKEND: asked.attention_backend,
        ArgumentSource.LINEAR_BACKEND: asked.linear_backend,
        ArgumentSource.MOE_BACKEND: asked.moe_backend,
        ArgumentSource.TOOL_CALL_PARSER: asked.tool_call_parser,
        ArgumentSource.REASONING_PARSER: asked.reasoning_parser,
        ArgumentSource.GUIDED_DECODING_BACKEND: asked.guided_decoding_backend,
    }


def _speculative(asked: Serving, draft: str | None) -> dict[ArgumentSource, tuple[str, ...]]:
    if asked.speculative is None:
        return {}
    said = asked.speculative
    config: dict[str, object] = {"method": said.method, "num_speculative_tokens": said.tokens}
    config |= {"model": draft} if draft else {}
    config |= {"prompt_lookup_max": said.lookup_tokens} if said.lookup_tokens else {}
    words: dict[ArgumentSource, tuple[str, ...]] = {
        ArgumentSource.SPECULATIVE_METHOD: (said.method,),
        ArgumentSource.SPECULATIVE_TOKENS: (str(said.tokens),),
        ArgumentSource.SPECULATIVE_CONFIG: (json.dumps(config, sort_keys=True, separators=(",", ":")),),
    }
    return words | ({ArgumentSource.DRAFT_PATH: (draft,)} if draft else {})


def _adapters(adapters: Sequence[Placed], profile: RuntimeProfileSpec) -> dict[ArgumentSource, tuple[str, ...]]:
    if not adapters:
        return {}
    return {
        ArgumentSource.LORA_MODULES: tuple(f"{each.name}={each.path}" for each in adapters),
        ArgumentSource.LORA_COUNT: (str(len(adapters)),),
        ArgumentSource.LORA_RANK: (str(_room_for(max(each.rank for each in adapters), profile.lora_ranks)),),
    }


def _room_for(rank: int, ranks: Sequence[int]) -> int:
    """Return the smallest room that holds the rank; one that no room holds is refused before (`agreement`)."""
    return next((each for each in sorted(ranks) if each >= rank), rank)


def _not_served(runtime: str, field_name: str, value: str) -> SpecRefusedError:
    said = value if value == "given" else repr(value)
    return SpecRefusedError(
        "NotServedByRuntime",
        f"{field_name} is {said}, but runtime '{runtime}' has no argument for it: leave it out, say it in "
        "`serving.extraArgs` where the engine has a way of its own, or name another `runtime`.",
    )
