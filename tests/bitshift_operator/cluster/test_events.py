from bitshift_operator.cluster.client import Kube
from bitshift_operator.cluster.events import EventPoster
from bitshift_operator.cluster.kinds import EVENT, QUANTIZED_MODEL
from tests.fake_api import FakeApi
from tests.fake_store import Refused


def a_model():
    manifest = QUANTIZED_MODEL.new("ns", "chat")
    manifest["metadata"]["uid"] = "u1"
    return manifest


async def test_a_milestone_is_posted_once(kube: Kube, api: FakeApi):
    poster = EventPoster(kube, lambda: 1_800_000_000.0)
    for _ in range(3):
        await poster.post(a_model(), "Promoted", "All tenants are on awq.")

    (event,) = api.all(EVENT)
    assert (event["reason"], event["type"], event["count"]) == ("Promoted", "Normal", 1)
    assert event["involvedObject"]["uid"] == "u1"
    assert event["firstTimestamp"] == "2027-01-15T08:00:00Z"


async def test_another_message_is_another_event(kube: Kube, api: FakeApi):
    poster = EventPoster(kube, lambda: 1_800_000_000.0)
    await poster.post(a_model(), "RolledBack", "3 of 40 answers were lost.", warning=True)
    await poster.post(a_model(), "RolledBack", "4 of 40 answers were lost.", warning=True)

    assert [event["type"] for event in api.all(EVENT)] == ["Warning", "Warning"]


async def test_what_a_restarted_operator_says_again_is_counted(kube: Kube, api: FakeApi):
    for now in (1_800_000_000.0, 1_800_000_060.0):
        await EventPoster(kube, lambda now=now: now).post(a_model(), "Promoted", "All tenants are on awq.")

    (event,) = api.all(EVENT)
    assert (event["count"], event["lastTimestamp"]) == (2, "2027-01-15T08:01:00Z")


async def test_a_milestone_that_cannot_be_posted_stops_nothing(kube: Kube, api: FakeApi):
    def refuse(verb, target):
        raise Refused(403, "Forbidden", "no")

    api.interrupt = refuse
    await EventPoster(kube, lambda: 0.0).post(a_model(), "Promoted", "All tenants are on awq.")
