"""Which kernel runs a release's weights, KV cache and compute type on a GPU: native, slower, emulated, or none at all.

Here: the shape of `kernels.yaml`, the choice, its sentence. Not here: reading the file (it is data of this package,
parsed by who does I/O), what a node's GPUs are (`accelerators`), what follows for a rung (`plan`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field

from ..api.base import ApiObject
from .accelerators import Accelerator, capability_of
from .engines import version_of
from .need import Need
from .splits import Role, ShapeRule, fewer_gpus, straddling, untiled

Runs = Literal["native", "fallback", "emulation", "none", "unknown"]
Platform = Literal["cuda", "rocm", "cpu"]
PLATFORM_NAMES = {"cuda": "NVIDIA GPUs", "rocm": "AMD GPUs", "cpu": "CPUs"}
NO_KERNEL = "NoKernel"
WORST_FIRST: tuple[Runs, ...] = ("none", "unknown", "emulation", "fallback", "native")
EXACT_KV_CACHES = frozenset({"", "auto", "float16", "bfloat16", "f16", "bf16", "f32"})
SCHEME_OF_ONLINE = {
    "fp8": "fp8",
    "fp8_per_tensor": "fp8",
    "fp8_per_channel": "fp8",
    "fp8_per_block": "fp8-block",
    "mxfp8": "modelopt/mxfp8",
    "nvfp4_per_token": "modelopt/nvfp4",
    "bitsandbytes": "bitsandbytes/nf4",
}
"""The scheme whose kernels run what an engine quantizes while it loads."""
SIXTEEN_BITS = {"half": "float16", "float16": "float16", "bfloat16": "bfloat16"}

Capability = Annotated[str, Field(pattern=r"^\d{1,2}\.\d$")]
Version = Annotated[str, Field(alias="from", pattern=r"^\d+(\.\d+)*$")]


class Line(ApiObject):
    """One kernel, the GPUs that it covers, and how the work runs there."""

    kernel: str
    runs: Runs
    at_least: Capability | None = None
    below: Capability | None = None
    families: tuple[str, ...] = ()
    """AMD instruction sets by their first letters: `gfx94` covers gfx942."""
    instructions: tuple[str, ...] = ()
    """What a CPU must be able to do, as node feature discovery names it."""
    note: str = ""

    def covers(self, accelerator: Accelerator) -> bool:
        """Return whether the line is about such a GPU; capabilities are numbers, so 12.0 is more than 9.0."""
        if self.families:
            return accelerator.family.startswith(self.families)
        if self.instructions:
            return set(self.instructions) <= (accelerator.instructions or frozenset())
        low, high = capability_of(self.at_least or ""), capability_of(self.below or "")
        if not (low or high):
            return True
        found = accelerator.capability or (0, 0)
        return (low is None or found >= low) and (high is None or found < high)


class Rule(ApiObject):
    """What runs some schemes from a version on, by platform; a platform that is absent is not known."""

    first_version: Version
    schemes: Annotated[tuple[str, ...], Field(min_length=1)]
    cuda: tuple[Line, ...] | None = None
    rocm: tuple[Line, ...] | None = None
    cpu: tuple[Line, ...] | None = None
    way_out: str = ""
    source: Annotated[str, Field(min_length=10)]

    def lines(self, platform: Platform) -> tuple[Line, ...] | None:
        """Return what is known of a platform; None for nothing, an empty answer for "nothing runs there"."""
        return {"cuda": self.cuda, "rocm": self.rocm, "cpu": self.cpu}[platform]

    @cached_property
    def version(self) -> tuple[int, ...]:
        """Return the first version as numbers."""
        return tuple(map(int, self.first_version.split(".")))


class EngineRules(ApiObject):
    """All rules of one engine, by what they are about."""

    checked_to: str = ""
    """The newest version that the rules were held against; empty where no version ever changed them."""
    weights: tuple[Rule, ...] = ()
    experts: tuple[Rule, ...] = ()
    """Where experts have kernels of their own."""
    shapes: tuple[ShapeRule, ...] = ()
    kv_cache: tuple[Rule, ...] = ()
    compute: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class Kernel:
    """What runs one part of the work, and why that is so."""

    name: str
    runs: Runs
    sentence: str = ""
    """Empty where nothing needs to be said: a native kernel of a version that was checked."""
    source: str = ""


@dataclass(frozen=True)
class KernelTable:
    """The parsed `kernels.yaml`."""

    engines: Mapping[str, EngineRules] = field(default_factory=dict)
    products: Mapping[str, str] = field(default_factory=dict)
    """What a GPU's name tells where labels do not: a compute capability or an AMD instruction set."""

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "KernelTable":
        """Return the table of a parsed `kernels.yaml`."""
        engines = {name: EngineRules.model_validate(rules) for name, rules in values.items() if name != "products"}
        return cls(engines, dict(values.get("products") or {}))

    def support(self, need: Need, accelerator: Accelerator) -> tuple[Kernel, ...]:
        """Return what runs a release on a GPU: its weights first, then what else has a kernel of its own."""
        rules = self.engines.get(need.runtime)
        if rules is None:
            sentence = f"Nothing is known of the kernels of {need.runtime}: whether it loads was not checked."
            return (Kernel("", "unknown", sentence),)
        asked = _Asked(need, accelerator, rules.checked_to, version_of(need.runtime, need.engine_version))
        scheme = scheme_of(need)
        weights = asked.kernel(rules.weights, scheme, f"{need.facts.scheme} weights")
        kernels = [asked.cut(weights, rules.shapes, scheme, "block")]
        if need.facts.experts and any(scheme in rule.schemes for rule in rules.experts):
            experts = asked.kernel(rules.experts, scheme, f"{need.facts.scheme} experts")
            kernels.append(asked.cut(experts, rules.shapes, scheme, "expert"))
        if (kind := need.kv_cache_dtype or "auto") not in EXACT_KV_CACHES and need.runtime == "vllm":
            kernels.append(asked.kernel(rules.kv_cache, kind, f"a KV cache in {kind}"))
        if dtype := compute_dtype_of(need):
            kernels.append(asked.kernel(rules.compute, dtype, f"{dtype.rpartition('/')[2]} as the compute type"))
        return tuple(kernels)


