"""Which modules of a model are quantized, and how: a `quantization_config` as an answer for each module's name.

Here: methods' words for "all but these". Not here: layouts (`packing`), the modules themselves (`blueprint`).
Sources: transformers `quantizers/`, vLLM `model_executor/layers/quantization/` (is_layer_skipped, should_ignore_layer).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from .errors import unsupported
from .packing import Packing
from .schemes import scheme_of

MAX_PATTERNS = 64
MAX_PATTERN_CHARACTERS = 256
LEFT_ALONE_KEYS = ("ignore", "modules_to_not_convert", "exclude_modules", "ignored_layers", "llm_int8_skip_modules")
ALWAYS_PLAIN = frozenset({"lm_head", "embed_tokens"})
"""What stays in 16 bits unless a method names it: vLLM's documentation of every method says so."""
_STEP = re.compile(r"\.\*|\\d\+|\\?.")
_SAFE = re.compile(r"^\^?(?:\.\*|\\d\+|\\[.\d]|[\w\-./])*\$?$")
_GROUP = re.compile(r"\(([\w.|\-]+)\)")


@dataclass(frozen=True)
class Recipe:
    """What each module becomes: the first entry of `packings` that names it, the plain one where it is left alone."""

    plain: Packing
    packings: tuple[tuple["Names", Packing], ...]
    left_alone: "Names"
    notes: tuple[str, ...] = ()

    def packing_of(self, module: str) -> Packing:
        """Return how the module's matrix is stored."""
        if self.left_alone.include(module):
            return self.plain
        found = next((packing for names, packing in self.packings if names.include(module)), self.plain)
        return self.plain if ALWAYS_PLAIN & set(module.split(".")) and not self.names_itself(module) else found

    def names_itself(self, module: str) -> bool:
        """Return whether a target names the module itself, which is how a quantized output layer is asked for."""
        return any(module in names.literal for names, _ in self.packings)


@dataclass(frozen=True)
class Names:
    """A set of modules: by name or part of one, by shell pattern, or all."""

    everything: bool = False
    literal: frozenset[str] = frozenset()
    globs: tuple[str, ...] = ()
    refused: tuple[str, ...] = field(default=(), compare=False)

    def include(self, module: str) -> bool:
        """Return whether the module is one of them."""
        if self.everything:
            return True
        if self.literal:
            parts = module.split(".")
            spans = ((start, end) for start in range(len(parts)) for end in range(start + 1, len(parts) + 1))
            if any(".".join(parts[start:end]) in self.literal for start, end in spans):
                return True
        return any(fnmatchcase(module, glob) for glob in self.globs)


def recipe_of(quantization: Mapping[str, Any], dtype: str) -> Recipe:
    """Return the recipe; a layout that is not known is refused: without headers nothing tells its size."""
    plain = Packing(dtype=dtype)
    if not quantization:
        return Recipe(plain, (), Names())
    packings = tuple(_packings(quantization, dtype))
    left_alone = _names(_left_alone(quantization))
    notes = tuple(f"The pattern {pattern[:60]!r} is not understood and ignored." for pattern in left_alone.refused[:4])
    return Recipe(plain, packings, left_alone, notes)


def _packings(quantization: Mapping[str, Any], dtype: str) -> Iterator[tuple[Names, Packing]]:
    """Yield what names modules of its own first, then what holds for the rest."""
    layers = quantization.get("quantized_layers")
    for name, settings in layers.items() if isinstance(layers, dict) else ():
        algorithm = settings.get("quant_algo") if isinstance(settings, dict) else None
        yield Names(literal=frozenset({str(name)})), _by_scheme(f"modelopt/{str(algorithm).lower()}", {}, dtype)
    groups = quantization.get("config_groups")
    for group in groups.values() if isinstance(groups, dict) else ():
        if isinstance(group, dict) and isinstance(group.get("weights"), dict):
            scheme = scheme_of({**quantization, "config_groups": {"only": group}})
            targets = group.get("targets")
            named = [target for target in targets if isinstance(target, str)] if isinstance(targets, list) else []
            everything = not named or any(target.startswith(("Linear", "re:.*$")) for target in named)
            names = Names(everything=True) if everything else _names(named)
            yield names, _by_scheme(scheme, group["weights"], dtype)
    scheme = scheme_of(quantization)
    if not isinstance(groups, dict) and "mixed" not in scheme:
        yield Names(everything=True), _by_scheme(scheme, quantization, dtype)


