"""The way into the cluster for a person: which one, which namespace, and every failure in one sentence."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from kubernetes.aio import config
from kubernetes.aio.config.config_exception import ConfigException

from bitshift_operator.cluster.client import Kube, Manifest
from bitshift_operator.cluster.errors import ApiError, Forbidden, NotFound, Unreachable
from bitshift_operator.cluster.kinds import QUANTIZED_MODEL

NO_CLUSTER, NO_SUCH_MODEL, NOTHING_TO_DO = 1, 3, 4
SHOWN_NAMES = 5


class Refusal(click.ClickException):
    """A sentence for the person, with the way out, and the exit status."""

    def __init__(self, sentence: str, exit_code: int = NO_CLUSTER) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads the instance's


@dataclass(frozen=True)
class Access:
    """Which cluster and namespace a command is about, as its options say; empty means as kubectl would choose."""

    namespace: str = ""
    kubeconfig: str = ""
    context: str = ""

    def resolved(self) -> "Access":
        """Return the same with what the kubeconfig fills in; without any kubeconfig, the pod's own account is used."""
        path = self.kubeconfig or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
        there = [each for each in path.split(os.pathsep) if Path(each).exists()]
        if not there:
            if self.kubeconfig or self.context:
                raise Refusal(f"There is no kubeconfig at {path}: give one by `--kubeconfig` or KUBECONFIG.")
            return Access(self.namespace or "default")
        try:
            contexts, active = config.list_kube_config_contexts(os.pathsep.join(there))
        except (ConfigException, OSError, ValueError) as error:
            raise Refusal(f"The kubeconfig {path} cannot be read: {error}") from error
        known = {each["name"]: each for each in contexts}
        if self.context and self.context not in known:
            raise Refusal(f"The kubeconfig has no context '{self.context}'. It has: {', '.join(sorted(known))}.")
        chosen = known.get(self.context) or active or {}
        namespace = self.namespace or chosen.get("context", {}).get("namespace") or "default"
        return Access(namespace, os.pathsep.join(there), self.context)


@asynccontextmanager
async def connected(access: Access) -> AsyncIterator[Kube]:
    """Yield a client; what goes wrong while it is used becomes a sentence."""
    try:
        kube = await Kube.connect(access.kubeconfig, access.context)
    except (ConfigException, OSError) as error:
        raise Refusal(
            f"No cluster is configured ({error}). Set KUBECONFIG, or say `--kubeconfig` and `--context`."
        ) from error
    async with kube:
        try:
            yield kube
        except ApiError as error:
            raise explained(error, access, str(kube.api.configuration.host)) from error


async def read_model(kube: Kube, access: Access, name: str) -> Manifest:
    """Return the QuantizedModel; where there is none, the refusal names those that there are."""
    model = await kube.get(QUANTIZED_MODEL, access.namespace, name)
    if model is not None:
        return model
    try:
        others, _ = await kube.list(QUANTIZED_MODEL, access.namespace)
    except NotFound as error:
        sentence = "This cluster does not know QuantizedModels: install the chart `charts/bitshift`, or choose another"
        raise Refusal(f"{sentence} cluster by `--context`.", NO_SUCH_MODEL) from error
    found = sorted(each["metadata"]["name"] for each in others)
    more = f" and {len(found) - SHOWN_NAMES} more" if len(found) > SHOWN_NAMES else ""
    there = (
        f"It has {', '.join(found[:SHOWN_NAMES])}{more}." if found else "It has none; say `-n` for another namespace."
    )
    raise Refusal(f"Namespace '{access.namespace}' has no QuantizedModel '{name}'. {there}", NO_SUCH_MODEL)


def explained(error: ApiError, access: Access, host: str) -> Refusal:
    """Return what an error of the API means for a person."""
    if error.status == 401:
        return Refusal(f"{host} does not accept your credentials: log in again, or choose another `--context`.")
    if isinstance(error, Forbidden):
        return Refusal(
            f"You may not do that in namespace '{access.namespace}': {error.message}. The roles `view` (to look) and "
            "`edit` (to tell) include it where the chart's `rbac.aggregate` is true."
        )
    if isinstance(error, Unreachable):
        return Refusal(f"{host} does not answer: is the cluster up, and is it the one you mean (`--context`)?")
    return Refusal(f"The API server refused: {error.message}")
