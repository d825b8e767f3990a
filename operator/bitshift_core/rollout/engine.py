"""An engine's arguments, both ways: written for a release, read from a stable pod.

Arguments are structure, so a user's `extraArgs` can be held against them and a stable's can be understood.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..api.catalogue import Argument, ArgumentSource, RuntimeProfileSpec
from ..fit.engines import version_of
from .errors import SpecRefusedError

API_KEY_VALUE = "$(BITSHIFT_API_KEY)"
FIELDS: Mapping[ArgumentSource, str] = {
    ArgumentSource.MODEL_PATH: "the rung's `artifact`",
    ArgumentSource.CONTEXT_TOKENS: "`serving.contextTokens`",
    ArgumentSource.TOTAL_CONTEXT_TOKENS: "`serving.contextTokens` × `serving.concurrentSequences`",
    ArgumentSource.CONCURRENT_SEQUENCES: "`serving.concurrentSequences`",
    ArgumentSource.KV_CACHE_DTYPE: "`serving.kvCacheDtype`",
    ArgumentSource.GPUS_PER_REPLICA: "`serving.gpusPerReplica`",
    ArgumentSource.SERVED_MODEL_NAME: "`serving.servedModelName`",
    ArgumentSource.API_KEY_ENV: "`serving.apiKeySecret`",
    ArgumentSource.QUANTIZATION: "`serving.quantization`",
    ArgumentSource.DTYPE: "`serving.dtype`",
    ArgumentSource.BATCHED_TOKENS: "`serving.batchedTokens`",
    ArgumentSource.TENSOR_PARALLEL: "`serving.tensorParallel`",
    ArgumentSource.PIPELINE_PARALLEL: "`serving.pipelineParallel`",
    ArgumentSource.NODES_PER_REPLICA: "`serving.nodesPerReplica`",
    ArgumentSource.NODE_ROLE: "`serving.nodesPerReplica`",
    ArgumentSource.PREFIX_CACHING: "`serving.prefixCaching`",
    ArgumentSource.CHUNKED_PREFILL: "`serving.chunkedPrefill`",
    ArgumentSource.ATTENTION_BACKEND: "`serving.attentionBackend`",
    ArgumentSource.LINEAR_BACKEND: "`serving.linearBackend`",
    ArgumentSource.MOE_BACKEND: "`serving.moeBackend`",
    ArgumentSource.SPECULATIVE_METHOD: "`serving.speculative`",
    ArgumentSource.SPECULATIVE_TOKENS: "`serving.speculative`",
    ArgumentSource.SPECULATIVE_CONFIG: "`serving.speculative`",
    ArgumentSource.DRAFT_PATH: "`serving.speculative.draft`",
    ArgumentSource.LORA_MODULES: "`serving.adapters`",
    ArgumentSource.LORA_COUNT: "`serving.adapters`",
    ArgumentSource.LORA_RANK: "`serving.adapters`",
    ArgumentSource.TOOL_CALL_PARSER: "`serving.toolCallParser`",
    ArgumentSource.REASONING_PARSER: "`serving.reasoningParser`",
    ArgumentSource.CHAT_TEMPLATE_PATH: "`serving.chatTemplate`",
    ArgumentSource.GUIDED_DECODING_BACKEND: "`serving.guidedDecodingBackend`",
}
"""The field of a spec that each source is filled from."""
ONLY_WHERE_SET = frozenset(
    {
        ArgumentSource.PREFIX_CACHING,
        ArgumentSource.CHUNKED_PREFILL,
        ArgumentSource.SPECULATIVE_METHOD,
        ArgumentSource.SPECULATIVE_TOKENS,
        ArgumentSource.SPECULATIVE_CONFIG,
        ArgumentSource.DRAFT_PATH,
        ArgumentSource.LORA_MODULES,
        ArgumentSource.LORA_COUNT,
        ArgumentSource.LORA_RANK,
        ArgumentSource.ATTENTION_BACKEND,
        ArgumentSource.LINEAR_BACKEND,
        ArgumentSource.MOE_BACKEND,
        ArgumentSource.TOOL_CALL_PARSER,
        ArgumentSource.REASONING_PARSER,
        ArgumentSource.CHAT_TEMPLATE_PATH,
        ArgumentSource.GUIDED_DECODING_BACKEND,
    }
)
"""Nothing is sized or promised by these: while a field is unset, `extraArgs` may say more than the field could."""


@dataclass(frozen=True)
class EngineValues:
    """What the profile's arguments can be filled with; None leaves an argument out."""

    model_path: str
    served_model_name: str | None
    port: int
    context_tokens: int
    concurrent_sequences: int
    kv_cache_dtype: str | None
    gpus_per_replica: int
    has_api_key: bool
    options: Mapping[ArgumentSource, tuple[str, ...]] = field(default_factory=dict)
    """What else was asked for; what was not is not in it."""

    def values_of(self, source: ArgumentSource) -> tuple[str, ...]:
        """Return the words that belong behind a flag, none where the source is unset."""
        found: dict[ArgumentSource, object] = {
            ArgumentSource.MODEL_PATH: self.model_path,
            ArgumentSource.SERVED_MODEL_NAME: self.served_model_name,
            ArgumentSource.PORT: self.port,
            ArgumentSource.CONTEXT_TOKENS: self.context_tokens,
            ArgumentSource.TOTAL_CONTEXT_TOKENS: self.context_tokens * self.concurrent_sequences,
            ArgumentSource.CONCURRENT_SEQUENCES: self.concurrent_sequences,
            ArgumentSource.KV_CACHE_DTYPE: self.kv_cache_dtype,
            ArgumentSource.GPUS_PER_REPLICA: self.gpus_per_replica or None,
            ArgumentSource.API_KEY_ENV: API_KEY_VALUE if self.has_api_key else None,
        }
        value = found.get(source)
        return self.options.get(source, ()) if value is None else (str(value),)


