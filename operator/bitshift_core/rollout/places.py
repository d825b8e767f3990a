"""Where artifacts lie in a release's pods, and how they get there.

Here: URIs → volumes and paths. Not here: fetching (`bitshift_runtime.artifact`), manifests (`resources.deployment`).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ..api.v1alpha1 import CaBundle
from ..artifact.facts import ArtifactFacts
from ..fit.engines import version_of
from . import names
from .errors import SpecRefusedError

MODEL_MOUNT = "/models"
BESIDE_MOUNT = "/beside"
SUPPORTED_SOURCES = ("pvc://", "https://", "http://", "hf://", "s3://", "oci://")
TREES = ("hf://", "s3://", "oci://")
"""Sources of whole folders; a URL names one file, or a folder when it ends with a slash."""
MOUNTING_RUNTIMES = {"containerd": (2, 1), "cri-o": (1, 31)}
MOUNTING_KUBELET = (1, 35)
_IMAGE = re.compile(r"^oci://(?P<image>[^?]+@sha256:[0-9a-f]{64})(?:/(?P<folder>[^?]+))?$")


@dataclass(frozen=True)
class Place:
    """One artifact in a release's pods."""

    uri: str
    volume: str
    mount: str
    path: str
    """What the engine is told."""
    claim: str = ""
    """The claim that it lies on, or is fetched onto; '' is scratch space of the pod."""
    fetch_to: str = ""
    """Where it is fetched to before the engine starts; '' where it lies there already."""
    digest: str = ""
    image: str = ""
    """The image that is mounted instead of fetching, where every node can: nothing that the engine is told changes."""
    folder: str = ""
    """What of the image is mounted."""


def model_place(uri: str, facts: ArtifactFacts, *, digest: str = "", cache_claim: str = "") -> Place:
    """Return where a model lies; a GGUF is told by its (first) file, a checkpoint by its folder."""
    file = facts.files[0].name if facts.format == "gguf" else ""
    return _placed(facts.pinned_uri or uri, "models", MODEL_MOUNT, file, digest or facts.weights_digest, cache_claim)


def beside_place(uri: str, volume: str, *, file: str = "", digest: str = "", cache_claim: str = "") -> Place:
    """Return where a draft or an adapter lies: each on a volume of its own."""
    return _placed(uri, volume, f"{BESIDE_MOUNT}/{volume}", file, digest, cache_claim)


def mounted(
    place: Place, facts: ArtifactFacts, node_infos: Iterable[Mapping[str, str]], bundle: CaBundle | None
) -> Place:
    """Return the place with its image as a volume, where it is an image and all nodes' runtimes pull and mount such."""
    found, infos = _IMAGE.match(place.uri), list(node_infos)
    fetched_here = place.fetch_to and not place.claim
    pulled = facts.mountable and (bundle is None or bundle.nodes_trust)
    if not (found and fetched_here and pulled and infos and all(map(_mounts_images, infos))):
        return place
    return replace(place, image=found["image"], folder=found["folder"] or "")


def check_source(where: str, uri: str) -> None:
    """Refuse an artifact source that nothing here can read."""
    if not uri.startswith(SUPPORTED_SOURCES):
        scheme = uri.partition("://")[0]
        raise SpecRefusedError(
            "SourceNotSupported",
            f"{where} uses '{scheme}://', which this version does not read: use pvc://CLAIM/PATH, https://, "
            "hf://ORG/NAME@REVISION, s3://BUCKET/PREFIX or oci://REGISTRY/REPOSITORY:TAG.",
        )


def claim_of(uri: str) -> tuple[str, str] | None:
    """Return the claim and the path of a pvc:// artifact; None for any other."""
    if not uri.startswith("pvc://"):
        return None
    claim, _, path = uri.removeprefix("pvc://").partition("/")
    return claim, path


def _mounts_images(info: Mapping[str, str]) -> bool:
    """Return whether a node mounts image volumes: its runtime can, and its kubelet does so without being asked.

    containerd release notes 2.1, CRI-O 1.31; KEP-4639 (`ImageVolume` on by default from Kubernetes 1.35).
    """
    runtime, _, version = info.get("containerRuntimeVersion", "").partition("://")
    wanted = MOUNTING_RUNTIMES.get(runtime)
    kubelet = version_of("", info.get("kubeletVersion", ""))
    return wanted is not None and version_of("", version) >= wanted and kubelet >= MOUNTING_KUBELET


def _placed(uri: str, volume: str, mount: str, file: str, digest: str, cache_claim: str) -> Place:
    inside = claim_of(uri)
    if inside:
        path = inside[1].strip("/")
        named = path if not file or path.endswith(".gguf") else f"{path}/{file}".lstrip("/")
        return Place(uri, volume, mount, f"{mount}/{named}".rstrip("/"), claim=inside[0])
    folder = f"{mount}/{names.digest(uri, 16)}" if cache_claim else mount
    if uri.startswith(TREES) or uri.endswith("/"):
        target = folder if cache_claim else f"{mount}/artifact"
        path = f"{target}/{file}" if file else target
    else:
        target = path = f"{folder}/{uri.partition('?')[0].rpartition('/')[2]}"
    return Place(uri, volume, mount, path, claim=cache_claim, fetch_to=target, digest=digest)
