"""Memory constants of engines by version: which band applies, and whether the version is one we know.

Here: the shape of `engines.yaml` and the choice. Not here: reading the file (it is data of this package, parsed by who
does I/O), using the numbers (`overhead`, `sums`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from ..api.base import ApiObject
from .units import MIB

_RELEASE = re.compile(r"(?:^|[^\d.])v?(\d{1,6}(?:\.\d{1,6}){1,3})")
UNTAGGED = (0, 1)
_MONTH = re.compile(r"(?:^|[^\d.])(20\d\d)[-/.]?([01]\d)(?!\d{3})|^(\d\d)\.([01]\d)(?:\.\d{1,2})?(?=-|$)")
"""A day or month in a tag: `nightly-2025-07-11`, and the `25.09-py3` of images that are named after theirs."""
FIRST_YEAR, MONTHS = 20, 12
_BUILD = re.compile(r"(?:^|-)b?(\d{3,6})$")


class Band(ApiObject):
    """What every engine's band has: where it starts, how far to trust it, and who says so."""

    first_version: Annotated[str, Field(alias="from", pattern=r"^\d+(\.\d+)*$")]
    released: Annotated[str, Field(pattern=r"^(20\d\d-[01]\d)?$")] = ""
    """The month of its first version, by which an image that only names a date is told; empty where none is kept."""
    margin_percent: Annotated[int, Field(ge=0, le=100)]
    margin_mib: Annotated[int, Field(ge=0)]
    weights_percent: Annotated[float, Field(ge=0, le=100)] = 0.2
    """The spread of weights as printed around those of a header; twice that where there was none."""
    profile_percent: Annotated[int, Field(ge=0, le=100)] = 10
    """The spread of all that only the engine's own profile tells."""
    unknown_margin_percent: Annotated[int, Field(ge=0, le=100)]
    unknown_margin_mib: Annotated[int, Field(ge=0)]
    source: Annotated[str, Field(min_length=10)]

    def margin_bytes(self, sum_bytes: int, *, is_known: bool) -> int:
        """Return what is kept free on top of a sum, more where the version is not known."""
        percent = self.margin_percent if is_known else self.unknown_margin_percent
        return sum_bytes * percent // 100 + (self.margin_mib if is_known else self.unknown_margin_mib) * MIB


class VllmBand(Band):
    """vLLM's overheads; see `overhead` for the formulas."""

    sampler_bytes_per_logit: Annotated[float, Field(gt=0)]
    """In 16 bits; logits of 32 bits take two more."""
    activation_base_mib: float
    hidden_copies: Annotated[float, Field(ge=0)]
    """Copies of a batch's hidden states that live through the whole profile."""
    tower_mib: int
    """What the profile of a vision or audio tower adds."""
    batch_follows_context: bool = False
    """Whether a whole context is profiled as one batch (V0 without chunked prefill)."""
    unstated_context: int = 131_072
    """What V0 is taken to profile where neither the engine's flags nor the model say how long a context is."""
    chunks_above_tokens: int = 0
    """From which context V0 chunks prefills after all; 0 for never."""
    expert_workspace_stays: bool = False
    """Whether experts' workspaces outlive their layer, so that the sampler's peak comes on top."""
    non_torch_mib: int
    non_torch_parallel_mib: int
    non_torch_host_mib: int = 230
    """On GPUs that reach each other through the host only."""
    non_torch_pipeline_mib: int = 0
    """Where only stages, not GPUs of a stage, talk to each other; 0 for `non_torch_mib`."""
    graph_base_mib: int
    graph_mib_per_layer: float
    expert_graph_mib: int
    """All three of 51 captured sizes; fewer take their share."""
    activations_outside_budget: bool = False
    """Whether the pool is taken before anything is profiled (SGLang)."""
    graphs_inside_budget: bool
    """Whether CUDA graphs are part of the memory budget, or captured out of what it leaves free."""
    largest_graph: int = 512
    counts_context: bool = False
    """Whether the CUDA context is measured as non-torch, and graphs take what the profile freed (V0)."""
    weights_extra_mib: int = 0
    """What newer runners hold besides weights when they print how much was loaded."""
    drops_zeros: bool = True
    """Whether GPTQ's zeros and order are gone after loading."""
    shares_pool: bool = True
    """Whether kinds of attention share one pool of pages."""
    state_blocks: int = 2
    prints_concurrency: bool = False
    """Whether `GPU KV cache size` means whole contexts, not pages by groups."""
    sequences: int = 256
    large_sequences: int = 256
    """vLLM's own `max_num_seqs`, and on cards from 70 GiB."""
    huge_batched_tokens: int = 0
    """vLLM's own `max_num_batched_tokens` on cards from 160 GiB; 0 where they are like any large one."""
    host_process_mib: int = 2_560
    """What the process takes of a host without GPUs; not measured yet."""
    memory_utilization_percent: Annotated[int, Field(ge=1, le=100)] = 90
    block_tokens: int = 16
    host_block_tokens: int = 128
    """On CPUs. Source: vLLM, `platforms/cpu.py`."""


