"""From a source to facts: which files make the artifact, each header read once.

Here: layouts (one GGUF, a split one, one safetensors file, a sharded checkpoint, PyTorch's own files, a configuration
alone). Not here: formats (`bitshift_core`).
"""

import re
from collections.abc import Sequence

from bitshift_core.artifact.checkpoint import Beside, facts_from_checkpoint, facts_from_config
from bitshift_core.artifact.config import MAX_CONFIG_BYTES, ModelConfig, read_config
from bitshift_core.artifact.errors import ArtifactError, unsupported
from bitshift_core.artifact.facts import MAX_FILES, MAX_NOTES, ArtifactFacts, FileFact
from bitshift_core.artifact.gguf_model import facts_from_gguf
from bitshift_core.artifact.safetensors import check_shards, shards_of_index

from .choice import BIN, BIN_INDEX
from .headers import gguf_headers, safetensors_headers, sizes_of
from .source import Progress, Source

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
CONFIG = "config.json"
OTHER_SIZE_PERCENT = 5
"""How far files may be from what config.json describes before that is told: names and alignment take less."""
MAX_INDEX_BYTES, MAX_BESIDE_BYTES = 32 << 20, 64 << 20
_SPLIT = re.compile(r"^(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$")


def inspect(source: Source, progress: Progress, *, headers_only: bool = False) -> ArtifactFacts:
    """Return the artifact's facts; what is wrong with it is an `ArtifactError`.

    With `headers_only` they are what sizing needs: weights are not digested, and the tokenizer is not looked at.
    """
    entry = source.entry or _entry_of_folder(source, headers_only=headers_only)
    if entry.endswith(".gguf"):
        return _inspect_gguf(source, _parts(entry), progress, headers_only)
    if entry.endswith((".safetensors", ".safetensors.index.json")):
        return _inspect_checkpoint(source, entry, progress, headers_only)
    if entry in (BIN, BIN_INDEX):
        return _inspect_without_headers(source, entry, progress, headers_only)
    if entry == CONFIG and headers_only:
        return _inspect_config(source)
    raise unsupported(f"{entry!r} is neither GGUF nor safetensors; other formats are not read.")


def _entry_of_folder(source: Source, *, headers_only: bool) -> str:
    """Return the file to begin with: a checkpoint's index, its one file, the only GGUF model, or what is left.

    A configuration alone is enough to size what will be made of it, but nothing that could be served.
    """
    for name in (INDEX, SINGLE):
        if source.size(name) is not None:
            return name
    models = [name for name in source.names() or () if name.endswith(".gguf") and not name.startswith("mmproj")]
    first = [name for name in models if not (split := _SPLIT.match(name)) or int(split["number"]) == 1]
    if len(first) == 1:
        return first[0]
    if first:
        raise ArtifactError(
            "AmbiguousArtifact", f"The folder holds {len(first)} GGUF models; name one: {', '.join(first[:5])}."
        )
    for other in (BIN_INDEX, BIN, CONFIG) if headers_only else (BIN_INDEX, BIN):
        if source.size(other) is not None:
            return other
    raise ArtifactError("ArtifactNotFound", f"The folder holds neither {INDEX}, nor {SINGLE}, nor a GGUF file.")


def _parts(entry: str) -> tuple[str, ...]:
    split = _SPLIT.match(entry)
    if not split:
        return (entry,)
    count = int(split["count"])
    if not 0 < count <= MAX_FILES:
        raise unsupported(f"{entry} claims {count} parts; at most {MAX_FILES} are read.")
    return tuple(f"{split['stem']}-{number:05d}-of-{count:05d}.gguf" for number in range(1, count + 1))


def _inspect_gguf(source: Source, names: Sequence[str], progress: Progress, headers_only: bool) -> ArtifactFacts:
    sizes = _sizes(source, names, progress)
    headers = gguf_headers(source, names, sizes, progress)
    return facts_from_gguf(headers, _file_facts(source, names, sizes, progress, headers_only))


