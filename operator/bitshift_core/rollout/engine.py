"""An engine's arguments, both ways: written for a release, read from a stable pod.

Arguments are structure, so a user's `extraArgs` can be held against them and a stable's can be understood.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..api.catalogue import Argument, ArgumentSource, RuntimeProfileSpec
from .errors import SpecRefusedError

API_KEY_VALUE = "$(BITSHIFT_API_KEY)"


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

    def value_of(self, source: ArgumentSource) -> str | None:
        """Return the text that belongs behind a flag."""
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
        return None if value is None else str(value)


def render_args(profile: RuntimeProfileSpec, values: EngineValues, extra: Sequence[str]) -> tuple[str, ...]:
    """Return the container's arguments; an extra argument that the profile sets is refused."""
    for flag in flags_of(extra):
        owner = next((argument for argument in profile.args if flag in spellings(argument)), None)
        if owner is not None:
            raise SpecRefusedError(
                "ExtraArgContradicts",
                f"`serving.extraArgs` must not set '{flag}': Bitshift sets '{owner.flag}' from {_said(owner)}.",
            )
    return tuple(part for argument in profile.args for part in _rendered(argument, values)) + tuple(extra)


def read_args(profile: RuntimeProfileSpec, args: Sequence[str]) -> dict[ArgumentSource, str]:
    """Return what a running container was started with, by what each flag means."""
    by_flag = dict(_pairs(args))
    found: dict[ArgumentSource, str] = {}
    for argument in profile.args:
        value = next((by_flag[flag] for flag in spellings(argument) if flag in by_flag), None)
        if value is not None and argument.source is not ArgumentSource.VALUE:
            found[argument.source] = value
    return found


def recognise(profiles: Mapping[str, RuntimeProfileSpec], image: str) -> str | None:
    """Return the profile whose engine an image holds; None when none or several claim it."""
    claims = [name for name, profile in profiles.items() if any(part in image for part in profile.image_substrings)]
    return claims[0] if len(claims) == 1 else None


def spellings(argument: Argument) -> tuple[str, ...]:
    """Return every way to write an argument's flag."""
    return (argument.flag, *argument.aliases)


def flags_of(args: Iterable[str]) -> list[str]:
    """Return the flags among arguments, without their values."""
    return [arg.split("=", 1)[0] for arg in args if arg.startswith("-") and not _is_number(arg)]


def _pairs(args: Sequence[str]) -> Iterable[tuple[str, str]]:
    for position, arg in enumerate(args):
        if "=" in arg and arg.startswith("-"):
            flag, value = arg.split("=", 1)
            yield flag, value
        elif arg.startswith("-"):
            following = args[position + 1] if position + 1 < len(args) else ""
            yield arg, following


def _rendered(argument: Argument, values: EngineValues) -> tuple[str, ...]:
    if argument.source is ArgumentSource.VALUE:
        return (argument.flag,) if argument.value is None else (argument.flag, argument.value)
    value = values.value_of(argument.source)
    return () if value is None else (argument.flag, value)


def _said(argument: Argument) -> str:
    fields = {
        ArgumentSource.CONTEXT_TOKENS: "`serving.contextTokens`",
        ArgumentSource.TOTAL_CONTEXT_TOKENS: "`serving.contextTokens` × `serving.concurrentSequences`",
        ArgumentSource.CONCURRENT_SEQUENCES: "`serving.concurrentSequences`",
        ArgumentSource.KV_CACHE_DTYPE: "`serving.kvCacheDtype`",
        ArgumentSource.GPUS_PER_REPLICA: "`serving.gpusPerReplica`",
        ArgumentSource.SERVED_MODEL_NAME: "`serving.servedModelName`",
        ArgumentSource.API_KEY_ENV: "`serving.apiKeySecret`",
    }
    return fields.get(argument.source, "the runtime profile")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