def render_args(
    profile: RuntimeProfileSpec, values: EngineValues, extra: Sequence[str], version: str = ""
) -> tuple[str, ...]:
    """Return the container's arguments for an image of that version; an extra argument that contradicts is refused."""
    known = [argument for argument in profile.args if exists_in(argument, version)]
    for flag in flags_of(extra):
        owner = next((each for each in known if contradicts(flag, each) and _is_ours(each, values)), None)
        if owner is not None:
            raise SpecRefusedError("ExtraArgContradicts", _contradiction(flag, owner))
    return tuple(part for argument in known for part in _rendered(argument, values)) + tuple(extra)


def read_args(profile: RuntimeProfileSpec, args: Sequence[str]) -> dict[ArgumentSource, str]:
    """Return what a running container was started with, by what each flag means."""
    by_flag = dict(pairs_of(args))
    found: dict[ArgumentSource, str] = {}
    for argument in profile.args:
        if argument.source is ArgumentSource.VALUE:
            continue
        value = next((by_flag[flag] for flag in spellings(argument) if flag in by_flag), None)
        if value is None and argument.source is ArgumentSource.MODEL_PATH:
            value = _positional_path(args)
        if value is not None:
            found[argument.source] = value
    return found


def recognise(profiles: Mapping[str, RuntimeProfileSpec], image: str) -> str | None:
    """Return the profile whose engine an image holds; None when none or several claim it."""
    claims = [name for name, profile in profiles.items() if any(part in image for part in profile.image_substrings)]
    return claims[0] if len(claims) == 1 else None


def exists_in(argument: Argument, version: str) -> bool:
    """Return whether an engine of that version knows the argument; `latest` is taken for the newest."""
    found = version_of("", version)
    if not found:
        return argument.until is None
    after = argument.since is None or found >= _numbers(argument.since)
    return after and (argument.until is None or found < _numbers(argument.until))