def _by_scheme(scheme: str, settings: Mapping[str, Any], dtype: str) -> Packing:
    bits = next((settings[key] for key in ("bits", "w_bit", "num_bits") if isinstance(settings.get(key), int)), 4)
    group = settings.get("group_size", settings.get("q_group_size"))
    group = max(group, 0) if isinstance(group, int) and not isinstance(group, bool) and group < 1 << 24 else 0
    name = scheme.rpartition("/")[2]
    if not 0 < bits <= 16:
        raise unsupported(f"The quantization {scheme!r} has {bits} bits.")
    match name.split("-")[0]:
        case "awq":
            return Packing("awq", dtype, bits, group or 128)
        case "gptq" | "auto" | "autoround":
            return Packing("gptq", dtype, bits, group)
        case "nvfp4" | "nvfp4a16" | "w4a16_nvfp4":
            return Packing("nvfp4", dtype, 4)
        case "mxfp4" | "mxfp4a16":
            return Packing("mxfp4", dtype, 4)
        case "mxfp8":
            return Packing("mxfp8", dtype, 8)
        case "nf4" | "int8" if scheme.startswith("bitsandbytes"):
            double = settings.get("bnb_4bit_use_double_quant", False) is True
            return Packing("bitsandbytes", dtype, 4 if name == "nf4" else 8, double=double)
        case "fp8" | "fp8a16" | "fbgemm_fp8" | "fp8_pb_wo" | "fp8_per_channel_per_token":
            block = settings.get("weight_block_size") or settings.get("block_structure")
            size = block[0] if isinstance(block, list) and block and isinstance(block[0], int) else 128
            return Packing("float8", "F32", 8, max(size, 1) if "block" in name or "pb" in name else 0)
        case "w8a8":
            return Packing("int8", dtype, 8)
    if name.startswith("w") and scheme.startswith("compressed-tensors/"):
        return Packing("compressed", dtype, bits, group, has_zeros=settings.get("symmetric") is False)
    raise unsupported(f"Nothing tells how {scheme!r} stores its matrices; give an artifact with safetensors headers.")


def _left_alone(quantization: Mapping[str, Any]) -> list[str]:
    lists = [value for key in LEFT_ALONE_KEYS if isinstance(value := quantization.get(key), list)]
    named = [name for names in lists for name in names if isinstance(name, str)]
    per_module = quantization.get("extra_config")
    for name, settings in per_module.items() if isinstance(per_module, dict) else ():
        if isinstance(settings, dict) and settings.get("bits") == 16:
            named.append(str(name))
    dynamic = quantization.get("dynamic")
    named += [f"re:{name[2:]}" for name in dynamic if str(name).startswith("-:")] if isinstance(dynamic, dict) else []
    return named


def _names(patterns: list[str]) -> Names:
    """Return the set; of regular expressions only what shell patterns can say, so that none can run for ever."""
    literal = {pattern for pattern in patterns if not pattern.startswith("re:") and "*" not in pattern}
    globs: list[str] = []
    refused: list[str] = []
    for pattern in patterns:
        if pattern.startswith("re:"):
            translated = tuple(_globs(pattern.removeprefix("re:")))
            globs += translated
            refused += [] if translated else [pattern]
        elif "*" in pattern:
            globs.append(pattern)
    return Names(False, frozenset(literal), tuple(globs[:MAX_PATTERNS]), (*refused, *globs[MAX_PATTERNS:]))


def _globs(expression: str) -> Iterator[str]:
    """Yield shell patterns that say the same; nothing where it is no mere chain of words, `.*` and one choice."""
    choice = _GROUP.search(expression)
    words = choice[1].split("|") if choice else [""]
    for word in words[:MAX_PATTERNS]:
        plain = expression.replace(choice[0], word, 1) if choice else expression
        if len(plain) > MAX_PATTERN_CHARACTERS or plain.count("*") > 4 or not _SAFE.match(plain):
            return
        end = "" if plain.endswith("$") else "*"
        steps = _STEP.findall(plain.strip("^$"))
        yield "".join("*" if step in (".*", "\\d+", "\\d") else step.removeprefix("\\") for step in steps) + end
