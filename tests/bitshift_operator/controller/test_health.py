import aiohttp

from bitshift_operator.cluster.client import Kube
from bitshift_operator.cluster.kinds import POD, Key
from bitshift_operator.cluster.watch import Cache, Reflector, slim
from bitshift_operator.controller.health import Health
from bitshift_operator.controller.queue import WorkQueue


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def a_leader(kube, clock):
    reflector = Reflector(kube, POD, Cache(slim), clock=clock)
    return Health(WorkQueue(clock=clock), 100, [reflector], is_leader=lambda: True, clock=clock)


async def test_a_leader_is_ready_once_its_caches_are_filled(kube: Kube):
    health = a_leader(kube, Clock())
    assert health.missing() == ["Still listing pods."]

    health.reflectors[0].synced.set()
    assert health.missing() == []


async def test_a_watch_that_heard_nothing_for_long_is_an_ailment(kube: Kube):
    clock = Clock()
    health = a_leader(kube, clock)
    clock.now = 1000.0
    assert health.ailments() == []  # it does not run yet

    health.reflectors[0].last_heard_at = 500.0
    assert health.ailments() == ["The watch of pods heard nothing for 500 s."]


async def test_a_model_that_no_worker_takes_up_is_an_ailment(kube: Kube):
    clock = Clock()
    health = a_leader(kube, clock)
    health.queue.add(Key("ns", "chat"))
    clock.now = 101.0

    assert health.ailments() == ["A model waits for a worker since 101 s (limit 100 s)."]


async def test_a_standby_is_ready_and_well(kube: Kube):
    health = a_leader(kube, Clock())
    health.is_leader = lambda: False

    assert health.missing() == health.ailments() == []


async def test_probes_and_numbers_are_served_on_ports_of_their_own(kube: Kube):
    health = a_leader(kube, Clock())
    health.metrics = lambda: b"bitshift_leader 1\n"

    async with health.served(0, 0, "127.0.0.1") as (probes, numbers), aiohttp.ClientSession() as session:
        answers = {path: await session.get(f"{probes}{path}") for path in ("/healthz", "/readyz", "/metrics")}
        scraped = await session.get(f"{numbers}/metrics")

        assert {path: answer.status for path, answer in answers.items()} == {
            "/healthz": 200,
            "/readyz": 503,
            "/metrics": 404,
        }
        assert await answers["/readyz"].text() == "Still listing pods."
        assert await scraped.read() == b"bitshift_leader 1\n"
