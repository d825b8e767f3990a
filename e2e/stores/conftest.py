"""All stores for one session, with the Secrets that read them, beside a stable that nobody is to move."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import binaries
from e2e.cluster.settings import NODE_ADDRESS
from e2e.conftest import CONSOLE
from e2e.demo import scenes
from e2e.demo.scenes import NAMESPACE
from e2e.demo.target import OwnCluster
from e2e.demo.users import Users
from e2e.stores.hub import Hub
from e2e.stores.objects import ObjectStore
from e2e.stores.registry import Registry
from e2e.stores.servers import Store, Trust

AUTHORITIES, DOCKER_LOGIN = "store-authorities", "oci-docker"


@dataclass(frozen=True)
class Stores:
    """What runs, by the scheme of its addresses."""

    hf: Hub
    oci: Registry
    s3: ObjectStore

    def __getitem__(self, scheme: str) -> Store:
        """Return one of them."""
        found: Store = getattr(self, scheme)
        return found


@pytest.fixture(scope="session")
def stores(cluster: OwnCluster, users: Users) -> Iterator[Stores]:
    """The stores, and an operator that takes the Hub here for the Hub; users only show that stable serves."""
    users.stop()
    folder = cluster.paths.state / "stores"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with ExitStack() as until_the_end:
        until_the_end.callback(shutil.rmtree, folder, ignore_errors=True)
        trust = Trust.made(folder, NODE_ADDRESS)
        found = started(until_the_end, cluster, folder, trust)
        cluster.apply(*objects(found, trust))
        scenes.install(cluster, CONSOLE, "--set", f"operator.huggingFaceEndpoint={found.hf.url}")
        yield found


@pytest.fixture(scope="session")
def cache_claim(cluster: OwnCluster, stores: Stores) -> Iterator[str]:
    """A claim on a folder of the node that pods may write to."""
    name, folder = "store-cache", cluster.paths.state / "stores" / "cache"
    folder.mkdir()
    folder.chmod(0o777)  # a kubelet gives such a folder to no group
    common = {"storageClassName": "", "accessModes": ["ReadWriteMany"]}
    volume = common | {
        "capacity": {"storage": "2Gi"},
        "hostPath": {"path": str(folder), "type": "Directory"},
        "claimRef": {"namespace": NAMESPACE, "name": name},
    }
    claim = common | {"volumeName": name, "resources": {"requests": {"storage": "1Gi"}}}
    for kind in ("pvc", "pv"):  # of a session that died
        cluster.kubectl("-n", NAMESPACE, "delete", kind, name, "--ignore-not-found", "--timeout=60s")
    cluster.apply(
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": volume},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": NAMESPACE},
         "spec": claim},
    )  # fmt: skip
    cluster.kubectl("-n", NAMESPACE, "wait", f"pvc/{name}", "--for=jsonpath={.status.phase}=Bound", "--timeout=60s")
    yield name
    cluster.kubectl("-n", NAMESPACE, "delete", "pvc", name, "--wait=false")
    cluster.kubectl("delete", "pv", name, "--wait=false")


def started(until_the_end: ExitStack, cluster: OwnCluster, folder: Path, trust: Trust) -> Stores:
    """Build and start what is needed."""
    with cluster.alone():
        binaries.build_stores(cluster.paths)
    return Stores(
        until_the_end.enter_context(Hub(folder).started(NODE_ADDRESS, trust)),
        until_the_end.enter_context(Registry.started(cluster, folder / "registry", NODE_ADDRESS, trust)),
        until_the_end.enter_context(ObjectStore.started(cluster, folder / "objects", NODE_ADDRESS, trust)),
    )


def secret_name(scheme: str, *, wrong: bool = False) -> str:
    """Return the name of the Secret for a store."""
    return f"{scheme}-{'wrong' if wrong else 'right'}"


def objects(stores: Stores, trust: Trust) -> Iterator[dict[str, Any]]:
    """Yield what specs refer to: the authority, and for each store a Secret that may read and one that may not."""
    bundle = {"ca.crt": trust.authority.read_text()}
    metadata = {"name": AUTHORITIES, "namespace": NAMESPACE}
    yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": bundle}
    for scheme in ("hf", "oci", "s3"):
        for wrong in (False, True):
            metadata = {"name": secret_name(scheme, wrong=wrong), "namespace": NAMESPACE}
            keys = stores[scheme].wrong if wrong else stores[scheme].secret
            yield {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": dict(keys)}
    metadata = {"name": DOCKER_LOGIN, "namespace": NAMESPACE}
    yield {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson", "metadata": metadata,
           "stringData": {".dockerconfigjson": stores.oci.docker_config}}  # fmt: skip
