"""ModelRevisions: a release, sealed."""

from bitshift_core.api.base import API_VERSION
from bitshift_core.api.v1alpha1 import ModelRevisionSpec

from . import Manifest, Owner


def model_revision(owner: Owner, name: str, sealed: ModelRevisionSpec) -> Manifest:
    """Return the sealed unit of a release; it is kept for as long as its QuantizedModel."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelRevision",
        "metadata": owner.metadata(name, revision=name),
        "spec": sealed.as_json(),
    }