class LlamaCppBand(Band):
    """llama.cpp's overheads; see `overhead` for the formulas."""

    output_rows_per_batch: int
    """Rows of logits that the compute buffer reserves; 0 where one for each sequence is enough."""
    attention_is_materialised: bool
    process_mib: int
    process_bytes_per_token: int
    """The tokenizer's tables, for each entry of the vocabulary."""
    batch_tokens: int = 512


@dataclass(frozen=True)
class Chosen:
    """The band that applies, and a sentence where the choice was a guess."""

    band: VllmBand | LlamaCppBand
    is_known: bool
    caveat: str = ""


@dataclass(frozen=True)
class EngineConstants:
    """All bands, each engine's in order of version."""

    vllm: tuple[VllmBand, ...]
    llamacpp: tuple[LlamaCppBand, ...]
    sglang: tuple[VllmBand, ...] = ()

    @classmethod
    def from_mapping(cls, values: Mapping[str, Sequence[Mapping[str, Any]]]) -> "EngineConstants":
        """Return the constants of a parsed `engines.yaml`."""
        vllm = sorted(map(VllmBand.model_validate, values["vllm"]), key=_first_version)
        llamacpp = sorted(map(LlamaCppBand.model_validate, values["llamacpp"]), key=_first_version)
        sglang = sorted(map(VllmBand.model_validate, values.get("sglang", ())), key=_first_version)
        return cls(tuple(vllm), tuple(llamacpp), tuple(sglang))

    def choose(self, runtime: str, version: str) -> Chosen:
        """Return the newest band that is not newer than the version; the newest of all where it cannot be told."""
        bands: tuple[VllmBand, ...] | tuple[LlamaCppBand, ...] = self.vllm
        if runtime in ("llamacpp", "sglang"):
            bands = self.llamacpp if runtime == "llamacpp" else self.sglang or self.vllm
        at_that_time = [band for band in bands if band.released and band.released <= month_of(version)]
        newest = (at_that_time or bands)[-1]
        if runtime not in ("vllm", "llamacpp", "sglang"):
            return Chosen(newest, False, f"Nothing was measured for {runtime}: sized like vLLM, with a wide margin.")
        parsed = version_of(runtime, version)
        if not parsed and at_that_time:
            of_then = f"{version!r} is a date: sized as {runtime} of then, {newest.first_version} or a little later"
            return Chosen(newest, False, f"{of_then}, with a wide margin.")
        if not parsed:
            told = f" by {version!r}" if version else ""
            return Chosen(newest, False, f"No version of {runtime} is known{told}: the margin is wide.")
        return Chosen([band for band in bands if _first_version(band) <= parsed][-1], True)


def version_of(runtime: str, tag: str) -> tuple[int, ...]:
    """Return the numbers of vLLM's `v0.10.1` or llama.cpp's build `server-b4719`; empty for `latest` and digests.

    `0.1.dev19754` is no 0.1 but a build of vLLM outside of any release, and `25.09` a month.
    """
    found = (_BUILD if runtime == "llamacpp" else _RELEASE).search("" if ":" in tag else tag.strip())
    numbers = tuple(map(int, found[1].split("."))) if found else ()
    is_date = runtime != "llamacpp" and bool(numbers) and numbers[0] >= FIRST_YEAR
    return () if numbers == UNTAGGED or is_date else numbers


def month_of(tag: str) -> str:
    """Return the month that a tag names, as `2025-09`; '' for none."""
    found = None if ":" in tag else _MONTH.search(tag.strip())
    if not found:
        return ""
    year, month = found[1] or f"20{found[3]}", found[2] or found[4]
    return f"{year}-{month}" if 1 <= int(month) <= MONTHS else ""


def _first_version(band: Band) -> tuple[int, ...]:
    return tuple(map(int, band.first_version.split(".")))
