"""An API server in memory, spoken to over HTTP on loopback like the real one.

Here: paths, lists in pages, watches, discovery; faults on request. Not here: the state (`tests.fake_store`); what
controllers do (nobody makes pods of a Deployment: tests do that with `put`); schemas (give `admit` to refuse).
"""

import asyncio
import json
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from bitshift_operator.cluster.kinds import KINDS, Kind
from tests.fake_objects import selects
from tests.fake_store import Change, FakeStore, Manifest, Refused, Target

BOOKMARK_SECONDS = 1.0
APPLY = "application/apply-patch+yaml"


@dataclass
class FakeApi(FakeStore):
    """The server, and switches for what goes wrong in tests."""

    interrupt: Callable[[str, Target], None] = lambda verb, target: None
    """Called before every request is served; may raise `Refused`."""
    after: Callable[[str, Target], None] = lambda verb, target: None
    """Called after every write that succeeded: a place to play kubelet, or to let the operator die."""
    requests: list[tuple[str, Target]] = field(default_factory=list)
    logs: dict[tuple[str, str], str] = field(default_factory=dict)
    hear: Callable[[dict[str, str]], None] = lambda query: None
    """Called with what was asked of a log."""
    url: str = ""
    oldest: int = 0
    _epoch: int = 0

    @classmethod
    @asynccontextmanager
    async def started(cls, **settings: Any) -> AsyncIterator[Self]:
        """Serve on a free port until the end of the block."""
        api = cls(**settings)
        app = web.Application(client_max_size=2**23)
        app.router.add_route("*", "/{path:.*}", api._serve)
        runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield api
        finally:
            api.break_watches()
            await runner.cleanup()

    def break_watches(self) -> None:
        """Cut all watches off, as a restarted server does."""
        self._epoch += 1
        self.wake_watchers()

    def forget_history(self) -> None:
        """Make every version so far too old to watch from."""
        self.oldest = self.version = self.version + 1
        self.changes.clear()
        self.break_watches()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        found = discovery(request.path)
        if found is not None:
            return web.json_response(found)
        try:
            target = self.target(request.path)
            verb = "WATCH" if request.query.get("watch") in ("true", "1") else request.method
            self.requests.append((verb, target))
            self.interrupt(verb, target)
            if verb == "WATCH":
                return await self._watch(request, target)
            if target.subresource == "log":
                self.hear(dict(request.query))
                return web.Response(text=self.logs.get(target.key, ""))
            body = await request.json() if request.can_read_body else {}
            return web.json_response(self.answer(verb, target, request.query, body, request.content_type))
        except Refused as no:
            return web.json_response(no.status, status=no.code)

    def target(self, path: str) -> Target:
        """Return what a path names; 404 for kinds that this server does not serve."""
        found = parse(path)
        if found.kind in self.absent:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        return found

    def answer(self, method: str, target: Target, query: Any, body: Any, content_type: str) -> Manifest:
        """Return what one request reads or has written."""
        if method == "GET":
            return self.read(target) if target.name else self._list(target, query)
        written = self._write(method, target, query, body, content_type)
        self.after(method, target)
        return written

    def _write(self, method: str, target: Target, query: Any, body: Any, content_type: str) -> Manifest:
        dry_run = "dryRun" in query
        match method:
            case "DELETE":
                return self.delete(target, body)
            case "POST":
                return self.create(target, body, dry_run=dry_run)
            case "PUT":
                return self.replace(target, body, dry_run=dry_run)
            case _ if content_type == APPLY:
                return self.apply(target, query["fieldManager"], body, dry_run=dry_run)
        return self.patch(target, content_type, body, dry_run=dry_run)

    def _list(self, target: Target, query: Any) -> Manifest:
        last = json.loads(query.get("continue") or "[]")
        found = sorted(
            (key, item)
            for key, item in self.objects[target.kind].items()
            if target.namespace in ("", key[0])
            and selects(query.get("labelSelector", ""), item["metadata"].get("labels", {}))
            and list(key) > last
        )
        size = int(query.get("limit", 0)) or len(found)
        metadata = {"resourceVersion": str(self.version)}
        if len(found) > size:
            metadata["continue"] = json.dumps(found[size - 1][0])
        kind, items = target.kind, [item for _, item in found[:size]]
        return {"apiVersion": kind.api_version, "kind": f"{kind.kind}List", "metadata": metadata, "items": items}

    async def _watch(self, request: web.Request, target: Target) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        woken, epoch = asyncio.Event(), self._epoch
        self.watchers.add(woken)
        try:
            async with asyncio.timeout(float(request.query.get("timeoutSeconds", 300))):
                async for event in self._events(target, request.query, woken, epoch):
                    await response.write(json.dumps(event).encode() + b"\n")
        except TimeoutError:
            pass
        finally:
            self.watchers.discard(woken)
        return response

    async def _events(self, target: Target, query: Any, woken: asyncio.Event, epoch: int) -> AsyncIterator[Manifest]:
        selector, seen = query.get("labelSelector", ""), int(query.get("resourceVersion") or 0)
        changes = (
            [] if seen else [Change(0, key, None, item) for key, item in sorted(self.objects[target.kind].items())]
        )
        if 0 < seen < self.oldest:
            yield {"type": "ERROR", "object": Refused(410, "Expired", "too old resource version").status}
            return
        seen = seen or self.version
        while True:
            for change in changes:
                if event := change.event(target.namespace, selector):
                    yield event
            if self._epoch != epoch:
                return
            woken.clear()
            changes = self._since(target.kind, seen)
            if not changes and not await _is_set(woken, BOOKMARK_SECONDS):
                metadata = {"resourceVersion": str(self.version)}
                yield {"type": "BOOKMARK", "object": target.kind.new("", "") | {"metadata": metadata}}
            seen = changes[-1].version if changes else seen

    def _since(self, kind: Kind, version: int) -> list[Change]:
        changes = self.changes[kind]
        return changes[bisect_right(changes, version, key=lambda change: change.version) :]


