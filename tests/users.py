"""Users of the cluster at play: which pods answer them by the routes in force, and what the relay counts of it.

Here: requests and answers, those of the operator too. Not here: where pods come from (`tests.controllers`).
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx

from bitshift_core.evidence.live import RelayReport, Row
from bitshift_core.rollout import names
from bitshift_core.rollout.snapshot import Manifest
from bitshift_operator.cluster.kinds import DEPLOYMENT, HTTP_ROUTE, POD
from bitshift_operator.cluster.probe import ProbeResult
from tests import scenery
from tests.bitshift_core.traffic.gateway_model import Request, winner
from tests.controllers import START, Controllers, rung_of

REQUESTS_PER_SECOND = 40
"""Of each tenant."""
REPORTED_SECONDS = 8


@dataclass(kw_only=True)
class Users(Controllers):
    """Requests, and what makes their answers good or bad."""

    broken: set[str] = field(default_factory=set)
    """Rungs that answer users with errors."""
    mute: set[str] = field(default_factory=set)
    """Rungs whose pods answer prompts with garbage."""
    deaf: bool = False
    """True lets the gateway do nothing of what routes say, as far as probes can tell."""
    tenants: tuple[str, ...] = scenery.TENANTS
    """Those that the relay says it knows."""
    rows: dict[str, list[Row]] = field(default_factory=dict)
    """What each relay pod counted, by its name and boot."""
    counted_until: int = START
    _answers: tuple[object, dict[object, dict[str, int]]] = (None, {})

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
        text = "���" if rung_of(label(pods[0], names.REVISION)) in self.mute else "The capital of France is Paris."
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


def argument(deployment: Manifest, flag: str) -> str:
    """Return an argument of a Deployment's first container."""
    arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    return str(arguments[arguments.index(flag) + 1])


def label(manifest: Manifest, key: str) -> str:
    """Return a label, empty when there is none."""
    return str((manifest["metadata"].get("labels") or {}).get(key, ""))
