"""The profiles and suites that ship with the chart, applied at the start.

Here: files → objects. Not here: what they say (`charts/bitshift/files`), who uses them (`cluster.observe`).

A chart cannot install CRDs and objects of them in one release, so it hands these over as files.
"""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import yaml

from bitshift_core.api.base import GROUP
from bitshift_operator.cluster.client import Kube, Manifest
from bitshift_operator.cluster.errors import ApiError, Unreachable
from bitshift_operator.cluster.kinds import EVAL_SUITE, RUNTIME_PROFILE, Kind, kind_of

DIRECTORY = Path("/etc/bitshift/built-in")
BUILT_IN = f"{GROUP}/built-in"
FIELD_MANAGER = "bitshift-built-in"
KINDS = (RUNTIME_PROFILE, EVAL_SUITE)
RETRY_SECONDS = 2.0

log = logging.getLogger(__name__)


async def apply_built_ins(kube: Kube, directory: Path, namespace: str) -> tuple[str, ...]:
    """Make the cluster's built-in objects be as the files say; return what was applied, as `Kind/name`.

    Suites go into the operator's namespace. What is labelled built-in and ships no longer is removed. A file that
    cannot be used is logged and left out: one bad suite must not keep the operator from rolling back.
    """
    manifests = list(read_built_ins(directory, namespace))
    if not manifests:
        log.info("No built-in profiles or suites lie in %s.", directory)
        return ()
    applied = [f"{each['kind']}/{each['metadata']['name']}" for each in manifests if await _applied(kube, each)]
    for kind in KINDS:
        await _remove_old(kube, kind, namespace, {each["metadata"]["name"] for each in manifests if _is(each, kind)})
    log.info("Applied the built-in %s.", ", ".join(applied) or "nothing: every file was refused")
    return tuple(applied)


def read_built_ins(directory: Path, namespace: str) -> Iterator[Manifest]:
    """Yield the objects of all files, labelled; of our kinds only, since the account may write others too."""
    for path in sorted(directory.glob("*.yaml")):
        try:
            documents = [each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each]
            for manifest in documents:
                if kind_of(manifest) not in KINDS:
                    raise ValueError(f"it holds a {manifest['kind']}")
                yield _labelled(manifest, namespace)
        except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
            log.error("The built-in file %s is left out: %s", path.name, error)


def _labelled(manifest: Manifest, namespace: str) -> Manifest:
    metadata = dict(manifest["metadata"])
    metadata["labels"] = {**(metadata.get("labels") or {}), BUILT_IN: "true"}
    if kind_of(manifest).namespaced:
        metadata["namespace"] = namespace
    return {**manifest, "metadata": metadata}


async def _applied(kube: Kube, manifest: Manifest) -> bool:
    name = f"{manifest['kind']} '{manifest['metadata']['name']}'"
    while True:
        try:
            await kube.apply(manifest, field_manager=FIELD_MANAGER)
            return True
        except Unreachable as error:
            log.warning("The built-in %s is tried again in %.0f s: %s", name, RETRY_SECONDS, error)
            await asyncio.sleep(RETRY_SECONDS)
        except ApiError as error:
            log.error("The built-in %s is left out: %s", name, error)
            return False


async def _remove_old(kube: Kube, kind: Kind, namespace: str, shipped: set[str]) -> None:
    where = namespace if kind.namespaced else ""
    try:
        known, _ = await kube.list(kind, where, label_selector=f"{BUILT_IN}=true")
        for name in sorted({each["metadata"]["name"] for each in known} - shipped):
            await kube.delete(kind, where, name)
            log.info("Removed %s '%s': it is no longer built in.", kind.kind, name)
    except ApiError as error:
        log.warning("Built-in %s that ship no longer were not removed: %s", kind.plural, error)


def _is(manifest: Manifest, kind: Kind) -> bool:
    return kind_of(manifest) == kind
