import base64
from dataclasses import replace

import httpx
import pytest

from bitshift_core.artifact.digests import text_digest
from bitshift_core.evidence.live import LiveState
from bitshift_core.evidence.report import GateReport, Verdict
from bitshift_core.rollout import names, plan
from bitshift_core.rollout.one_pod import has_answered, report_of
from bitshift_core.rollout.seeing import see
from bitshift_core.rollout.snapshot import PodLog
from bitshift_operator.cluster.act import Turn
from bitshift_operator.cluster.errors import Conflict
from bitshift_operator.cluster.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    JOB,
    MODEL_REVISION,
    POD,
    RESOURCE_CLAIM_TEMPLATE,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
)
from bitshift_operator.settings import Settings
from tests.bitshift_core.rollout.snapshots import a_model, a_snapshot
from tests.bitshift_core.starting.excerpts import RULES
from tests.builders import NOW
from tests.direct import Direct
from tests.fake_api import FakeApi

REPORT = GateReport(gate="quality", revision="r", verdict=Verdict.FAILED, message="It failed.")


@pytest.fixture
def api():
    return FakeApi()


@pytest.fixture
def turn(api):
    """Returns a turn over a snapshot, whose pods say that Paris is a capital."""

    def begin(snapshot=None, answer="The capital is Paris.", **seen):
        async def handler(request):
            asked.append(request)
            return httpx.Response(200, json={"choices": [{"message": {"content": answer}}]})

        asked = begin.asked = []
        snapshot = snapshot or a_snapshot()
        http = httpx.AsyncClient(transport=httpx.MockTransport(handler))
        return Turn(Direct(api), Settings(), http, replace(see(snapshot), **seen), snapshot, NOW)

    return begin


def found(api, kind):
    return [each["metadata"]["name"] for each in api.all(kind)]


def a_ready_pod(name, **labels):
    ready = {"type": "Ready", "status": "True"}
    running = {"name": "engine", "containerID": "c1", "restartCount": 0, "state": {"running": {}}}
    status = {"phase": "Running", "podIP": "10.0.0.1", "conditions": [ready], "containerStatuses": [running]}
    pod = POD.new("team", name, spec={}, status=status)
    pod["metadata"]["labels"] = names.labels("chat", **labels)
    return pod


async def test_a_pod_never_runs_what_no_sealed_revision_says(api, turn):
    first = turn()
    order = []
    api.after = lambda verb, target: order.append(target.kind)
    await first.act((plan.StartRelease(first.seen.releases[0]),))

    assert order == [MODEL_REVISION, SERVICE, DEPLOYMENT]


CLAIM = {"devices": {"requests": [{"name": "gpus"}]}}


def claiming(release):
    """The same release where drivers publish GPUs as devices."""
    sealed = release.sealed.model_copy(update={"gpus_per_replica": 2})
    return replace(release, sealed=sealed, fit=replace(release.fit, claim=CLAIM))


async def test_a_release_that_claims_devices_gets_its_template_before_its_pods(api, turn):
    first = turn()
    order = []
    api.after = lambda verb, target: order.append(target.kind)
    release = claiming(first.seen.releases[0])
    await first.act((plan.StartRelease(release),))

    assert order == [MODEL_REVISION, SERVICE, RESOURCE_CLAIM_TEMPLATE, DEPLOYMENT]
    assert api.get(RESOURCE_CLAIM_TEMPLATE, "team", release.revision)["spec"]["spec"] == CLAIM


async def test_what_was_made_already_is_made_again_without_harm(api, turn):
    actions = (plan.StartRelease(turn().seen.releases[0]), plan.ReadFacts("pvc://models/q4.gguf"))
    await turn().act(actions)
    before = api.version
    await turn().act(actions)

    assert api.version == before


async def test_a_reading_is_run_once_by_an_account_that_may_write_its_facts(api, turn):
    await turn().act((plan.ReadFacts("pvc://models/q4.gguf"),))
    name = names.facts_name("pvc://models/q4.gguf", None)

    assert found(api, CONFIG_MAP) == found(api, SERVICE_ACCOUNT) == [name]
    (job,) = api.all(JOB)
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == name


async def test_facts_that_another_model_had_read_stay_until_the_last_of_both_is_gone(api, turn):
    theirs = {"apiVersion": "v1", "kind": "QuantizedModel", "name": "other", "uid": "u-2"}
    facts = CONFIG_MAP.new("team", "bitshift-facts-1", data={"facts.json": "{}"})
    api.put(facts | {"metadata": facts["metadata"] | {"ownerReferences": [theirs]}})

    await turn().act((plan.OwnFacts("bitshift-facts-1"),))

    (kept,) = [each for each in api.all(CONFIG_MAP) if each["metadata"]["name"] == "bitshift-facts-1"]
    assert kept["data"] == {"facts.json": "{}"}
    assert {each["uid"] for each in kept["metadata"]["ownerReferences"]} == {"u-1", "u-2"}


async def test_what_a_gate_is_asked_lies_there_before_its_job(api, turn):
    release = turn().seen.releases[0]
    order = []
    api.after = lambda verb, target: order.append(target.kind)
    await turn().act((plan.RunGate(release, release.gates[2]),))

    assert order.index(CONFIG_MAP) < order.index(JOB)
    assert "chat-scores" in found(api, CONFIG_MAP)


