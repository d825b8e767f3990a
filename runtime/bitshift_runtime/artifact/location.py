"""An artifact's URI as a source that can be read here."""

from pathlib import Path

import httpx

from bitshift_core.artifact.errors import ArtifactError

from .credentials import Credentials
from .hub import HubSource
from .oci import OciSource
from .s3 import S3Source
from .source import ClaimSource, HttpSource, Source
from .spans import SpanSource

TREES: dict[str, type[HubSource] | type[S3Source] | type[OciSource]] = {
    "hf": HubSource,
    "s3": S3Source,
    "oci": OciSource,
}
"""Sources of whole folders, by the scheme of their addresses."""
ANYBODY = Credentials()

LOCAL = "of this machine"


def source_of(uri: str, mount: Path, client: httpx.Client, credentials: Credentials = ANYBODY) -> Source:
    """Return the source; what is not read is refused by name, with what is."""
    scheme, _, rest = uri.partition("://")
    if scheme == "pvc":
        claim, _, path = rest.partition("/")
        return ClaimSource(claim, path, mount)
    if scheme == "file":  # only what a person reads on their own machine: no spec can name it
        return ClaimSource(LOCAL, rest.lstrip("/"), Path("/"))
    if scheme in ("https", "http"):
        return HttpSource(uri, client, credentials.http_token)
    return tree_of(uri, client, credentials)


def tree_of(uri: str, client: httpx.Client, credentials: Credentials) -> SpanSource:
    """Return the source of a folder that is fetched as a whole."""
    scheme = uri.partition("://")[0]
    if scheme in TREES:
        return TREES[scheme](uri, client, credentials)
    raise ArtifactError(
        "UnsupportedSource",
        f"{scheme}:// is not read; use pvc://CLAIM/PATH, https://, hf://ORG/NAME, s3://BUCKET/PREFIX or oci://…",
    )
