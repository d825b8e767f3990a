"""Services: one per release, the one users hand over to, the relay's arms, the baseline."""

from bitshift_core.rollout import names

from . import Manifest, Owner

PORT = 80


def release(owner: Owner, revision: str, target: int) -> Manifest:
    """Return the Service of one release; only a route of ours ever names it."""
    return _service(
        owner, revision, names.labels(owner.name, revision=revision, role="release"), target, role="release"
    )


def promoted(owner: Owner, revision: str, target: int) -> Manifest:
    """Return the Service that a user's own route names after the handover; its selector says what is promoted."""
    selector = names.labels(owner.name, revision=revision, role="release")
    service = _service(owner, names.release_service(owner.name), selector, target, role="promoted")
    service["metadata"]["labels"][names.REVISION] = revision
    return service


def baseline(owner: Owner, target: int) -> Manifest:
    """Return the Service of the idle replica."""
    return _service(owner, names.baseline_name(owner.name), names.labels(owner.name, role="baseline"), target)


def relay(owner: Owner, arm: str, target: int) -> Manifest:
    """Return the Service of one of the relay's arms."""
    return _service(owner, names.relay_name(owner.name, arm), names.labels(owner.name, role="relay"), target)


def _service(owner: Owner, name: str, selector: dict[str, str], target: int, **labels: str) -> Manifest:
    port = {"name": "http", "port": PORT, "targetPort": target, "protocol": "TCP"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owner.metadata(name, **labels),
        "spec": {"selector": selector, "ports": [port]},
    }
