"""Models in images: what buildah makes of a file that is copied into an empty one.

It is pushed by the protocol alone, since buildah itself compresses whatever it pushes (containers/buildah issue 3904).
"""

import shutil
from pathlib import Path

from e2e.cluster import Paths
from e2e.cluster.builder import buildah, signature_policy
from e2e.cluster.commands import run
from e2e.stores.registry import FILE, Registry
from e2e.stores.servers import Put

INSIDE = "weights"


def push_image(paths: Paths, registry: Registry, place: str, file: Path) -> Put:
    """Push an image of one layer with the model in a folder of it."""
    tool, policy, log = buildah(paths), signature_policy(paths), paths.log / "images.log"
    folder = registry.folder / "image"
    container = run(*tool, "from", *policy, "scratch", log=log).strip()
    try:
        run(*tool, "copy", container, file, f"/{INSIDE}/{FILE}", log=log)
        run(*tool, "commit", *policy, "--disable-compression", container, f"dir:{folder}", log=log)
        put = registry.push(f"images/{place}", folder)
    finally:
        run(*tool, "rm", container)
        shutil.rmtree(folder, ignore_errors=True)
    return Put(put.address, f"{put.pinned}/{INSIDE}")