def worst(kernels: Iterable[Kernel]) -> Runs:
    """Return how the slowest part runs; one that does not load decides."""
    return min((kernel.runs for kernel in kernels), key=WORST_FIRST.index, default="native")


def sentences(kernels: Iterable[Kernel]) -> tuple[str, ...]:
    """Return what a person should know, each once; what does not load hides the rest."""
    kernels = tuple(kernels)
    refused = [kernel.sentence for kernel in kernels if kernel.runs == "none"]
    return tuple(dict.fromkeys(refused or [kernel.sentence for kernel in kernels if kernel.sentence]))


def scheme_of(need: Need) -> str:
    """Return the scheme as the rules name it, once loaded; a GGUF file is one, for its types mix in every file."""
    if need.facts.format == "gguf":
        return "gguf"
    return SCHEME_OF_ONLINE.get(need.quantization, need.facts.scheme)


def compute_dtype_of(need: Need) -> str:
    """Return `bfloat16` where it is asked for, `auto/bfloat16` where the checkpoint has it; '' where it cannot fail."""
    if need.runtime != "vllm" or need.facts.format == "gguf":
        return ""
    asked = SIXTEEN_BITS.get(need.dtype, need.dtype)
    if asked not in ("", "auto"):
        return asked if asked == "bfloat16" else ""
    kept = any(group.dtype == "BF16" for group in need.facts.tensors if group.role != "draft")
    return "auto/bfloat16" if kept else ""


