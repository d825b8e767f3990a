"""A small cluster at play around one model: kubelet, Jobs, gateway, relay and users, in memory and by a clock of ours.

Here: what controllers and users do between two turns of the operator. Not here: the API server (`tests.fake_api`), what
a test wants to happen (`verdicts`, `broken`).
"""

import json
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import httpx

from bitshift_core.api.conditions import timestamp
from bitshift_core.evidence.live import RelayReport, Row
from bitshift_core.evidence.report import GateReport, Verdict
from bitshift_core.rollout import names
from bitshift_core.rollout.pods import is_ready
from bitshift_core.rollout.snapshot import Manifest
from bitshift_operator.cluster.caches import Caches
from bitshift_operator.cluster.client import Kube
from bitshift_operator.cluster.engines import load_engines
from bitshift_operator.cluster.errors import error_from
from bitshift_operator.cluster.events import EventPoster
from bitshift_operator.cluster.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    EVENT,
    HTTP_ROUTE,
    JOB,
    MODEL_REVISION,
    NODE,
    POD,
    QUANTIZED_MODEL,
    SERVICE,
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
from tests.bitshift_core.traffic.gateway_model import Request, winner
from tests.fake_api import FakeApi, parse
from tests.fake_store import Refused

START = 1_800_000_000
CHAT = Key("team", "chat")
REQUESTS_PER_SECOND = 40
"""Of each tenant."""
REPORTED_SECONDS = 8
LONG_SECONDS = 15
"""What wants to be looked at no sooner is settled, or waits for somebody."""
MOST_TURNS = 200
TIMES = {names.SINCE, names.ROLLOUT, names.VERDICT_AT, names.REFUSAL, names.VERIFIED, "bitshift.dev/message"}
COUNTS = {"state.json", "rollout", "readAt"}
CACHED = {
    "revisions": MODEL_REVISION,
    "deployments": DEPLOYMENT,
    "pods": POD,
    "jobs": JOB,
    "services": SERVICE,
    "routes": HTTP_ROUTE,
    "nodes": NODE,
}
ENGINES = load_engines()
METRICS = Metrics()


class Died(BaseException):
    """The operator's process ended here."""


