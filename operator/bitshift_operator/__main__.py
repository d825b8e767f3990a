"""Starts the operator: `python -m bitshift_operator`; with `uninstall`, lets go of everything before it is removed.

Here: settings, the order in which parts start and end. Not here: what any of them does.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence

from bitshift_operator.cluster.client import Kube
from bitshift_operator.cluster.engines import load_engines
from bitshift_operator.cluster.errors import ApiError
from bitshift_operator.cluster.kinds import EVAL_SUITE, MODEL_REVISION, QUANTIZED_MODEL, RUNTIME_PROFILE, Key, Kind
from bitshift_operator.controller import uninstall
from bitshift_operator.controller.builtins import DIRECTORY, apply_built_ins
from bitshift_operator.controller.health import Health
from bitshift_operator.controller.leader import Leadership
from bitshift_operator.controller.logs import start_logging
from bitshift_operator.controller.reconcile import reconcile
from bitshift_operator.controller.triggers import watch_resources
from bitshift_operator.controller.world import World
from bitshift_operator.settings import Settings

STOPPED, LEASE_LOST = 0, 3
OUR_KINDS = (QUANTIZED_MODEL, MODEL_REVISION, EVAL_SUITE, RUNTIME_PROFILE)
CRD_PAUSE_SECONDS = 5.0

Reconcile = Callable[[Key, World], Awaitable[float | None]]
log = logging.getLogger("bitshift_operator")


def main() -> int:
    """Run until a signal or the loss of the lease; the exit status tells which."""
    if sys.argv[1:] == ["uninstall"]:
        return uninstall.main()
    settings = Settings()
    start_logging(settings.log_level)
    return asyncio.run(Operator(settings, reconcile).run())


class Operator:
    """The process: one candidate for leadership, and while it leads, everything that works."""

    def __init__(self, settings: Settings, reconcile: Reconcile) -> None:
        self.settings, self._reconcile = settings, reconcile
        self.stop = asyncio.Event()
        self._elected = asyncio.Event()
        self._turns: asyncio.Task[None] | None = None

    async def run(self) -> int:
        """Connect, be elected, work; return the process's exit status."""
        self._heed_signals()
        settings = self.settings
        connecting = Kube.connect(
            settings.kubeconfig, settings.context, timeout_seconds=settings.request_timeout_seconds
        )
        async with await connecting as kube, World.around(kube, settings, load_engines()) as world:
            leadership = Leadership(kube, settings, on_elected=self._elected.set)
            health = Health(world.queue, settings.stale_after_seconds, is_leader=lambda: leadership.is_leader)
            health.reflectors = world.reflectors()
            health.metrics = world.metrics.text
            world.metrics.observe(world.queue, kube.calls, health.is_leader)
            async with health.served(settings.health_port, settings.metrics_port):
                return await self._lead(world, leadership, health)

    async def _lead(self, world: World, leadership: Leadership, health: Health) -> int:
        stopping = asyncio.create_task(self.stop.wait())
        leading = asyncio.create_task(leadership.run())
        working = asyncio.create_task(self._work(world, health))
        try:
            done, _ = await asyncio.wait((stopping, leading, working), return_when=asyncio.FIRST_COMPLETED)
            if leading in done and not self.stop.is_set():
                # Another replica may lead by now: nothing may be written any more, not even by turns that run.
                log.error("The lease is lost: this replica ends, so that only one works.", exc_info=leading.exception())
                return LEASE_LOST
            await self._finish(world)
            await _cancelled(leading)
            await leadership.release()  # before kopf ends, which takes its time: nothing writes any more
            if working in done:
                working.result()
            return STOPPED
        finally:
            await _cancelled(working, leading, stopping)

    async def _work(self, world: World, health: Health) -> None:
        await self._elected.wait()
        log.info("Elected: this replica works now.")
        await wait_for_crds(world.kube, self.settings.watch_namespaces)
        async with asyncio.TaskGroup() as group:
            group.create_task(apply_built_ins(world.kube, DIRECTORY, self.settings.namespace))
            for reflector in health.reflectors:
                group.create_task(reflector.run())
            for reflector in health.reflectors:
                await reflector.synced.wait()
            log.info("Caches are filled.")
            self._turns = group.create_task(world.queue.work(self._turn(world), workers=self.settings.workers))
            ready = asyncio.Event()
            group.create_task(self._heed_signals_again(ready))
            group.create_task(self._watch(world, ready))

    async def _watch(self, world: World, ready: asyncio.Event) -> None:
        await watch_resources(world, ready_flag=ready)
        self.stop.set()  # kopf heard a signal before we took the signals back

    def _turn(self, world: World) -> Callable[[Key], Awaitable[float | None]]:
        async def turn(key: Key) -> float | None:
            return await self._reconcile(key, world)

        return turn

    async def _finish(self, world: World) -> None:
        """Let running turns end: a turn may die at any line, but one that ends leaves less to find out."""
        world.queue.stop()
        try:
            async with asyncio.timeout(self.settings.stop_seconds):
                while world.queue.running:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            log.warning("%d turns did not end in time and are broken off.", world.queue.running)
        if self._turns:
            await _cancelled(self._turns)

    def _heed_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.stop.set)

    async def _heed_signals_again(self, kopf_is_ready: asyncio.Event) -> None:
        """Take the signals back: kopf puts handlers of its own in, and would wait for all our tasks to end."""
        await kopf_is_ready.wait()
        self._heed_signals()


async def wait_for_crds(kube: Kube, namespaces: Sequence[str] = ()) -> None:
    """Return once the API server serves our kinds: kopf looks for them only once."""
    where = namespaces[0] if namespaces else ""
    while missing := [reason for kind in OUR_KINDS if (reason := await _missing(kube, kind, where))]:
        log.warning("Not everything can be read yet; install the CRDs and the roles: %s", "; ".join(missing))
        await asyncio.sleep(CRD_PAUSE_SECONDS)


async def _missing(kube: Kube, kind: Kind, namespace: str) -> str:
    try:
        async for _ in kube.pages(kind, namespace):
            break
    except ApiError as error:
        return f"{kind.plural}: {error}"
    return ""


async def _cancelled(*tasks: "asyncio.Task[object]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=1)


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # nothing is left to save, and a thread of a library must not hold the next leader up
