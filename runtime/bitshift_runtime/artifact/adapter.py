"""A LoRA adapter's facts, read where it lies.

Here: its two files. Not here: what they mean (`bitshift_core.artifact.adapter`).
"""

from bitshift_core.artifact.adapter import CONFIG_FILE, WEIGHTS_FILE, AdapterFacts, adapter_facts
from bitshift_core.artifact.config import MAX_CONFIG_BYTES
from bitshift_core.artifact.errors import ArtifactError, unsupported
from bitshift_core.artifact.safetensors import read_safetensors_header

from .source import Progress, Source


def is_adapter(source: Source) -> bool:
    """Return whether a folder holds an adapter and no model beside it."""
    return not source.entry and source.size(CONFIG_FILE) is not None and source.size("config.json") is None


def inspect_adapter(source: Source, progress: Progress) -> AdapterFacts:
    """Return the adapter's facts; what is wrong with it is an `ArtifactError`."""
    size, weights = source.size(CONFIG_FILE) or 0, source.size(WEIGHTS_FILE)
    if size > MAX_CONFIG_BYTES:
        raise unsupported(f"{CONFIG_FILE} has {size} bytes; at most {MAX_CONFIG_BYTES} are read.")
    if weights is None:
        raise ArtifactError("ArtifactNotFound", f"There is no {WEIGHTS_FILE} beside {CONFIG_FILE}.")
    header = read_safetensors_header(
        lambda offset, length: source.read(WEIGHTS_FILE, offset, length), weights, what=WEIGHTS_FILE
    )
    return adapter_facts(source.read(CONFIG_FILE, 0, size), header.tensors, source.sha256(WEIGHTS_FILE, progress))
