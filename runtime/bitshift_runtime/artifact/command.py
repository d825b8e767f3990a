"""The verbs `facts` and `fetch`.

Here: options, exit codes, what is written where. Exit 0 of `facts` means that an answer was written, also a refusal;
`fetch` is an init container, so whatever keeps the file from being there ends non-zero.
"""

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from bitshift_core.artifact.adapter import AdapterFacts
from bitshift_core.artifact.errors import ArtifactError
from bitshift_core.artifact.facts import ArtifactFacts
from bitshift_runtime.cluster import patch_config_map, read_config_map, write_termination

from .adapter import inspect_adapter, is_adapter
from .credentials import Credentials
from .fetch import fetch as fetch_url
from .fetch_tree import LOCK, fetch_tree, locked
from .inspect import inspect
from .location import TREES, source_of, tree_of
from .oci import OciSource
from .progress import Printed
from .source import http_client
from .spans import SpanSource

FACTS_KEY, ADAPTER_KEY, ERROR_KEY, READ_AT_KEY = "facts.json", "adapter.json", "error.json", "readAt"
DIGEST = click.option("--digest", default="", help="sha256:… that the bytes must have.")


@click.command()
@click.option("--uri", required=True, help="pvc://CLAIM/PATH, https://…, hf://…, s3://… or oci://…")
@click.option("--mount", type=click.Path(path_type=Path), default=Path("/models"), help="Where the claim is mounted.")
@click.option("--config-map", default="", help="ConfigMap to patch; none prints the facts.")
@click.option("--headers-only", is_flag=True, help="Read no more than sizing needs: no digests, no tokenizer.")
@DIGEST
def facts(uri: str, mount: Path, config_map: str, digest: str, headers_only: bool) -> None:
    """Read an artifact's headers and digests and report what it is."""
    try:
        found = read_facts(uri, mount, digest, last_pinned(config_map), headers_only=headers_only)
    except ArtifactError as error:
        _report(config_map, {FACTS_KEY: None, ADAPTER_KEY: None, ERROR_KEY: _refusal(error)})
        write_termination(_refusal(error))
        return
    key, other = (FACTS_KEY, ADAPTER_KEY) if isinstance(found, ArtifactFacts) else (ADAPTER_KEY, FACTS_KEY)
    _report(config_map, {key: found.model_dump_json(by_alias=True), other: None, ERROR_KEY: None})
    write_termination(json.dumps({"reason": "FactsRead", "message": summary(found)}))


@click.command()
@click.option("--uri", required=True, help="https://… of one file; hf://…, s3://… or oci://… of a model.")
@click.option(
    "--to", "target", required=True, type=click.Path(path_type=Path), help="Where the file or folder is to be."
)
@DIGEST
def fetch(uri: str, target: Path, digest: str) -> None:
    """Download a model, verified, before the engine starts."""
    credentials = Credentials.of(os.environ)
    try:
        with http_client() as client:
            if uri.partition("://")[0] in TREES:
                fetch_tree(tree_of(uri, client, credentials), target, digest, Printed())
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                with locked(target.parent / LOCK):
                    fetch_url(uri, target, digest, client, Printed(), credentials.http_token)
    except ArtifactError as error:
        write_termination(_refusal(error))
        sys.exit(1)
    message = f"{target.name} is there, held to all digests that are known of it."
    write_termination(json.dumps({"reason": "Fetched", "message": message}))


def read_facts(
    uri: str, mount: Path, digest: str, last: str = "", *, headers_only: bool = False
) -> ArtifactFacts | AdapterFacts:
    """Return the facts of the artifact; bytes that are not those asked for are refused.

    Over a network the bytes are not all read: the digest asked for, or promised there, stands in the facts and `fetch`
    holds the files to it. `last` is where the same address led when it was last read.
    """
    try:
        with http_client() as client:
            source = source_of(uri, mount, client, Credentials.of(os.environ))
            pinned = {"pinned_uri": source.pinned} if isinstance(source, SpanSource) else {}
            if is_adapter(source):
                return inspect_adapter(source, Printed()).model_copy(update=pinned)
            found = inspect(source, Printed(), headers_only=headers_only)
    except OSError as error:
        raise ArtifactError("ArtifactUnreadable", f"{uri} cannot be read: {error.strerror or error}.") from error
    if digest and found.weights_digest not in ("", digest):
        raise ArtifactError("DigestMismatch", f"{uri} has {found.weights_digest}, not {digest} as asked for.")
    mountable = isinstance(source, OciSource) and source.mountable
    told = {"weights_digest": found.weights_digest or digest, "mountable": mountable}
    return found.model_copy(update=pinned | told | {"moved": moved(uri, pinned.get("pinned_uri", ""), last)})


def moved(uri: str, pinned: str, last: str) -> str:
    """Return a sentence where an address came to mean other bytes than when it was last read; '' where it did not."""
    if not last or not pinned or last == pinned:
        return ""
    return f"{uri} is now {_version(pinned)}; it was {_version(last)} when it was last read."[:256]


def last_pinned(config_map: str) -> str:
    """Return where the address led when its facts were last read; '' when they were not."""
    if not config_map:
        return ""
    data = read_config_map(config_map)
    text = data.get(FACTS_KEY) or data.get(ADAPTER_KEY) or "{}"
    try:
        return str(json.loads(text).get("pinnedUri", ""))
    except (ValueError, AttributeError):
        return ""


def summary(found: ArtifactFacts | AdapterFacts) -> str:
    """Return the facts in one line."""
    if isinstance(found, AdapterFacts):
        return (
            f"A LoRA adapter of rank {found.rank} for '{found.base}', {found.layers} layers, {found.hidden_size} wide."
        )
    size_mib = sum(file.size_bytes for file in found.files) / (1 << 20)
    files = f"{len(found.files)} file{'' if len(found.files) == 1 else 's'}"
    told = f" {found.moved}" if found.moved else ""
    return (
        f"{found.architecture} {found.scheme} ({found.format}), {size_mib:.1f} MiB in {files}, {found.layers} layers, "
        f"vocabulary {found.vocab_size}, trained for {found.context_tokens} tokens.{told}"
    )


def _version(pinned: str) -> str:
    """Return the part of an address that tells its versions apart, short."""
    version = pinned.rpartition("#")[2] if "#" in pinned else pinned.rpartition("@")[2].partition("/")[0]
    return version.removeprefix("sha256:")[:12]


def _refusal(error: ArtifactError) -> str:
    return json.dumps({"reason": error.reason, "message": str(error)[:2048]})


def _report(config_map: str, data: dict[str, str | None]) -> None:
    if config_map:
        patch_config_map(config_map, {**data, READ_AT_KEY: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")})
    else:
        print(next(text for key, text in data.items() if text and key != READ_AT_KEY))
