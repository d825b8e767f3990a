"""A small cluster at play around one model, by a clock of ours: turn after turn of an operator that may die.

Here: turns, what people write, what there is to see. Not here: pods and Jobs (`tests.controllers`), requests
(`tests.users`), what stands there at first (`tests.scenery`), the API server (`tests.fake_api`).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import httpx

from bitshift_core.api.conditions import timestamp
from bitshift_core.rollout import names
from bitshift_core.rollout.snapshot import Manifest
from bitshift_operator.cluster.caches import Caches
from bitshift_operator.cluster.client import Kube
from bitshift_operator.cluster.engines import load_engines
from bitshift_operator.cluster.events import EventPoster
from bitshift_operator.cluster.kinds import (
    DEPLOYMENT,
    EVENT,
    HTTP_ROUTE,
    JOB,
    LEADER_WORKER_SET,
    MODEL_REVISION,
    NODE,
    POD,
    QUANTIZED_MODEL,
    RESOURCE_CLAIM,
    RESOURCE_SLICE,
    SERVICE,
    WORKLOADS,
    Key,
    Kind,
)
from bitshift_operator.cluster.observe import Reader
from bitshift_operator.cluster.probe import ProbeResult
from bitshift_operator.controller.interests import Interests
from bitshift_operator.controller.metrics import Metrics
from bitshift_operator.controller.queue import WorkQueue
from bitshift_operator.controller.reconcile import reconcile
from bitshift_operator.controller.world import World
from bitshift_operator.settings import Settings
from tests import scenery
from tests.direct import Direct
from tests.fake_api import FakeApi
from tests.users import Users, label

CHAT = Key("team", "chat")
LONG_SECONDS = 15
"""What wants to be looked at no sooner is settled, or waits for somebody."""
MOST_TURNS = 200
TIMES = {names.SINCE, names.ROLLOUT, names.VERDICT_AT, names.REFUSAL, names.VERIFIED, "bitshift.dev/message"}
COUNTS = {"state.json", "rollout", "readAt"}
CACHED = {
    "revisions": MODEL_REVISION,
    "deployments": DEPLOYMENT,
    "groups": LEADER_WORKER_SET,
    "pods": POD,
    "jobs": JOB,
    "services": SERVICE,
    "routes": HTTP_ROUTE,
    "nodes": NODE,
    "resource_slices": RESOURCE_SLICE,
    "resource_claims": RESOURCE_CLAIM,
}
ENGINES = load_engines()
METRICS = Metrics()


class Died(BaseException):
    """The operator's process ended here."""


