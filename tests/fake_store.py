"""The state of the fake API server: objects, their versions, and what a write, an apply or a deletion makes of them.

Here: everything but HTTP, so that tests may read and write beside the wire. Not here: serving it (`tests.fake_api`).
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bitshift_operator.cluster.kinds import KINDS, Kind
from tests.fake_objects import apply_leaving_others, copied, json_patch, merge_patch, selects

Manifest = dict[str, Any]
JSON_PATCH = "application/json-patch+json"


class Refused(Exception):
    """The server's no, as the `Status` object that a client reads."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = {"kind": "Status", "code": code, "reason": reason, "message": message}


@dataclass(frozen=True)
class Target:
    """What a path names."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name


@dataclass(frozen=True)
class Change:
    """One version of one object: what it was before and what it became (None: did not exist)."""

    version: int
    key: tuple[str, str]
    before: Manifest | None
    after: Manifest | None

    def event(self, namespace: str, selector: str) -> Manifest | None:
        """Return the watch event that this change is to who selects so; leaving a selection reads as a deletion."""
        if namespace not in ("", self.key[0]):
            return None
        was, now = (bool(o) and selects(selector, o["metadata"].get("labels", {})) for o in (self.before, self.after))
        if now:
            return {"type": "MODIFIED" if was else "ADDED", "object": self.after}
        last = copied(self.after or self.before)
        last["metadata"]["resourceVersion"] = str(self.version)
        return {"type": "DELETED", "object": last} if was else None


@dataclass
class FakeStore:
    """Objects of all kinds, and switches for what goes wrong in tests."""

    clock: Callable[[], float] = lambda: 1_800_000_000.0
    admit: Callable[[Manifest], str] = lambda manifest: ""
    """Returns why an object is refused (422), or nothing."""
    absent: frozenset[Kind] = frozenset()
    """Kinds that this server does not serve."""
    version: int = 1
    objects: dict[Kind, dict[tuple[str, str], Manifest]] = field(default_factory=lambda: defaultdict(dict))
    changes: dict[Kind, list[Change]] = field(default_factory=lambda: defaultdict(list))
    watchers: set[asyncio.Event] = field(default_factory=set)
    _applied: dict[tuple[Kind, tuple[str, str], str], Manifest] = field(default_factory=dict)

    def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        return copied(self.objects[kind].get((namespace, name)))

    def all(self, kind: Kind) -> list[Manifest]:
        return [copied(item) for _, item in sorted(self.objects[kind].items())]

    def put(self, manifest: Manifest) -> Manifest:
        """Create or replace an object as it is given, status and all, as controllers and kubelets would."""
        kind = KINDS[manifest["apiVersion"], manifest["kind"]]
        key = manifest["metadata"].get("namespace", ""), manifest["metadata"]["name"]
        return copied(self._store(Target(kind, *key), self.objects[kind].get(key), copied(manifest)))

    def remove(self, kind: Kind, namespace: str, name: str) -> None:
        self.delete(Target(kind, namespace, name), {})

    def read(self, target: Target) -> Manifest:
        try:
            return self.objects[target.kind][target.key]
        except KeyError:
            message = f'{target.kind.plural} "{target.name}" not found'
            raise Refused(404, "NotFound", message) from None

    def create(self, target: Target, body: Manifest, *, dry_run: bool = False) -> Manifest:
        metadata = body.setdefault("metadata", {})
        metadata.setdefault("name", f"{metadata.get('generateName', '')}{self.version:06x}")
        target = Target(target.kind, target.namespace, metadata["name"])
        if target.key in self.objects[target.kind]:
            raise Refused(409, "AlreadyExists", f'{target.kind.plural} "{target.name}" already exists')
        new = {key: value for key, value in body.items() if key != "status"}
        return self._store(target, None, new, dry_run=dry_run)

    def replace(self, target: Target, body: Manifest, *, dry_run: bool = False) -> Manifest:
        return self._update(target, self.read(target), body, dry_run=dry_run)

    def patch(self, target: Target, content_type: str, body: Any, *, dry_run: bool = False) -> Manifest:
        old = self.read(target)
        try:
            wanted = json_patch(old, body) if content_type == JSON_PATCH else merge_patch(copied(old), body)
        except (LookupError, ValueError) as error:
            raise Refused(422, "Invalid", f"the server rejected our request: {error}") from None
        return self._update(target, old, wanted, dry_run=dry_run)

    def apply(self, target: Target, manager: str, body: Manifest, *, dry_run: bool = False) -> Manifest:
        old = self.objects[target.kind].get(target.key)
        if old is None and target.subresource:
            self.read(target)
        applied = (target.kind, target.key, manager + target.subresource)
        wanted = apply_leaving_others(copied(old or {}), self._applied.get(applied, {}), body)
        new = self._update(target, old, wanted, dry_run=dry_run)
        if not dry_run:
            self._applied[applied] = body
        return new

    def _update(self, target: Target, old: Manifest | None, wanted: Manifest, *, dry_run: bool) -> Manifest:
        guard = wanted.get("metadata", {}).get("resourceVersion")
        if guard and old is None:
            raise Refused(409, "Conflict", "the object named by the resourceVersion is gone")
        if guard and old and guard != old["metadata"]["resourceVersion"]:
            raise Refused(409, "Conflict", "the object has been modified; please apply your changes to the latest one")
        return self._store(target, old, within_subresource(target, old or {}, wanted), dry_run=dry_run)

    def delete(self, target: Target, options: Manifest) -> Manifest:
        old = self.read(target)
        for name, value in options.get("preconditions", {}).items():
            if old["metadata"][name] != value:
                raise Refused(409, "Conflict", f"the {name} in the precondition ({value}) does not match")
        if not old["metadata"].get("finalizers"):
            last = self._erase(target)
            if options.get("propagationPolicy") != "Orphan":
                self._cascade(last["metadata"]["uid"])
            return last
        new = copied(old)
        new["metadata"].setdefault("deletionTimestamp", self._timestamp())
        return self._store(target, old, new)

    def _store(self, target: Target, old: Manifest | None, new: Manifest, *, dry_run: bool = False) -> Manifest:
        why_not = self.admit(new)
        if why_not:
            raise Refused(422, "Invalid", why_not)
        self._fill_in(target, old, new)
        if dry_run or new == old:
            return new
        if new["metadata"].get("deletionTimestamp") and not new["metadata"].get("finalizers"):
            last = self._erase(target)
            self._cascade(last["metadata"]["uid"])
            return last
        self._record(target, new)
        return new

    def _fill_in(self, target: Target, old: Manifest | None, new: Manifest) -> None:
        before = old["metadata"] if old else {}
        metadata = new["metadata"] = dict(new["metadata"], name=target.name)
        if target.kind.namespaced:
            metadata["namespace"] = target.namespace
        if "deletionTimestamp" in before:
            metadata["deletionTimestamp"] = before["deletionTimestamp"]
        metadata["uid"] = before.get("uid") or metadata.get("uid") or f"uid-{self.version:06d}"
        metadata["creationTimestamp"] = before.get("creationTimestamp") or self._timestamp()
        metadata["resourceVersion"] = before.get("resourceVersion", "")
        same_spec = old is not None and old.get("spec") == new.get("spec")
        metadata["generation"] = before.get("generation", 0) + (0 if same_spec else 1)

    def _record(self, target: Target, new: Manifest | None) -> None:
        self.version += 1
        objects = self.objects[target.kind]
        before = objects.pop(target.key, None)
        if new is not None:
            new["metadata"]["resourceVersion"] = str(self.version)
            objects[target.key] = new
        self.changes[target.kind].append(Change(self.version, target.key, before, new))
        self.wake_watchers()

    def wake_watchers(self) -> None:
        for watcher in self.watchers:
            watcher.set()

    def _erase(self, target: Target) -> Manifest:
        last = self.read(target)
        self._record(target, None)
        for manager in [key for key in self._applied if key[:2] == (target.kind, target.key)]:
            del self._applied[manager]
        return last

    def _cascade(self, owner_uid: str) -> None:
        for kind in list(self.objects):
            for (namespace, name), item in list(self.objects[kind].items()):
                owners = item["metadata"].get("ownerReferences", ())
                if all(owner["uid"] != owner_uid for owner in owners) or (namespace, name) not in self.objects[kind]:
                    continue
                if len(owners) == 1:
                    self.delete(Target(kind, namespace, name), {})
                else:
                    owners[:] = [owner for owner in owners if owner["uid"] != owner_uid]

    def _timestamp(self) -> str:
        return datetime.fromtimestamp(self.clock(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def within_subresource(target: Target, old: Manifest, wanted: Manifest) -> Manifest:
    """Return the object after a write that may only touch its subresource, or everything but its status."""
    if target.subresource == "scale":
        return old | {"spec": old["spec"] | {"replicas": wanted["spec"]["replicas"]}}
    ours = {"status": wanted["status"]} if "status" in wanted else {}
    theirs = {"status": old["status"]} if "status" in old else {}
    return old | ours if target.subresource else {k: v for k, v in wanted.items() if k != "status"} | theirs