async def _is_set(event: asyncio.Event, within_seconds: float) -> bool:
    try:
        async with asyncio.timeout(within_seconds):
            return await event.wait()
    except TimeoutError:
        return False


def parse(path: str) -> Target:
    """Return what a path names; 404 for kinds that nobody serves."""
    parts = path.strip("/").split("/")
    version, rest = ("v1", parts[2:]) if parts[0] == "api" else ("/".join(parts[1:3]), parts[3:])
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    kind = next((k for k in KINDS.values() if (k.api_version, k.plural) == (version, rest[0] if rest else "")), None)
    if kind is None:
        raise Refused(404, "NotFound", "the server could not find the requested resource")
    return Target(kind, namespace, *rest[1:3])


def discovery(path: str) -> Manifest | None:
    """Return what kopf asks for at its start: the groups, and the kinds of each."""
    groups = sorted({kind.api_version for kind in KINDS.values()})
    parts = path.strip("/").split("/")
    if parts == ["api"]:
        return {"kind": "APIVersions", "versions": ["v1"]}
    if parts == ["apis"]:
        return {"groups": [_group(version) for version in groups if "/" in version]}
    version = "/".join(parts[1:])
    if version not in groups:
        return None
    verbs = ["get", "list", "watch", "create", "update", "patch", "delete"]
    return {
        "groupVersion": version,
        "resources": [
            {
                "name": k.plural,
                "singularName": k.kind.lower(),
                "kind": k.kind,
                "namespaced": k.namespaced,
                "verbs": verbs,
            }
            for k in KINDS.values()
            if k.api_version == version
        ],
    }


def _group(api_version: str) -> Manifest:
    group, version = api_version.split("/")
    served = {"groupVersion": api_version, "version": version}
    return {"name": group, "versions": [served], "preferredVersion": served}
