"""Digests that tell whether two artifacts mean the same text by the same tokens."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from .facts import FileFact


def sha256_of(data: bytes) -> str:
    """Return the digest as it is written everywhere: `sha256:` and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def text_digest(text: str) -> str:
    """Return the digest of a chat template, empty for none; the line end of a template's own file is not part of it."""
    template = text.replace("\r\n", "\n").rstrip("\n")
    return sha256_of(template.encode("utf-8", errors="replace")) if template else ""


def value_digest(value: Any) -> str:
    """Return the digest of a JSON value, however it was indented or ordered."""
    return sha256_of(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str).encode())


def tokenizer_digest(tokenizer: Mapping[str, Any]) -> str:
    """Return the digest of what a `tokenizer.json` turns text into; padding and truncation are the caller's habit."""
    model = tokenizer.get("model")
    parts = {key: tokenizer.get(key) for key in ("normalizer", "pre_tokenizer", "post_processor", "added_tokens")}
    parts["model"] = model | {"merges": _merges(model.get("merges"))} if isinstance(model, dict) else model
    return value_digest(parts)


def _merges(merges: object) -> object:
    """Return merges as strings: tokenizers 0.20 began to write pairs for the same thing."""
    if not isinstance(merges, list):
        return merges
    return [" ".join(map(str, merge)) if isinstance(merge, list) else merge for merge in merges]


def files_digest(files: Sequence[FileFact]) -> str:
    """Return the weights' digest: the file's own, or that of the sorted manifest; empty while any is unknown."""
    if any(not file.sha256 for file in files):
        return ""
    if len(files) == 1:
        return files[0].sha256
    lines = sorted(f"{file.sha256} {file.size_bytes} {file.name}\n" for file in files)
    return sha256_of("".join(lines).encode())
