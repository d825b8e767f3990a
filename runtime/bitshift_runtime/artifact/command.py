"""The verbs `facts` and `fetch`.

Here: options, exit codes, what is written where. Exit 0 of `facts` means that an answer was written, also a refusal;
`fetch` is an init container, so whatever keeps the file from being there ends non-zero.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from bitshift_core.artifact.errors import ArtifactError
from bitshift_core.artifact.facts import ArtifactFacts
from bitshift_runtime.cluster import patch_config_map, write_termination

from .fetch import fetch as fetch_file
from .inspect import inspect
from .location import source_of
from .progress import Printed
from .source import http_client

FACTS_KEY, ERROR_KEY, READ_AT_KEY = "facts.json", "error.json", "readAt"
DIGEST = click.option("--digest", default="", help="sha256:… that the bytes must have.")


@click.command()
@click.option("--uri", required=True, help="pvc://CLAIM/PATH or https://…")
@click.option("--mount", type=click.Path(path_type=Path), default=Path("/models"), help="Where the claim is mounted.")
@click.option("--config-map", default="", help="ConfigMap to patch; none prints the facts.")
@click.option("--headers-only", is_flag=True, help="Read no more than sizing needs: no digests, no tokenizer.")
@DIGEST
def facts(uri: str, mount: Path, config_map: str, digest: str, headers_only: bool) -> None:
    """Read an artifact's headers and digests and report what it is."""
    try:
        found = read_facts(uri, mount, digest, headers_only=headers_only)
    except ArtifactError as error:
        _report(config_map, {FACTS_KEY: None, ERROR_KEY: _refusal(error)})
        write_termination(_refusal(error))
        return
    _report(config_map, {FACTS_KEY: found.model_dump_json(by_alias=True), ERROR_KEY: None})
    write_termination(json.dumps({"reason": "FactsRead", "message": summary(found)}))


@click.command()
@click.option("--uri", required=True, help="https://… of one file.")
@click.option("--to", "target", required=True, type=click.Path(path_type=Path), help="Where the file is to be.")
@DIGEST
def fetch(uri: str, target: Path, digest: str) -> None:
    """Download one file, verified, before the engine starts."""
    try:
        with http_client() as client:
            fetch_file(uri, target, digest, client, Printed())
    except ArtifactError as error:
        write_termination(_refusal(error))
        sys.exit(1)
    write_termination(json.dumps({"reason": "Fetched", "message": f"{target.name} is there and verified."}))


def read_facts(uri: str, mount: Path, digest: str, *, headers_only: bool = False) -> ArtifactFacts:
    """Return the facts of the artifact; bytes that are not those asked for are refused.

    Over HTTP the bytes are not all read: the digest asked for stands in the facts and `fetch` holds the file to it.
    """
    try:
        with http_client() as client:
            found = inspect(source_of(uri, mount, client), Printed(), headers_only=headers_only)
    except OSError as error:
        raise ArtifactError("ArtifactUnreadable", f"{uri} cannot be read: {error.strerror or error}.") from error
    if digest and found.weights_digest not in ("", digest):
        raise ArtifactError("DigestMismatch", f"{uri} has {found.weights_digest}, not {digest} as asked for.")
    return found if found.weights_digest else found.model_copy(update={"weights_digest": digest})


def summary(found: ArtifactFacts) -> str:
    """Return the facts in one line."""
    size_mib = sum(file.size_bytes for file in found.files) / (1 << 20)
    files = f"{len(found.files)} file{'' if len(found.files) == 1 else 's'}"
    return (
        f"{found.architecture} {found.scheme} ({found.format}), {size_mib:.1f} MiB in {files}, {found.layers} layers, "
        f"vocabulary {found.vocab_size}, trained for {found.context_tokens} tokens."
    )


def _refusal(error: ArtifactError) -> str:
    return json.dumps({"reason": error.reason, "message": str(error)[:2048]})


def _report(config_map: str, data: dict[str, str | None]) -> None:
    if config_map:
        patch_config_map(config_map, {**data, READ_AT_KEY: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")})
    else:
        print(data[FACTS_KEY] or data[ERROR_KEY])
