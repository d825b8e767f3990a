"""An artifact's URI as a source that can be read here."""

from pathlib import Path

import httpx

from bitshift_core.artifact.errors import ArtifactError

from .source import ClaimSource, HttpSource, Source

LOCAL = "of this machine"


def source_of(uri: str, mount: Path, client: httpx.Client) -> Source:
    """Return the source; what is not read yet is refused by name, with what is."""
    scheme, _, rest = uri.partition("://")
    if scheme == "pvc":
        claim, _, path = rest.partition("/")
        return ClaimSource(claim, path, mount)
    if scheme == "file":  # only what a person reads on their own machine: no spec can name it
        return ClaimSource(LOCAL, rest.lstrip("/"), Path("/"))
    if scheme in ("https", "http"):
        return HttpSource(uri, client)
    raise ArtifactError("UnsupportedSource", f"{scheme}:// is not read; use pvc://CLAIM/PATH or https://.")
