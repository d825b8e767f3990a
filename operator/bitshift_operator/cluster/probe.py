"""Asking the data plane: a route is in force when requests say so, not when its status does.

Here: requests to the gateway and what answered them. Not here: what must answer (`traffic.expectations`).
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx

from bitshift_core.traffic.expectations import Expectation, Heard
from bitshift_core.traffic.gateways import GatewayEndpoint

PROBE_HEADER, ARM_HEADER = "x-bitshift-probe", "x-bitshift-arm"
CLEAN_ANSWERS = 4
"""Right answers in a row, each by a connection of its own: a gateway's replicas change one after another."""
AT_ONCE = 8
REQUEST_SECONDS = 2.0
GATEWAY_TROUBLE = (404, 500, 502, 503, 504)
PAUSE_SECONDS = 0.02
SURELY_HEARD = 7
"""Times the expected wait for an arm after which it is missed by chance once in a thousand: then there is no hurry."""


@dataclass(frozen=True)
class ProbeResult:
    """Whether every expectation was met at every listener, and if not, the first that was not."""

    confirmed: bool
    requests: int
    seconds: float
    reason: str = ""
    message: str = ""


@dataclass
class Question:
    """One expectation at one listener, and what was heard so far."""

    expectation: Expectation
    endpoint: GatewayEndpoint
    host: str
    heard: Counter[str] = field(default_factory=Counter)
    seen: set[Heard] = field(default_factory=set)
    clean: int = 0
    met: bool = False

    def hear(self, answer: Heard, detail: str) -> None:
        """Take in one answer; a wrong one starts the count anew, because a change may still be on its way."""
        self.heard[f"{answer} ({detail})"] += 1
        if answer in self.expectation.arms or answer in self.expectation.tolerated:
            self.seen.add(answer)
            self.clean += 1
        else:
            self.seen.clear()
            self.clean = 0
        self.met = self.clean >= CLEAN_ANSWERS and self.seen >= self.expectation.arms

    @property
    def pause_seconds(self) -> float:
        """How long to wait before asking again: not at all while an arm is merely rare."""
        rare = 0 < self.clean <= SURELY_HEARD * 100 // self.expectation.rarest_percent
        return 0 if rare else PAUSE_SECONDS

    def sentence(self, seconds: float) -> str:
        """Return what was expected and what was heard instead."""
        wanted = " and ".join(sorted(self.expectation.arms)) or "anything but the relay"
        got = ", ".join(f"{arm} {times} times" for arm, times in sorted(self.heard.items())) or "nothing"
        where = f"{self.host}{self.expectation.path}"
        return (
            f"Gateway listener {self.endpoint.listener} did not answer {self.expectation.about} for '{where}' by "
            f"{wanted} within {seconds:.1f} s; heard: {got}."
        )


async def probe(
    expectations: Sequence[Expectation],
    endpoints: Sequence[GatewayEndpoint],
    *,
    token: str,
    deadline_seconds: float = 10.0,
) -> ProbeResult:
    """Send requests until each expectation is met at each listener that serves its host, or the time is up."""
    started = time.monotonic()
    questions = questions_for(expectations, endpoints)
    if expectations and not questions:
        hosts = ", ".join(sorted({expected.host or "any host" for expected in expectations}))
        return ProbeResult(False, 0, 0.0, "NoListener", f"No listener of the gateway serves {hosts}.")
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(verify=False, trust_env=False, limits=limits, timeout=REQUEST_SECONDS) as client:
        turns = asyncio.Semaphore(AT_ONCE)
        try:
            async with asyncio.timeout(deadline_seconds), asyncio.TaskGroup() as group:
                for question in questions:
                    group.create_task(ask(client, question, token, turns))
        except TimeoutError:
            pass
    return summary(questions, time.monotonic() - started)


def questions_for(expectations: Sequence[Expectation], endpoints: Sequence[GatewayEndpoint]) -> list[Question]:
    """Return each expectation for each listener that serves its host."""
    return [
        Question(expected, endpoint, host)
        for expected in expectations
        for endpoint in endpoints
        if (host := endpoint.host_for(expected.host)) is not None
    ]


def summary(questions: Sequence[Question], seconds: float) -> ProbeResult:
    """Return the result, with the first unmet question as its sentence."""
    requests = sum(question.heard.total() for question in questions)
    unmet = next((question for question in questions if not question.met), None)
    if unmet is None:
        return ProbeResult(True, requests, seconds)
    return ProbeResult(False, requests, seconds, "RouteNotInForce", unmet.sentence(seconds))


async def ask(client: httpx.AsyncClient, question: Question, token: str, turns: asyncio.Semaphore) -> None:
    """Ask until the question is met; whoever waits for a change lets the others go first."""
    while not question.met:
        async with turns:
            question.hear(*await heard(client, question, token))
        await asyncio.sleep(question.pause_seconds)


async def heard(client: httpx.AsyncClient, question: Question, token: str) -> tuple[Heard, str]:
    """Return what answered one request and how, by the first of the listener's addresses that can be reached at all."""
    for url in question.endpoint.urls:
        try:
            return await answer(client, question, url, token)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            continue
        except httpx.HTTPError as error:
            return "error", type(error).__name__
    return "error", "no connection"


async def answer(client: httpx.AsyncClient, question: Question, url: str, token: str) -> tuple[Heard, str]:
    """Send one request and return who answered and its status; the body is not read, it may be a stream without end."""
    expected = question.expectation
    headers = [*expected.headers, (PROBE_HEADER, token), ("connection", "close")]
    if question.host:
        headers.append(("host", question.host))
    extensions = {"sni_hostname": question.host} if question.host else {}
    request = client.build_request(
        expected.method, f"{url}{expected.path}", params=expected.query, headers=headers, extensions=extensions
    )
    response = await client.send(request, stream=True)
    await response.aclose()
    return read(response), str(response.status_code)


def read(response: httpx.Response) -> Heard:
    """Return the arm that the relay names, else whether an engine answered or the gateway for want of one.

    An engine says even its errors in JSON, gateways do not: without that, a gateway that serves no route at all would
    pass for everybody's being home.
    """
    match response.headers.get(ARM_HEADER):
        case "stable":
            return "stable"
        case "candidate":
            return "candidate"
    is_json = "json" in response.headers.get("content-type", "")
    return "error" if response.status_code in GATEWAY_TROUBLE and not is_json else "direct"
