"""Calls to the API server: plain JSON in, plain JSON out.

Here: REST verbs, their errors and time limits. Not here: what is written (`resources`), caches (`cluster.watch`).

The official client carries the connection (configuration, certificates, tokens that renew themselves); its typed
models are left alone: they cost memory, and they drop fields that are newer than they are.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Self

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from .errors import ApiError, Gone, NotFound, Unreachable, error_from
from .kinds import POD, Kind, kind_of

FIELD_MANAGER = "bitshift"
PAGE_SIZE = 500
APPLY, MERGE, JSON_PATCH = "application/apply-patch+yaml", "application/merge-patch+json", "application/json-patch+json"

Manifest = dict[str, Any]
Page = tuple[list[Manifest], str]
"""Objects, and the resourceVersion from which to watch what happens to them."""
Query = Mapping[str, str | int]


class Kube:
    """The API server as Bitshift uses it; every failure is one of `cluster.errors`."""

    def __init__(self, api: ApiClient, *, timeout_seconds: float = 15) -> None:
        api.user_agent = FIELD_MANAGER
        self.api = api
        self.calls: Counter[tuple[str, str, int]] = Counter()
        """Calls so far by (verb, plural, HTTP status); status 0 means that no answer came."""
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)

    @classmethod
    async def connect(cls, kubeconfig: str = "", context: str = "", *, timeout_seconds: float = 15) -> Self:
        """Return a client for a kubeconfig's context; for the cluster that this pod runs in when neither is given."""
        configuration = Configuration()
        if kubeconfig or context:
            await config.load_kube_config(
                kubeconfig or None, context or None, client_configuration=configuration, persist_config=False
            )
        else:
            config.load_incluster_config(client_configuration=configuration)
        return cls(ApiClient(configuration), timeout_seconds=timeout_seconds)

    async def close(self) -> None:
        """Drop all connections."""
        await self.api.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # Reading

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """Return an object as it is now, or None where there is none (or no such kind)."""
        try:
            return await self._json("get", "GET", kind, kind.path(namespace, name))
        except NotFound:
            return None

    async def list(self, kind: Kind, namespace: str = "", *, label_selector: str = "") -> Page:
        """Return all objects of one namespace or of all, and the resourceVersion from which to watch them."""
        items: list[Manifest] = []
        version = ""
        async for page, page_version in self.pages(kind, namespace, label_selector=label_selector):
            items, version = items + page, page_version
        return items, version

    async def pages(self, kind: Kind, namespace: str = "", *, label_selector: str = "") -> AsyncIterator[Page]:
        """Yield the same list in pages, so that a large one never lies in memory at once."""
        query: dict[str, str | int] = {"limit": PAGE_SIZE, **_selected(label_selector)}
        while True:
            body = await self._json("list", "GET", kind, kind.path(namespace), query)
            metadata = body.get("metadata", {})
            yield [_typed(item, kind) for item in body.get("items") or ()], metadata.get("resourceVersion", "")
            query["continue"] = metadata.get("continue", "")
            if not query["continue"]:
                return

    async def watch(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        timeout_seconds: int = 300,
    ) -> AsyncIterator[tuple[str, Manifest]]:
        """Yield (ADDED | MODIFIED | DELETED | BOOKMARK, object) until the server ends it; `Gone` asks to list again."""
        query: Query = {
            **_selected(label_selector),
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": timeout_seconds,
        }
        # A connection that died without a word looks like a quiet one; the server's own end comes first.
        timeout = aiohttp.ClientTimeout(total=None, connect=10, sock_read=timeout_seconds + 15)
        response = await self._send("watch", "GET", kind, kind.path(namespace), query, timeout=timeout)
        try:
            async for line in _lines(response):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise error_from(event["object"].get("code", 0), event["object"])
                yield event["type"], event["object"]
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(f"The watch of {kind.plural} broke off: {error!r}") from error
        finally:
            response.close()

    async def logs(
        self,
        namespace: str,
        pod: str,
        *,
        container: str = "",
        tail_lines: int = 100,
        limit_bytes: int = 65_536,
        previous: bool = False,
        timestamps: bool = False,
    ) -> str:
        """Return the end of a container's log, bounded in lines and bytes; `previous` is that of the one before."""
        query: dict[str, str | int] = {"tailLines": tail_lines, "limitBytes": limit_bytes}
        query |= {"container": container} if container else {}
        query |= {name: "true" for name, is_set in (("previous", previous), ("timestamps", timestamps)) if is_set}
        response = await self._send("logs", "GET", POD, POD.path(namespace, pod, "log"), query)
        return (await response.read()).decode(errors="replace")

    # Writing

    async def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Create an object; `AlreadyExists` when its name is taken."""
        kind = kind_of(manifest)
        path = kind.path(_namespace(manifest))
        return await self._json("create", "POST", kind, path, _written(dry_run), body=manifest)

    async def apply(
        self,
        manifest: Manifest,
        *,
        field_manager: str = FIELD_MANAGER,
        force: bool = True,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Manifest:
        """Make the object be as the manifest says (server-side apply); fields that others own are left alone."""
        kind = kind_of(manifest)
        path = kind.path(_namespace(manifest), manifest["metadata"]["name"], subresource)
        query = {**_written(dry_run, field_manager), "force": "true" if force else "false"}
        return await self._json("apply", "PATCH", kind, path, query, body=manifest, content_type=APPLY)

    async def patch_merge(
        self, kind: Kind, namespace: str, name: str, body: Mapping[str, Any], *, subresource: str = ""
    ) -> Manifest:
        """Merge a patch into an object; None deletes a key, `metadata.resourceVersion` makes it conditional."""
        path = kind.path(namespace, name, subresource)
        return await self._json("patch", "PATCH", kind, path, _written(), body=body, content_type=MERGE)

    async def patch_json(
        self, kind: Kind, namespace: str, name: str, operations: Sequence[Mapping[str, Any]], *, subresource: str = ""
    ) -> Manifest:
        """Run JSON-patch operations on an object, all or none; a failed `test` is `Invalid`."""
        path = kind.path(namespace, name, subresource)
        return await self._json(
            "patch", "PATCH", kind, path, _written(), body=list(operations), content_type=JSON_PATCH
        )

    async def replace(self, manifest: Manifest, *, subresource: str = "") -> Manifest:
        """Replace an object as a whole; `Conflict` when it is no longer at the manifest's resourceVersion."""
        kind = kind_of(manifest)
        path = kind.path(_namespace(manifest), manifest["metadata"]["name"], subresource)
        return await self._json("update", "PUT", kind, path, _written(), body=manifest)

    async def replace_status(self, manifest: Manifest) -> Manifest:
        """Replace an object's status alone, guarded by the manifest's resourceVersion."""
        return await self.replace(manifest, subresource="status")

    async def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        propagation: str = "Background",
        uid: str = "",
        resource_version: str = "",
        grace_seconds: int | None = None,
    ) -> bool:
        """Delete an object; False when it was gone already, `Conflict` when it is not the one that was meant."""
        body: Manifest = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        if any(preconditions.values()):
            body["preconditions"] = {key: value for key, value in preconditions.items() if value}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        try:
            await self._json("delete", "DELETE", kind, kind.path(namespace, name), body=body)
        except NotFound:
            return False
        return True

    # The wire

    async def _json(
        self,
        verb: str,
        method: str,
        kind: Kind,
        path: str,
        query: Query | None = None,
        *,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Manifest:
        response = await self._send(verb, method, kind, path, query, body=body, content_type=content_type)
        try:
            answer: Manifest = json.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(f"The answer to {method} {path} broke off: {error!r}") from error
        return answer

    async def _send(
        self,
        verb: str,
        method: str,
        kind: Kind,
        path: str,
        query: Query | None = None,
        *,
        body: Any = None,
        content_type: str = "application/json",
        timeout: aiohttp.ClientTimeout | None = None,
    ) -> aiohttp.ClientResponse:
        request = await self.api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": "application/json", "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        status = 0
        try:
            answer = await self.api.call_api(*request, _request_timeout=timeout or self._timeout)
            response: aiohttp.ClientResponse = answer.response
            status = response.status
            if status >= 400:
                raise error_from(status, _status_of(await response.read()))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(f"{method} {path} got no answer: {error!r}") from error
        finally:
            self.calls[verb, kind.plural, status] += 1
        return response


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield whole lines however long: an object may be larger than aiohttp's own limit for one line."""
    rest = bytearray()
    async for chunk in response.content.iter_any():
        rest += chunk
        while (end := rest.find(b"\n")) >= 0:
            if end:
                yield bytes(rest[:end])
            del rest[: end + 1]


def _namespace(manifest: Mapping[str, Any]) -> str:
    return str(manifest["metadata"].get("namespace", ""))


def _selected(label_selector: str) -> Query:
    return {"labelSelector": label_selector} if label_selector else {}


def _written(dry_run: bool = False, field_manager: str = FIELD_MANAGER) -> Query:
    return {"fieldManager": field_manager} | ({"dryRun": "All"} if dry_run else {})


def _typed(item: Manifest, kind: Kind) -> Manifest:
    """Return an item of a list with the apiVersion and kind that the server leaves out there."""
    return {"apiVersion": kind.api_version, "kind": kind.kind} | item


def _status_of(body: bytes) -> Mapping[str, Any]:
    try:
        status = json.loads(body)
    except ValueError:
        status = None
    return status if isinstance(status, dict) else {"message": body[:500].decode(errors="replace")}


__all__ = ["FIELD_MANAGER", "ApiError", "Gone", "Kube", "Manifest"]
