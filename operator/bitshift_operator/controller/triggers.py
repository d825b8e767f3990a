"""The only user of kopf: every watch event of a resource of ours becomes a key in the queue.

Here: handlers, kopf's settings and credentials. Not here: what is done about a key (`controller.reconcile`).

Errors in these handlers are swallowed by kopf: they may only enqueue. They are coroutines because kopf would run plain
functions in threads, and the queue is not made for threads. They return nothing: kopf writes results into the status.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import kopf

from bitshift_core.api.base import GROUP, VERSION
from bitshift_core.rollout import names
from bitshift_operator.cluster.kinds import EVAL_SUITE, QUANTIZED_MODEL, RUNTIME_PROFILE, Key
from bitshift_operator.controller.world import World

REGISTRY = kopf.OperatorRegistry()


@dataclass(frozen=True)
class SharedMemo:
    """How handlers reach the world; kopf copies its memo for each of ten thousand objects, so copying costs nothing."""

    world: World

    def __copy__(self) -> "SharedMemo":
        return self


def world_of(memo: SharedMemo) -> World:
    """Return the world behind kopf's untyped memo."""
    return memo.world


@kopf.on.event(GROUP, VERSION, QUANTIZED_MODEL.plural, registry=REGISTRY)
async def wake(namespace: str | None, name: str, annotations: Mapping[str, str], memo: Any, **_: Any) -> None:
    """Put the model's key into the queue, deletions too: the turn finds out what is left to do."""
    world, key = world_of(memo), Key(namespace or "", name)
    world.models.add(key)
    world.queue.add(key, urgent=names.ROLLBACK in annotations)


@kopf.on.event(GROUP, VERSION, RUNTIME_PROFILE.plural, registry=REGISTRY)
async def wake_profile(name: str, memo: Any, **_: Any) -> None:
    """Put the profile itself into the queue: a key without a namespace, which no model has."""
    world_of(memo).queue.add(Key("", name))


@kopf.on.event(GROUP, VERSION, EVAL_SUITE.plural, registry=REGISTRY)
@kopf.on.event(GROUP, VERSION, RUNTIME_PROFILE.plural, registry=REGISTRY)
async def wake_users(namespace: str | None, memo: Any, **_: Any) -> None:
    """Have all models look again that may use a suite or a profile: its namespace's, or all for a shared one."""
    world = world_of(memo)
    is_shared = namespace in (None, world.settings.namespace)
    world.wake_all_soon("" if is_shared else namespace or "")


@kopf.on.login(registry=REGISTRY)
async def login(memo: Any, **_: Any) -> kopf.ConnectionInfo:
    """Hand kopf the credentials that our own client uses; asked again whenever the API server refuses them."""
    configuration = world_of(memo).kube.api.configuration
    token = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        token=token.split(" ")[-1].strip() if token else None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
    )


def kopf_settings() -> kopf.OperatorSettings:
    """Return kopf's settings as they were measured: 10,000 objects in seconds, and nothing written into any of them."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True  # else it watches all CRDs and namespaces for ever
    settings.watching.chunk_size = 500
    settings.queueing.idle_timeout = 0.3  # else each object's worker stays for seconds: 1,000 MiB
    settings.queueing.exit_timeout = 0.2
    settings.process.ultimate_exiting_timeout = None
    return settings


async def watch_resources(world: World, **kopf_arguments: Any) -> None:
    """Run kopf over the watched namespaces until it is cancelled."""
    namespaces = world.settings.watch_namespaces
    await kopf.operator(
        registry=REGISTRY,
        settings=kopf_settings(),
        memo=SharedMemo(world),
        standalone=True,
        identity=world.settings.pod_name,  # type: ignore[arg-type]  # else it asks who the user is, whom images need not name
        clusterwide=not namespaces,
        namespaces=list(namespaces),
        **kopf_arguments,
    )