@dataclass(frozen=True)
class _Asked:
    """One release on one GPU: what each of its questions has in common."""

    need: Need
    accelerator: Accelerator
    checked_to: str
    version: tuple[int, ...]

    @property
    def engine(self) -> str:
        tag = ".".join(map(str, self.version))
        return f"{self.need.runtime} {tag}" if tag else f"{self.need.runtime} of an unknown version"

    def kernel(self, rules: Sequence[Rule], scheme: str, what: str) -> Kernel:
        """Return the kernel for one part of the work; what no rule covers is said to be unknown."""
        known = sorted((rule for rule in rules if scheme in rule.schemes), key=lambda rule: rule.version)
        if not known:
            return Kernel("", "unknown", f"No rule says which kernel of {self.engine} runs {what}.")
        if not self.version:
            return self._of_any_version(known, what)
        reached = [rule for rule in known if rule.version <= self.version]
        if not reached:
            sentence = f"{what} were not checked with {self.engine}, only from {known[0].first_version} on."
            return Kernel("", "unknown", sentence[0].upper() + sentence[1:])
        found = self._by(reached[-1], what)
        return found if found.runs == "none" or not self._is_unchecked() else self._said_unchecked(found, what)

    def cut(self, found: Kernel, rules: Sequence[ShapeRule], scheme: str, role: Role) -> Kernel:
        """Return the kernel, or what is left where its matrices cannot be cut for so many GPUs."""
        reached = [rule for rule in rules if scheme in rule.schemes and rule.role == role]
        reached = sorted((r for r in reached if not self.version or r.version <= self.version), key=lambda r: r.version)
        if not reached or found.runs == "none":
            return found
        rule, what, gpus = reached[-1], f"{self.need.facts.scheme} weights", self.need.gpus_per_stage
        if rule.straddling and (torn := straddling(self.need, role)):
            part, group = torn
            why = f"{part.inputs:,} inputs of {part.name} on each of {gpus} GPUs are no whole groups of {group}"
            way_out = f"`serving.tensorParallel` {fewer_gpus(self.need, part, group)}"
            return self._instead(rule, rule.straddling, f"{what}: {why}", way_out)
        if rule.untiled and found.name.startswith("Marlin") and (odd := untiled(self.need, role)):
            why = f"{odd.inputs:,} × {odd.outputs:,} of {odd.name} on each GPU are no whole tiles of Marlin's"
            return self._instead(rule, rule.untiled, f"{what}: {why}", "another number of GPUs, or a newer version")
        return found

    def _instead(self, rule: ShapeRule, runs: Literal["none", "fallback"], why: str, way_out: str) -> Kernel:
        if runs == "none":
            sentence = f"{self.engine} does not load {why} ({rule.source}). Way out: {way_out}."
            return Kernel("", "none", sentence, rule.source)
        return Kernel(rule.kernel, runs, f"{self.engine} runs the slower path {rule.kernel} for {why}.", rule.source)

    def _of_any_version(self, known: Sequence[Rule], what: str) -> Kernel:
        """Return what every version does where they agree; else what the newest does, said to be a guess."""
        found = [self._by(rule, what) for rule in known]
        newest = found[-1]
        if len({(each.name, each.runs) for each in found}) == 1:
            return newest
        told = f" by {self.need.engine_version!r}" if self.need.engine_version else ""
        guess = "nothing" if newest.runs == "none" else newest.name
        sentence = (
            f"No version of {self.need.runtime} is known{told}: the newest would run {what} with {guess}. "
            f"{newest.sentence}"
        )
        return Kernel(newest.name, "unknown", sentence.strip(), newest.source)

    def _is_unchecked(self) -> bool:
        checked = version_of(self.need.runtime, self.checked_to)
        return bool(checked) and self.version[: len(checked)] > checked

    def _said_unchecked(self, found: Kernel, what: str) -> Kernel:
        note = f"{self.engine} is newer than the kernels that were checked (up to {self.checked_to})."
        return Kernel(found.name, found.runs, f"{found.sentence} {note}".strip(), found.source)

    def _by(self, rule: Rule, what: str) -> Kernel:
        lines, where = rule.lines(self.accelerator.platform), self.accelerator.words
        if lines is None:
            names = PLATFORM_NAMES[self.accelerator.platform]
            return Kernel("", "unknown", f"Which kernel of {self.engine} runs {what} on {names} is not known.")
        asking = next((line for line in lines if line.instructions), None)
        if asking and self.accelerator.platform == "cpu" and self.accelerator.instructions is None:
            return Kernel(asking.kernel, "unknown", self._unlabelled(asking, what), rule.source)
        if lines and self._needs_more_than_is_known(lines):
            sentence = f"{where} has no label that tells its compute capability: which kernel runs {what} is not known."
            return Kernel("", "unknown", sentence)
        line = next((line for line in lines if line.covers(self.accelerator)), None)
        if line is None or line.runs == "none":
            return Kernel("", "none", self._refusal(rule, lines, what), rule.source)
        return Kernel(line.kernel, line.runs, self._warning(rule, line, what), rule.source)

    def _needs_more_than_is_known(self, lines: Sequence[Line]) -> bool:
        asks = any(line.at_least or line.below for line in lines) and self.accelerator.capability is None
        asks_family = any(line.families for line in lines) and not self.accelerator.family
        return (asks and self.accelerator.platform == "cuda") or (asks_family and self.accelerator.platform == "rocm")

    def _unlabelled(self, line: Line, what: str) -> str:
        needs = " and ".join(line.instructions)
        return (
            f"{line.kernel} of {self.engine} runs {what} on CPUs with {needs} alone, and no node has the labels of "
            "node feature discovery that tell."
        )

    def _refusal(self, rule: Rule, lines: Sequence[Line], what: str) -> str:
        said = f"{self.engine} has no kernel for {what} on {self.accelerator.words}: it has {_where(lines)}"
        way_out = f" Way out: {rule.way_out}." if rule.way_out else ""
        return f"{said} (from {rule.first_version}; {rule.source}).{way_out}"

    def _warning(self, rule: Rule, line: Line, what: str) -> str:
        where = self.accelerator.words
        if line.runs == "native":
            return ""
        if line.runs == "unknown":
            return f"Whether {self.engine} runs {what} on {where} was not seen ({rule.source})."
        how = "runs the slower path" if line.runs == "fallback" else "emulates"
        return f"{self.engine} {how} {line.kernel} for {what} on {where}: {line.note or 'no native kernel'}."


def _where(lines: Sequence[Line]) -> str:
    """Return where else it runs: `some from 7.5 to below 10.0`."""
    running = [line for line in lines if line.runs != "none"]
    if not running:
        return "none for such hardware"
    if families := sorted({family for line in running for family in line.families}):
        return f"some for {', '.join(families)}"
    if instructions := sorted({each for line in running for each in line.instructions}):
        return f"some for CPUs with {', '.join(instructions)}"
    lows = sorted(filter(None, (capability_of(line.at_least or "") for line in running)))
    highs = [capability_of(line.below or "") for line in running]
    start = f"some from compute capability {_dotted(lows[0])}" if lows else "some"
    return start if None in highs else f"{start} to below {_dotted(max(filter(None, highs)))}"


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"