@dataclass
class Play:
    """The cluster, the clock, and an operator that can be started anew at any moment."""

    acting: ClassVar["Play"]
    """Whose operator takes its turn."""

    api: FakeApi
    kube: Kube
    now: float = START
    verdicts: dict[tuple[str, str], Verdict] = field(default_factory=dict)
    """What a gate says of a rung, by (gate, rung); passed when not here."""
    broken: set[str] = field(default_factory=set)
    """Rungs that answer users with errors."""
    mute: set[str] = field(default_factory=set)
    """Rungs whose pods answer prompts with garbage."""
    rows: dict[str, list[Row]] = field(default_factory=dict)
    """What each relay pod counted, by its name and boot."""
    counted_until: int = START
    phases: list[str] = field(default_factory=list)
    deaf: bool = False
    """True lets the gateway do nothing of what routes say, as far as probes can tell."""
    lag_turns: int = 0
    tenants: tuple[str, ...] = scenery.TENANTS
    """Those that the relay says it knows."""
    world: World = field(init=False)
    _shown: list[dict[Kind, dict[tuple[str, str], Manifest]]] = field(default_factory=list)
    _answers: tuple[object, dict[object, dict[str, int]]] = (None, {})

    def __post_init__(self) -> None:
        self.api.clock = lambda: self.now
        self.restart()

    @classmethod
    def of(cls, api: FakeApi, kube: Kube | None = None, **spec: Any) -> "Play":
        """Return a cluster in which a user just applied a model; the client is a direct one unless given."""
        play = cls(api, kube or Direct(api))
        for manifest in scenery.everything(timestamp(play.now), **spec):
            api.put(manifest)
        return play

    def fork(self) -> "Play":
        """Return the same cluster at the same moment under a new operator; its further life changes nothing here."""
        api = FakeApi(version=self.api.version)
        api.objects.update({kind: dict(items) for kind, items in self.api.objects.items()})
        api._applied.update(self.api._applied)
        rows = {pod: list(rows) for pod, rows in self.rows.items()}
        told = (dict(self.verdicts), set(self.broken), set(self.mute))
        return Play(api, Direct(api), self.now, *told, rows, self.counted_until, list(self.phases))

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

    def all(self, kind: Kind) -> list[Manifest]:
        """All objects of a kind as they lie in the store: to be read only."""
        return [item for _, item in sorted(self.api.objects[kind].items())]

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
        found = [each for each in self.all(DEPLOYMENT) if _label(each, names.ROLE) == "release"]
        return [each["metadata"]["name"] for each in found]

    def revision(self, rung: str) -> str:
        """The name of a rung's release, as status tells it."""
        return next(each["revision"] for each in self.status["rungs"] if each["name"] == rung)

    def pods_behind(self, service: str) -> list[Manifest]:
        """The ready pods that a Service leads to."""
        found = self.api.objects[SERVICE].get(("team", service))
        wanted = found["spec"]["selector"].items() if found else ()
        pods = [pod for pod in self.all(POD) if wanted and wanted <= pod["metadata"].get("labels", {}).items()]
        return [pod for pod in pods if is_ready(pod)]

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

    # --- controllers

    def settle(self) -> None:
        """Do what the cluster's controllers and kubelets would have done by now."""
        for deployment in self.all(DEPLOYMENT):
            self._run(deployment)
        for job in self.all(JOB):
            if not (job.get("status") or {}).get("conditions"):
                self._finish(job)
        for route in self.all(HTTP_ROUTE):
            self._accept(route)

    def _run(self, deployment: Manifest) -> None:
        name, wanted = deployment["metadata"]["name"], deployment["spec"]["replicas"]
        for number in range(wanted, wanted + 8):
            if ("team", f"{name}-{number}") in self.api.objects[POD]:
                self.api.remove(POD, "team", f"{name}-{number}")
        for number in range(wanted):
            if ("team", f"{name}-{number}") not in self.api.objects[POD]:
                self.api.put(self._pod(deployment, f"{name}-{number}"))
        ready = {"replicas": wanted, "readyReplicas": wanted}
        if deployment.get("status") != ready:
            self.api.put({**deployment, "status": ready})

    def _pod(self, deployment: Manifest, name: str) -> dict[str, Any]:
        template, number = deployment["spec"]["template"], zlib.crc32(name.encode())
        metadata = {**template["metadata"], "ownerReferences": [{"uid": deployment["metadata"]["uid"]}]}
        conditions = [
            {"type": kind, "status": "True", "lastTransitionTime": timestamp(self.now)}
            for kind in ("PodScheduled", "Ready")
        ]
        running = [
            {"name": each["name"], "containerID": f"of-{name}", "restartCount": 0, "state": {"running": {}}}
            for each in template["spec"]["containers"]
        ]
        address = f"10.{number // 62_500 % 250}.{number // 250 % 250}.{number % 250 + 1}"
        status = {"phase": "Running", "podIP": address, "conditions": conditions, "containerStatuses": running}
        spec = {**template["spec"], "nodeName": "node-1"}
        return POD.new("team", name) | {"metadata": metadata | {"name": name, "namespace": "team"}} | {
            "spec": spec, "status": status,
        }  # fmt: skip

    def _finish(self, job: Manifest) -> None:
        """End a Job as our runtime does: facts go into their ConfigMap, a verdict into the pod's last message."""
        arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
        said = self._read(arguments) if arguments[0] == "facts" else self._judge(job)
        ended = {"terminated": {"exitCode": 0, "message": said}}
        name = job["metadata"]["name"]
        pod = POD.new("team", f"{name}-pod")
        labels = {**job["metadata"]["labels"], "job-name": name}
        pod["metadata"] |= {"labels": labels, "ownerReferences": [{"uid": job["metadata"]["uid"]}]}
        pod["status"] = {"phase": "Succeeded", "containerStatuses": [{"name": "job", "state": ended}]}
        self.api.put(pod)
        self.api.put({**job, "status": {"conditions": [{"type": "Complete", "status": "True"}]}})

    def _read(self, arguments: list[str]) -> str:
        uri, into = (arguments[arguments.index(flag) + 1] for flag in ("--uri", "--config-map"))
        found = self.api.get(CONFIG_MAP, "team", into)
        assert found is not None, "the ConfigMap that a Job may patch was not made before it"
        facts = scenery.facts_of(uri).model_dump_json(by_alias=True)
        self.api.put({**found, "data": {"facts.json": facts, "readAt": timestamp(self.now)}})
        return json.dumps({"reason": "FactsRead", "message": f"{uri} was read."})

    def _judge(self, job: Manifest) -> str:
        config_map = self.api.get(CONFIG_MAP, "team", job["metadata"]["name"])
        assert config_map is not None, "a gate's Job was made before what it is asked"
        asked = json.loads(config_map["data"]["gate.json"])
        rung = rung_of(asked["revision"])
        verdict = self.verdicts.get((asked["gate"], rung), Verdict.PASSED)
        message = f"{asked['gate']} says {verdict} of {rung}."
        return GateReport(gate=asked["gate"], revision=asked["revision"], verdict=verdict, message=message).to_json()

    def _accept(self, route: Manifest) -> None:
        accepted = {"type": "Accepted", "status": "True", "observedGeneration": route["metadata"]["generation"]}
        status = {"parents": [{"parentRef": each, "conditions": [accepted]} for each in route["spec"]["parentRefs"]]}
        if route.get("status") != status:
            self.api.put({**route, "status": status})

    # --- users, gateway and relay

    def backends_for(self, tenant: str = "", path: str = scenery.ENDPOINTS[0], **headers: str) -> dict[str, int]:
        """Return the Services that answer a user, each with its weight."""
        request = Request(host=scenery.HOST, path=path, headers=headers | ({"x-tenant-id": tenant} if tenant else {}))
        return self.backends_of(request)

    def backends_of(self, request: Request) -> dict[str, int]:
        routes = sorted(self.all(HTTP_ROUTE), key=lambda each: each["metadata"]["creationTimestamp"])
        state = [(each["metadata"]["uid"], each["metadata"]["resourceVersion"]) for each in routes]
        if self._answers[0] != state:
            self._answers = (state, {})
        asked = (request.path, request.method, *sorted(request.headers.items()))
        if asked not in self._answers[1]:
            self._answers[1][asked] = self._winning(routes, request)
        return self._answers[1][asked]

    def _winning(self, routes: list[Manifest], request: Request) -> dict[str, int]:
        found = winner(routes, request)
        if found is None:
            return {}
        route = next(each for each in routes if each["metadata"]["name"] == found[0])
        references = route["spec"]["rules"][found[1]]["backendRefs"]
        return {
            each["name"]: each["weight"] for each in [{"weight": 1} | each for each in references] if each["weight"]
        }

    async def probe(self, expectations: Any, endpoints: Any, **_: Any) -> ProbeResult:
        """Answer for the gateway what the routes in force would."""
        if self.deaf:
            return ProbeResult(False, 1, 0.0, "RouteNotInForce", "The gateway still does what it did before.")
        for expected in expectations:
            request = Request(scenery.HOST, expected.path, expected.method, dict(expected.headers))
            heard = {self.heard(service) for service in self.backends_of(request)}
            if not (expected.arms <= heard <= expected.arms | expected.tolerated):
                return ProbeResult(False, 1, 0.0, "RouteNotInForce", f"{expected.about}: heard {heard}.")
        return ProbeResult(True, len(expectations), 0.0)

    def heard(self, service: str) -> str:
        """Return what a probe hears of a Service."""
        if not self.pods_behind(service):
            return "error"
        return next((arm for arm in ("stable", "candidate") if service == names.relay_name("chat", arm)), "direct")

    def count_requests(self) -> None:
        """Let the relay's pods count what users sent since the last time, each second in one pod."""
        relays = [pod for pod in self.pods_behind(names.relay_name("chat", "stable"))]
        until, since, self.counted_until = int(self.now), self.counted_until, int(self.now)
        if not relays:
            return
        split = {tenant: self.backends_for(tenant) for tenant in (*scenery.TENANTS, "")}
        broken = rung_of(self._relayed()) in self.broken
        for second in range(max(since, until - REPORTED_SECONDS), until):
            pod = relays[second % len(relays)]["metadata"]
            for tenant, backends in split.items():
                for arm in ("stable", "candidate"):
                    started = REQUESTS_PER_SECOND * backends.get(names.relay_name("chat", arm), 0) // 100
                    bad = started if broken and arm == "candidate" else 0
                    self._count(pod, second, tenant, arm, started, bad)

    def _relayed(self) -> str:
        """Return the release that the relay's candidate arm leads to."""
        relay = self.api.objects[DEPLOYMENT].get(("team", names.relay_name("chat")))
        return argument(relay, "--release") if relay else ""

    def _count(self, pod: Manifest, second: int, tenant: str, arm: Any, started: int, bad: int) -> None:
        if not started:
            return
        rows = self.rows.setdefault(f"{pod['name']}/{pod['uid']}", [])
        told = {"bucket": second, "pod": pod["name"], "arm": arm, "tenant": tenant, "started": started}
        rows.append(Row(**told, stage="first", bad={"error5xx": bad} if bad else {}, histogram={"60": started}))
        rows.append(Row(**told, stage="end", histogram={"40": started - bad}))

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer the operator's own requests to pods: a prompt, or a relay's evidence."""
        pods = [pod for pod in self.all(POD) if (pod.get("status") or {}).get("podIP") == request.url.host]
        if not pods:
            raise httpx.ConnectError("nobody there", request=request)
        if request.url.path == "/evidence":
            return httpx.Response(200, content=self._report(pods[0]).model_dump_json(by_alias=True))
        text = "���" if rung_of(_label(pods[0], names.REVISION)) in self.mute else "The capital of France is Paris."
        return httpx.Response(200, json={"choices": [{"message": {"content": text}}]})

    def _report(self, pod: Manifest) -> RelayReport:
        metadata, until = pod["metadata"], int(self.now) - 1
        rows = self.rows.get(f"{metadata['name']}/{metadata['uid']}", [])
        return RelayReport(
            pod=metadata["name"],
            boot=metadata["uid"],
            now=self.now,
            closed_until={"first": until, "end": until},
            rows=tuple(row for row in rows if row.bucket > self.now - REPORTED_SECONDS),
            in_flight={"stable": 0, "candidate": 0},
            tenants=self.tenants,
        )

    def really_sent(self, pod_and_boot: str, until: int) -> Counter[str]:
        """Return by tenant how many requests a relay pod took up to a second: what evidence may have counted."""
        counted: Counter[str] = Counter()
        for row in self.rows.get(pod_and_boot, []):
            if row.stage == "first" and row.bucket <= until:
                counted[row.tenant] += row.started
        return counted


class Direct(Kube):
    """The client without a wire: for tests that take thousands of turns."""

    def __init__(self, api: FakeApi) -> None:
        self.server, self.calls = api, Counter()

    async def _json(
        self, verb: str, method: str, kind: Kind, path: str, query: Any = None, *, body: Any = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:  # fmt: skip
        asked = json.loads(json.dumps(body)) if body is not None else {}
        try:
            answer = self.server.answer(method, parse(path), query or {}, asked, content_type)
        except Refused as no:
            raise error_from(no.code, no.status) from None
        found: dict[str, Any] = json.loads(json.dumps(answer))
        return found


async def acting_gateway(expectations: Any, endpoints: Any, **options: Any) -> ProbeResult:
    """Probe the gateway of whichever cluster's operator takes its turn: to be put in place of `probe`."""
    return await Play.acting.probe(expectations, endpoints, **options)


def argument(deployment: Manifest, flag: str) -> str:
    """Return an argument of a Deployment's first container."""
    arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    return str(arguments[arguments.index(flag) + 1])


def rung_of(revision: str) -> str:
    """Return the rung that a release's name holds."""
    return revision.removeprefix("chat-").rpartition("-")[0]


def _label(manifest: Manifest, key: str) -> str:
    return str((manifest["metadata"].get("labels") or {}).get(key, ""))
