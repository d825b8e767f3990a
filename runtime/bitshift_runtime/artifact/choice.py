"""Which files of a folder make the model that an engine loads, so that nothing else is fetched or waited for.

Here: names. Not here: their bytes (`fetch_tree`), what they say (`inspect`).
"""

import re

from bitshift_core.artifact.errors import ArtifactError
from bitshift_core.artifact.safetensors import shards_of_index

from .source import Source

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
BIN_INDEX, BIN = "pytorch_model.bin.index.json", "pytorch_model.bin"
BESIDE = (".json", ".jinja", ".model", ".txt", ".tiktoken", ".py")
"""Configuration, tokenizer and code beside the weights; other weights' formats are left where they are."""
_SPLIT = re.compile(r"^(?P<stem>.+)-\d{5}-of-(?P<count>\d{5})\.gguf$")


def wanted(source: Source) -> tuple[str, ...]:
    """Return the files of a model: its weights first, in order."""
    names = source.names() or ()
    weights = weights_of(source)
    if weights and weights[0].endswith(".gguf"):
        return weights
    beside = tuple(name for name in names if name.endswith(BESIDE))
    return (*weights, *(name for name in beside if name not in weights))


def weights_of(source: Source) -> tuple[str, ...]:
    """Return the files that hold a model's weights: one GGUF with its parts, or the shards that the index lists."""
    names = source.names() or ()
    ggufs = tuple(name for name in names if name.endswith(".gguf") and not name.startswith("mmproj"))
    if source.entry.endswith(".gguf"):
        return _parts(source.entry, ggufs)
    index = source.entry if source.entry.endswith(".index.json") else INDEX
    if index in names:
        shards = shards_of_index(source.read(index, 0, source.size(index) or 0), index)
        return tuple(sorted(set(shards.values())))
    if source.entry.endswith(".safetensors"):
        return (source.entry,)
    if SINGLE in names:
        return (SINGLE,)
    adapters = tuple(name for name in names if name.endswith(".safetensors"))
    if adapters or not ggufs:
        return adapters or _pickled(source, names)
    first = _parts(ggufs[0], ggufs)
    if len(first) < len(ggufs):
        raise ArtifactError(
            "AmbiguousArtifact", f"The folder holds {len(ggufs)} GGUF files; name one: {', '.join(ggufs[:5])}."
        )
    return first


def _pickled(source: Source, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return PyTorch's own files, which engines load where there are no others."""
    if BIN_INDEX in names:
        shards = shards_of_index(source.read(BIN_INDEX, 0, source.size(BIN_INDEX) or 0), BIN_INDEX)
        return tuple(sorted(set(shards.values())))
    return (BIN,) if BIN in names else ()


def _parts(entry: str, ggufs: tuple[str, ...]) -> tuple[str, ...]:
    split = _SPLIT.match(entry)
    if not split:
        return (entry,)
    return tuple(
        name
        for name in ggufs
        if (part := _SPLIT.match(name)) and (part["stem"], part["count"]) == (split["stem"], split["count"])
    )