def _inspect_checkpoint(source: Source, entry: str, progress: Progress, headers_only: bool) -> ArtifactFacts:
    config = _config(source)
    is_index = entry.endswith(".json")
    weight_map = shards_of_index(_required(source, entry, MAX_INDEX_BYTES), entry) if is_index else {}
    names = tuple(sorted(set(weight_map.values()))) or (entry,)
    sizes = _sizes(source, names, progress)
    headers = safetensors_headers(source, names, sizes, progress)
    check_shards(weight_map, headers)
    beside = Beside() if headers_only else _files_beside(source)
    files = _file_facts(source, names, sizes, progress, headers_only)
    return facts_from_checkpoint(config, tuple(headers.values()), files, beside)


def _inspect_without_headers(source: Source, entry: str, progress: Progress, headers_only: bool) -> ArtifactFacts:
    """Return the facts of PyTorch's own files: they are programs, which only who trusts them should run."""
    config = _config(source)
    index = shards_of_index(_required(source, entry, MAX_INDEX_BYTES), entry) if entry == BIN_INDEX else {}
    names = tuple(sorted(set(index.values()))) or (entry,)
    sizes = _sizes(source, names, progress)
    beside = Beside() if headers_only else _files_beside(source)
    facts = facts_from_config(config, _file_facts(source, names, sizes, progress, headers_only), beside)
    return facts.model_copy(update={"notes": (*facts.notes, *_of_another_size(facts, sum(sizes)))[:MAX_NOTES]})


def _inspect_config(source: Source) -> ArtifactFacts:
    """Return the facts of a model that has no weights yet."""
    file = FileFact(name=CONFIG, size_bytes=source.size(CONFIG) or 0)
    facts = facts_from_config(_config(source), (file,), Beside())
    return facts.model_copy(update={"notes": (*facts.notes, "There are no weights beside config.json.")[:MAX_NOTES]})


def _of_another_size(facts: ArtifactFacts, file_bytes: int) -> tuple[str, ...]:
    described = sum(group.bytes for group in facts.tensors)
    if abs(file_bytes - described) * 100 <= OTHER_SIZE_PERCENT * described:
        return ()
    told = f"The files hold {file_bytes / (1 << 20):,.0f} MiB, config.json describes {described / (1 << 20):,.0f} MiB"
    return (f"{told}: one of them tells of more than the other.",)


def _config(source: Source) -> ModelConfig:
    quantization = _beside(source, "hf_quant_config.json", MAX_CONFIG_BYTES)
    return read_config(_required(source, CONFIG, MAX_CONFIG_BYTES), quantization)


def _files_beside(source: Source) -> Beside:
    return Beside(
        tokenizer_json=_beside(source, "tokenizer.json"),
        tokenizer_model=_beside(source, "tokenizer.model"),
        tokenizer_config=_beside(source, "tokenizer_config.json"),
        chat_template=_beside(source, "chat_template.jinja"),
    )


def _sizes(source: Source, names: Sequence[str], progress: Progress) -> tuple[int, ...]:
    sizes = dict(zip(names, sizes_of(source, names, progress), strict=True))
    missing = [name for name, size in sizes.items() if size is None]
    if missing and len(names) == 1:
        raise ArtifactError("ArtifactNotFound", f"There is no {missing[0]}.")
    if missing:
        raise ArtifactError("MissingShard", f"{len(missing)} of {len(names)} files are missing, {missing[0]} first.")
    return tuple(size for size in sizes.values() if size is not None)


def _file_facts(
    source: Source, names: Sequence[str], sizes: Sequence[int], progress: Progress, headers_only: bool
) -> tuple[FileFact, ...]:
    """Return the files with their digests: last, because a broken header should not wait for gigabytes."""
    too_long = [name for name in names if len(name) > 96]
    if too_long:
        raise unsupported(f"The file name {too_long[0][:40]!r}… is longer than 96 characters.")
    return tuple(
        FileFact(name=name, size_bytes=size, sha256="" if headers_only else source.sha256(name, progress))
        for name, size in zip(names, sizes, strict=True)
    )


def _required(source: Source, name: str, limit_bytes: int) -> bytes:
    size = source.size(name)
    if size is None:
        raise ArtifactError("ArtifactNotFound", f"There is no {name} beside the weights.")
    if size > limit_bytes:
        raise unsupported(f"{name} has {size} bytes; at most {limit_bytes} are read.")
    return source.read(name, 0, size)


def _beside(source: Source, name: str, limit_bytes: int = MAX_BESIDE_BYTES) -> bytes:
    size = source.size(name)
    return source.read(name, 0, size) if size and size <= limit_bytes else b""