@dataclass(kw_only=True)
class Play(Users):
    """The cluster, and an operator that can be started anew at any moment."""

    acting: ClassVar["Play"]
    """Whose operator takes its turn."""

    kube: Kube
    phases: list[str] = field(default_factory=list)
    """What status said after each turn."""
    lag_turns: int = 0
    """How far the operator's caches are behind."""
    world: World = field(init=False)
    _shown: list[dict[Kind, dict[tuple[str, str], Manifest]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.api.clock = lambda: self.now
        self.restart()

    @classmethod
    def of(cls, api: FakeApi, kube: Kube | None = None, **spec: Any) -> "Play":
        """Return a cluster in which a user just applied a model; the client is a direct one unless given."""
        play = cls(api=api, kube=kube or Direct(api))
        for manifest in scenery.everything(timestamp(play.now), **spec):
            api.put(manifest)
        return play

    def fork(self) -> "Play":
        """Return the same cluster at the same moment under a new operator; its further life changes nothing here."""
        api = FakeApi(version=self.api.version, absent=self.api.absent)
        api.objects.update({kind: dict(items) for kind, items in self.api.objects.items()})
        api._applied.update(self.api._applied)
        return Play(
            api=api,
            kube=Direct(api),
            now=self.now,
            verdicts=dict(self.verdicts),
            broken=set(self.broken),
            mute=set(self.mute),
            tenants=self.tenants,
            rows={pod: list(rows) for pod, rows in self.rows.items()},
            counted_until=self.counted_until,
            phases=list(self.phases),
        )

    def restart(self) -> None:
        """Start an operator that knows nothing."""
        settings, metrics, caches = Settings(runtime_image="bitshift-runtime:test"), METRICS, Caches()
        http = httpx.AsyncClient(transport=httpx.MockTransport(self.answer), trust_env=False)
        reader = Reader(self.kube, caches, settings, ENGINES, http)
        queue, interests = WorkQueue(metrics.queue_hooks()), Interests()
        events = EventPoster(self.kube, self.clock)
        self.world = World(self.kube, settings, queue, caches, interests, events, metrics, http, reader, now=self.clock)

    def clock(self) -> float:
        """The operator's clock, and everybody's."""
        return self.now

    # --- one turn after the other

    async def turn(self) -> bool:
        """Let the cluster catch up and the operator take one turn; return whether it wants another one soon."""
        self.settle()
        self.show()
        Play.acting = self
        try:
            wake_after = await reconcile(CHAT, self.world)
        except Died:
            self.restart()
            wake_after = 1.0
        self.phases.append(self.status.get("phase", ""))
        self.pass_time(min(LONG_SECONDS, max(1.0, wake_after or LONG_SECONDS)))
        return wake_after is not None and wake_after < LONG_SECONDS

    async def until(self, happened: Callable[["Play"], bool]) -> None:
        """Take turns until something happened."""
        for _ in range(MOST_TURNS):
            if happened(self):
                return
            await self.turn()
        raise AssertionError(f"still {self.status.get('phase')}: {self.status.get('message')}")

    async def until_quiet(self, each: Callable[[], object] = lambda: None) -> None:
        """Take turns until three in a row leave all as it is and ask for no other one soon."""
        before: list[Any] = []
        for _ in range(MOST_TURNS):
            wants_more = await self.turn()
            each()
            before = [] if wants_more else [*before, self.ending()][-3:]
            if before[1:] and before[2:] == before[:1]:
                return
        raise AssertionError(f"still {self.status.get('phase')}: {self.status.get('message')}")

    def show(self) -> None:
        """Bring the operator's caches up to date, as its watches do, or to what was `lag_turns` ago."""
        self._shown.append({kind: dict(self.api.objects[kind]) for kind in CACHED.values()})
        del self._shown[: -1 - self.lag_turns]
        for name, kind in CACHED.items():
            cache = getattr(self.world.caches, name)
            for manifest in self._shown[0][kind].values():
                cache.put(manifest)
            cache.keep_only({Key(*key) for key in self._shown[0][kind]}, "")
            cache.is_served = kind not in self.api.absent

    def pass_time(self, seconds: float) -> None:
        """Let the clock run; users go on sending requests."""
        self.now += seconds
        self.count_requests()

    # --- what users and pipelines write

    def edit(self, **spec: Any) -> None:
        """Change the model's spec, as a pipeline does."""
        model = self.model
        model["spec"] = {**model["spec"], **spec}
        written = {"manager": "kubectl", "time": timestamp(self.now), "fieldsV1": {"f:spec": {}}}
        model["metadata"]["managedFields"] = [written]
        self.api.put(model)

    def say(self, annotation: str, value: str) -> None:
        """Write one of the verbs' annotations."""
        model = self.model
        model["metadata"].setdefault("annotations", {})[annotation] = value
        self.api.put(model)

    def hand_over(self) -> None:
        """Let the user's own route name the Service that follows promotions."""
        route = self.api.get(HTTP_ROUTE, "team", "chat")
        assert route is not None
        route["spec"]["rules"][0]["backendRefs"] = [{"name": names.release_service("chat"), "port": 80}]
        self.api.put(route)

    def delete_model(self) -> None:
        self.api.remove(QUANTIZED_MODEL, *CHAT)

    # --- what there is

    @property
    def model(self) -> Manifest:
        found = self.api.get(QUANTIZED_MODEL, *CHAT)
        assert found is not None
        return found

    @property
    def status(self) -> dict[str, Any]:
        return dict(self.api.objects[QUANTIZED_MODEL].get(CHAT, {}).get("status") or {})

    @property
    def overlay(self) -> list[Manifest]:
        return [each for each in self.all(HTTP_ROUTE) if "-overlay-" in each["metadata"]["name"]]

    @property
    def releases(self) -> list[str]:
        """The revisions of which there are pods to be."""
        found = [each for kind in WORKLOADS for each in self.all(kind) if label(each, names.ROLE) == "release"]
        return [each["metadata"]["name"] for each in found]

    def revision(self, rung: str) -> str:
        """The name of a rung's release, as status tells it."""
        return next(each["revision"] for each in self.status["rungs"] if each["name"] == rung)

    @property
    def answers(self) -> list[str]:
        """Every match of every route with its backends: who is answered by what, wherever the rule lies."""
        pairs = {
            json.dumps([match, rule["backendRefs"]], sort_keys=True)
            for route in self.all(HTTP_ROUTE)
            for rule in route["spec"]["rules"]
            for match in rule["matches"]
        }
        return sorted(pair for pair in pairs if "-empty" not in pair)

    def ending(self) -> dict[str, Any]:
        """What a rollout leaves behind, less what depends on when."""
        status = self.status
        return {
            "routes": [route["metadata"]["name"] for route in self.all(HTTP_ROUTE)],
            "answers": self.answers,
            "services": sorted(each["metadata"]["name"] for each in self.all(SERVICE)),
            "deployments": {each["metadata"]["name"]: each["spec"]["replicas"] for each in self.all(DEPLOYMENT)},
            "revisions": sorted(each["metadata"]["name"] for each in self.all(MODEL_REVISION)),
            "finalizers": (self.api.get(QUANTIZED_MODEL, *CHAT) or {"metadata": {}})["metadata"].get("finalizers", []),
            "status": [status.get(key, "") for key in ("phase", "reason", "currentRevision")],
            "refused": [(each["revision"], each["reason"]) for each in status.get("refused", [])],
        }

    def state(self) -> str:
        """Everything that a decision may rest on, less clocks and counts: equal states have equal futures."""
        told: dict[str, Any] = {"answers": self.answers}
        for kind in sorted(set(self.api.objects) - {EVENT}, key=str):
            for key, item in sorted(self.api.objects[kind].items()):
                annotations = item["metadata"].get("annotations") or {}
                kept = {name: value for name, value in annotations.items() if name not in TIMES}
                data = {name: value for name, value in item.get("data", {}).items() if name not in COUNTS}
                finalizers = item["metadata"].get("finalizers")
                spec = None if kind is HTTP_ROUTE else item.get("spec")
                told[f"{kind.plural}/{key}"] = [spec, data, kept, finalizers, "status" in item]
        status = self.status
        told["status"] = [status.get(key, "") for key in ("phase", "currentRevision", "rung")]
        told["refused"] = [(each["revision"], each["reason"]) for each in status.get("refused", [])]
        return json.dumps(told, sort_keys=True)


async def acting_gateway(expectations: Any, endpoints: Any, **options: Any) -> ProbeResult:
    """Probe the gateway of whichever cluster's operator takes its turn: to be put in place of `probe`."""
    return await Play.acting.probe(expectations, endpoints, **options)