async def test_verdicts_are_kept_beside_one_another(api, turn):
    await turn().act((plan.KeepVerdict("quality-1", REPORT), plan.KeepVerdict("load-1", REPORT)))

    assert set(api.get(CONFIG_MAP, "team", "chat-verdicts")["data"]) == {"quality-1", "load-1"}


async def test_verdicts_that_nobody_asks_for_any_longer_make_room(api, turn):
    await turn().act((plan.KeepVerdict("quality-0", REPORT),))
    kept = api.get(CONFIG_MAP, "team", "chat-verdicts")
    asked = turn().seen.releases[0].gates[1].key
    kept["data"] = dict.fromkeys([asked, *(f"old-{number}" for number in range(200))], REPORT.to_json())
    api.put(kept)
    known = a_snapshot().config_maps | {"chat-verdicts": kept}
    await turn(a_snapshot(config_maps=known)).act((plan.KeepVerdict("quality-1", REPORT),))
    left = api.get(CONFIG_MAP, "team", "chat-verdicts")["data"]

    assert len(left) <= 130
    assert {asked, "quality-1"} <= left.keys()


async def test_a_sensible_answer_is_noted_on_the_pod_that_gave_it(api, turn):
    revision = turn().seen.releases[0].revision
    pod = api.put(a_ready_pod("p", role="release", revision=revision))
    await turn(a_snapshot(pods=[pod])).act((plan.AskPods(revision),))

    assert has_answered(api.get(POD, "team", "p"))
    assert str(turn.asked[0].url).startswith("http://10.0.0.1:8080/")


async def test_what_an_engine_told_at_its_start_is_noted_with_its_first_answer(api, turn):
    revision = turn().seen.releases[0].revision
    pod = api.put(a_ready_pod("p", role="release", revision=revision))
    said = "srv load_model: initializing, n_slots = 4, n_ctx_slot = 512, kv_unified = 'false'"
    snapshot = a_snapshot(pods=[pod], logs={"p": PodLog(said)}, log_rules=RULES)
    await turn(snapshot).act((plan.AskPods(revision),))

    assert report_of(api.get(POD, "team", "p")).kv_tokens == 2048


async def test_garbage_is_not_noted(api, turn):
    revision = turn().seen.releases[0].revision
    pod = api.put(a_ready_pod("p", role="release", revision=revision))
    await turn(a_snapshot(pods=[pod]), answer="�").act((plan.AskPods(revision),))

    assert not has_answered(api.get(POD, "team", "p"))


async def test_only_the_pods_in_question_are_asked(api, turn):
    pods = [
        api.put(a_ready_pod("other", role="release", revision="chat-q8-1")),
        api.put(a_ready_pod("relay", role="relay")),
        api.put(a_ready_pod("idle", role="baseline")),
    ]
    await turn(a_snapshot(pods=pods)).act((plan.AskPods("", baseline=True),))

    assert [has_answered(api.get(POD, "team", each)) for each in ("other", "relay", "idle")] == [False, False, True]
    assert str(turn.asked[0].url).startswith("http://10.0.0.1:9000/")


async def test_the_key_is_read_when_it_is_needed_and_sent_to_the_pod_alone(api, turn):
    api.put(SECRET.new("team", "keys", data={"chat": base64.b64encode(b"s3cret").decode()}))
    model = a_model(serving={"apiKeySecret": {"name": "keys", "key": "chat"}})
    revision = turn(a_snapshot(model=model)).seen.releases[0].revision
    pod = api.put(a_ready_pod("p", role="release", revision=revision))
    await turn(a_snapshot(model=model, pods=[pod])).act((plan.AskPods(revision),))

    assert turn.asked[0].headers["authorization"] == "Bearer s3cret"
    assert "s3cret" not in str(api.all(POD))


async def test_evidence_that_somebody_else_counted_meanwhile_is_never_written_over(api, turn):
    await turn().act((plan.SaveEvidence(LiveState()),))
    kept = api.get(CONFIG_MAP, "team", "chat-evidence")
    stale = a_snapshot()
    stale = replace(stale, config_maps=stale.config_maps | {"chat-evidence": kept})
    api.put({**kept, "data": {"state.json": "{}"}})

    with pytest.raises(Conflict):
        await turn(stale).act((plan.SaveEvidence(LiveState(seen={"acme": 1})),))


async def test_a_reading_is_given_the_secret_by_name_and_the_mirror_of_the_settings(api, turn):
    reading = turn(a_snapshot(model=a_model(sources={"secret": "hub"})))
    reading.settings = Settings(hugging_face_endpoint="http://mirror")
    await reading.act((plan.ReadFacts("hf://org/m@main"),))
    (container,) = api.all(JOB)[0]["spec"]["template"]["spec"]["containers"]
    environment = {each["name"]: each for each in container["env"]}

    assert environment["HF_ENDPOINT"]["value"] == "http://mirror"
    assert environment["HF_TOKEN"]["valueFrom"]["secretKeyRef"]["name"] == "hub"
    assert "hub" not in str(container["args"])


async def test_a_chat_template_is_kept_before_a_pod_reads_it(api, turn):
    starting = turn()
    release = starting.seen.releases[0]
    release = replace(release, resolved=replace(release.resolved, chat_template="{{ m }}"))
    await starting.act((plan.StartRelease(release),))
    kept = api.get(CONFIG_MAP, "team", names.chat_template_name(text_digest("{{ m }}")))

    assert kept["data"] == {"chat_template.jinja": "{{ m }}"}