def takes(profile: RuntimeProfileSpec, source: ArgumentSource, value: str, version: str = "") -> bool:
    """Return whether some argument of the profile is filled from a source, or says what a value of it comes to."""
    for argument in profile.args:
        if not exists_in(argument, version):
            continue
        if argument.source is source or (argument.when is source and argument.equals in (None, value)):
            return True
    return False


def spellings(argument: Argument) -> tuple[str, ...]:
    """Return every way to write an argument's flag."""
    return (argument.flag, *argument.aliases) if argument.flag else argument.aliases


def contradicts(flag: str, argument: Argument) -> bool:
    """Return whether an extra flag means an argument of ours: spelled otherwise, negated, or cut short.

    Most engines' parsers take `_` for `-`, `--no-x` for the opposite of `--x`, and any unambiguous beginning of a flag.
    """
    wanted = _plain(flag)
    ours = [_plain(each) for each in spellings(argument)]
    if wanted in ours or wanted.split(".", 1)[0] in ours:
        return True
    return len(wanted) > len("--xx") and any(each.startswith(wanted) for each in ours)


def flags_of(args: Iterable[str]) -> list[str]:
    """Return the flags among arguments, without their values."""
    return [arg.split("=", 1)[0] for arg in args if arg.startswith("-") and not _is_number(arg)]


def _plain(flag: str) -> str:
    """Return a flag without what parsers pass over: underscores, a negation."""
    if not flag.startswith("--"):
        return flag
    return f"--{flag.removeprefix('--').replace('_', '-').removeprefix('no-')}"


def _is_ours(argument: Argument, values: EngineValues) -> bool:
    """Return whether an argument is Bitshift's to set: always, or because it sets it now."""
    optional = argument.source in ONLY_WHERE_SET or argument.when in ONLY_WHERE_SET
    return not optional or bool(_rendered(argument, values))


def pairs_of(args: Sequence[str]) -> Iterable[tuple[str, str]]:
    """Yield each flag with what stands behind it, which is its value unless the flag is a switch."""
    for position, arg in enumerate(args):
        if "=" in arg and arg.startswith("-"):
            flag, value = arg.split("=", 1)
            yield flag, value
        elif arg.startswith("-"):
            following = args[position + 1] if position + 1 < len(args) else ""
            yield arg, following


def _positional_path(args: Sequence[str]) -> str | None:
    """Return the first path that belongs to no flag: `vllm serve /models/m` names its model so."""
    before = ("", *args)
    for previous, arg in zip(before, args, strict=False):
        if arg.startswith("/") and not _expects_value(previous) and not _is_program(previous, arg):
            return arg
    return None


def _expects_value(arg: str) -> bool:
    return arg.startswith("-") and "=" not in arg


def _is_program(previous: str, arg: str) -> bool:
    return not previous and ("/bin/" in arg or arg.endswith(".sh"))


def _rendered(argument: Argument, values: EngineValues) -> tuple[str, ...]:
    if argument.when is not None:
        condition = values.values_of(argument.when)
        if not condition or (argument.equals is not None and condition != (argument.equals,)):
            return ()
    words = values.values_of(argument.source)
    if argument.source is ArgumentSource.VALUE:
        words = () if argument.value is None else (argument.value,)
    elif not words:
        return ()
    if argument.separator is not None:
        words = (argument.separator.join(words),)
    return (argument.flag, *words) if argument.flag else words


def _contradiction(flag: str, owner: Argument) -> str:
    field_name = FIELDS.get(owner.when or owner.source) or FIELDS.get(owner.source)
    said = field_name or "the runtime profile"
    way_out = f"set {said} instead" if field_name else "use a RuntimeProfile of your own that says otherwise"
    return (
        f"`serving.extraArgs` must not set '{flag}': Bitshift sets '{owner.flag}' from {said}. "
        f"Leave the flag out and {way_out}."
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
