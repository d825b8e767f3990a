import httpx
import pytest

from bitshift_core.api.conditions import timestamp
from bitshift_core.evidence.live import RelayReport
from bitshift_core.rollout import names
from bitshift_core.traffic.routes import overlay_labels
from bitshift_operator.cluster.caches import Caches
from bitshift_operator.cluster.kinds import (
    CONFIG_MAP,
    CUSTOM_RESOURCE_DEFINITION,
    DEPLOYMENT,
    HTTP_ROUTE,
    KINDS,
    LEADER_WORKER_SET,
    NODE,
    POD,
    QUANTIZED_MODEL,
    RESOURCE_CLAIM,
    RESOURCE_SLICE,
    RUNTIME_PROFILE,
    SERVICE,
)
from bitshift_operator.cluster.observe import Reader
from bitshift_operator.settings import Settings
from tests import scenery
from tests.builders import NOW
from tests.direct import Direct
from tests.fake_api import FakeApi
from tests.fake_store import Refused
from tests.play import CACHED, CHAT, ENGINES


@pytest.fixture
def api():
    api = FakeApi()
    for manifest in scenery.everything(timestamp(NOW)):
        api.put(manifest)
    return api


@pytest.fixture
def snapshot(api):
    """Reads the cluster as it is now; relay pods answer by `reports`, by address."""

    async def read(reports=None, **spec):
        def handler(request):
            answer = (reports or {})[request.url.host]
            if isinstance(answer, Exception):
                raise answer
            return httpx.Response(200, content=answer)

        if spec:
            model = api.get(QUANTIZED_MODEL, *CHAT)
            api.put({**model, "spec": model["spec"] | spec})
        caches = Caches()
        for name, kind in CACHED.items():
            for manifest in api.all(kind):
                getattr(caches, name).put(manifest)
        http = httpx.AsyncClient(transport=httpx.MockTransport(handler))
        return await Reader(Direct(api), caches, Settings(), ENGINES, http).snapshot(CHAT, NOW)

    return read


def a_suite(namespace, name="mine", **metadata):
    suite = scenery.a_suite()
    return suite | {"metadata": {"name": name, "namespace": namespace, **metadata}}


def a_relay_pod(name, address, **metadata):
    pod = POD.new("team", name, spec={"nodeName": "node-1"})
    pod["metadata"] |= {"labels": names.labels("chat", role="relay"), **metadata}
    ready = {"type": "Ready", "status": "True"}
    pod["status"] = {"phase": "Running", "podIP": address, "conditions": [ready]}
    return pod


def a_report(pod):
    return RelayReport(pod=pod, boot="b", now=NOW, in_flight={"stable": 1}).model_dump_json(by_alias=True)


async def test_a_model_that_is_gone_is_nothing_to_look_at(api, snapshot):
    api.remove(QUANTIZED_MODEL, *CHAT)

    assert await snapshot() is None


async def test_the_template_of_a_users_deployment_is_read_though_caches_hold_only_its_size(snapshot):
    found = await snapshot()

    assert found.home_owner["spec"]["template"]["spec"]["containers"][0]["args"]
    assert found.home_owner is found.users_owner


async def test_a_stable_without_a_deployment_is_read_from_one_of_its_pods(api, snapshot):
    template = api.get(DEPLOYMENT, "team", "chat")["spec"]["template"]
    api.remove(DEPLOYMENT, "team", "chat")
    api.put(POD.new("team", "chat-0", spec=template["spec"]) | {"metadata": {
        "name": "chat-0", "namespace": "team", "labels": {"app": "chat"}}})  # fmt: skip
    found = await snapshot()

    assert found.home_owner is None
    assert found.home_pods[0]["spec"]["containers"][0]["args"]


async def test_a_stable_on_nodes_is_read_from_what_makes_its_groups(api, snapshot):
    template = api.get(DEPLOYMENT, "team", "chat")["spec"]["template"]
    api.remove(DEPLOYMENT, "team", "chat")
    group = {"size": 2, "workerTemplate": template}
    api.put(LEADER_WORKER_SET.new("team", "chat", spec={"replicas": 1, "leaderWorkerTemplate": group}))
    found = await snapshot()

    assert (found.home_owner["kind"], found.serves_groups) == ("LeaderWorkerSet", True)


async def test_after_a_promotion_home_is_the_promoted_pods_and_the_users_own_stay_known(api, snapshot):
    labels = names.labels("chat", revision="chat-q4-1", role="release")
    api.put(SERVICE.new("team", "chat-release", spec={"selector": labels, "ports": [{"port": 80}]}))
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": {"spec": {}}}
    made = DEPLOYMENT.new("team", "chat-q4-1", spec=spec)
    made["metadata"]["labels"] = labels
    api.put(made)
    found = await snapshot()

    assert found.home_owner["metadata"]["name"] == "chat-q4-1"
    assert found.users_owner["metadata"]["name"] == "chat"


async def test_without_names_the_built_in_suites_are_used_and_no_others(api, snapshot):
    api.put(a_suite("bitshift-system", "not-built-in"))

    assert list((await snapshot()).suites) == ["starter-facts"]


async def test_a_suite_of_the_models_namespace_comes_before_the_built_in_one_of_that_name(api, snapshot):
    own = a_suite("team", "starter-facts")
    api.put(own | {"spec": own["spec"] | {"marginPoints": 77}})
    found = await snapshot(gates={"quality": {"suites": [{"name": "starter-facts"}]}})

    assert found.suites["starter-facts"].margin_points == 77


async def test_a_suite_that_is_nowhere_is_left_for_the_spec_to_be_blamed(snapshot):
    assert (await snapshot(gates={"quality": {"suites": [{"name": "mine"}]}})).suites == {}


async def test_a_profile_that_does_not_validate_is_told_and_spoils_no_other(api, snapshot):
    api.put(RUNTIME_PROFILE.new("", "broken", spec={"image": "x", "formats": ["onnx"]}))
    found = await snapshot()

    assert set(found.profiles) == {"llamacpp"}
    assert "RuntimeProfile 'broken' cannot be used" in found.bad_profiles["broken"]


async def test_the_overlay_is_read_in_the_order_of_its_numbers_and_nothing_else_counts_as_it(api, snapshot):
    for name in ("chat-overlay-10", "chat-overlay-2", "chat-route"):
        route = HTTP_ROUTE.new("team", name, spec={"rules": []})
        route["metadata"]["labels"] = overlay_labels("chat")
        api.put(route)
    found = await snapshot()

    assert [each["metadata"]["name"] for each in found.overlay] == ["chat-overlay-2", "chat-overlay-10"]
    assert found.own_route["metadata"]["name"] == "chat-route"


async def test_routes_of_others_are_all_but_the_users_and_ours(api, snapshot):
    api.put(HTTP_ROUTE.new("else", "other", spec={"rules": []}))

    assert [each["metadata"]["name"] for each in (await snapshot()).other_routes] == ["other"]


def a_policy_kind(api, monkeypatch):
    kind = type(NODE)("example.dev/v1", "RatePolicy", "ratepolicies")
    monkeypatch.setitem(KINDS, (kind.api_version, kind.kind), kind)
    names_, version = {"kind": "RatePolicy", "plural": "ratepolicies"}, {"name": "v1", "served": True}
    spec = {"group": "example.dev", "names": names_, "versions": [version], "scope": "Namespaced"}
    crd = CUSTOM_RESOURCE_DEFINITION.new("", "ratepolicies.example.dev", spec=spec)
    crd["metadata"]["labels"] = {"gateway.networking.k8s.io/policy": "Direct"}
    api.put(crd)
    api.put(kind.new("team", "limits", spec={"targetRefs": [{"kind": "HTTPRoute", "name": "chat"}]}))
    return kind


async def test_policies_of_every_kind_that_says_so_are_read(api, snapshot, monkeypatch):
    a_policy_kind(api, monkeypatch)

    assert [each["metadata"]["name"] for each in (await snapshot()).policies] == ["limits"]


async def test_policies_that_must_not_be_read_stop_nothing(api, snapshot, monkeypatch):
    kind = a_policy_kind(api, monkeypatch)

    def forbid(target, query):
        if target.kind == kind:
            raise Refused(403, "Forbidden", "no")
        return list_all(target, query)

    list_all = api._list
    monkeypatch.setattr(api, "_list", forbid)

    assert (await snapshot()).policies == []


async def test_every_relay_pod_is_heard_and_one_that_is_silent_is_missed(api, snapshot):
    for number in (1, 2):
        api.put(a_relay_pod(f"relay-{number}", f"10.0.0.{number}"))
    found = await snapshot({"10.0.0.1": a_report("relay-1"), "10.0.0.2": httpx.ReadTimeout("slow")})

    assert [each.pod for each in found.relay_reports] == ["relay-1"]
    assert found.relay_pods_asked == 2


async def test_what_is_no_report_is_as_good_as_none(api, snapshot):
    api.put(a_relay_pod("relay-1", "10.0.0.1"))

    assert (await snapshot({"10.0.0.1": "<html>"})).relay_reports == ()


async def test_a_relay_pod_that_is_going_away_is_not_asked(api, snapshot):
    leaving = a_relay_pod("relay-1", "10.0.0.1", deletionTimestamp=timestamp(NOW), finalizers=["x"])
    api.put(leaving)
    found = await snapshot({})

    assert (found.relay_reports, found.relay_pods_asked) == ((), 0)


async def test_room_for_a_release_is_counted_without_its_own_pods(api, snapshot):
    labels = names.labels("chat", revision="chat-q4-1", role="release")
    made = DEPLOYMENT.new("team", "chat-q4-1", spec={"replicas": 1})
    made["metadata"]["labels"] = labels
    api.put(made)
    pod = POD.new("team", "p", spec={
        "nodeName": "node-1", "containers": [{"name": "e", "resources": {"requests": {"memory": "1Gi"}}}]})  # fmt: skip
    pod["metadata"]["labels"] = labels
    api.put(pod)
    found = await snapshot()

    assert found.nodes[0].memory_requested_bytes == 2**30
    assert found.nodes_without_ours["chat-q4-1"][0].memory_requested_bytes == 0


async def test_facts_verdicts_and_evidence_are_read_live(api, snapshot):
    for name in ("chat-verdicts", "chat-evidence", names.facts_name("pvc://models/q4.gguf", None), "else"):
        api.put(CONFIG_MAP.new("team", name))
    found = await snapshot()

    assert set(found.config_maps) == {
        "chat-verdicts", "chat-evidence", names.facts_name("pvc://models/q4.gguf", None),
    }  # fmt: skip


async def test_room_is_counted_without_what_other_models_were_promised(api, snapshot):
    """Another model's release was started a moment ago: its pods are not made, or have no node yet."""
    node = api.get(NODE, "", "node-1")
    api.put({**node, "status": node["status"] | {"allocatable": {"cpu": "8", "memory": "8Gi", "nvidia.com/gpu": "8"}}})
    limits = {"containers": [{"name": "e", "resources": {"limits": {"nvidia.com/gpu": "2"}}}]}
    for model in ("other", "chat"):
        made = DEPLOYMENT.new("team", f"{model}-awq-1", spec={"replicas": 2, "template": {"spec": limits}})
        made["metadata"]["labels"] = names.labels(model, revision=f"{model}-awq-1", role="release")
        api.put(made)
    foreign = POD.new("elsewhere", "train", spec=limits)
    api.put(foreign)
    (counted,) = (await snapshot()).nodes

    assert counted.gpu_free == 8 - 2 * 2 - 2
    assert {holder.pod for holder in counted.holders} == {
        "team/other-awq-1-0 (pending)", "team/other-awq-1-1 (pending)", "elsewhere/train (pending)",
    }  # fmt: skip


async def test_devices_that_drivers_publish_are_part_of_their_node(api, snapshot):
    device = {"name": "gpu-0", "attributes": {"type": {"string": "gpu"}}, "capacity": {"memory": {"value": "80Gi"}}}
    pool = {"name": "node-1", "generation": 1, "resourceSliceCount": 1}
    api.put(RESOURCE_SLICE.new("", "node-1-gpus", spec={
        "driver": "gpu.nvidia.com", "nodeName": "node-1", "pool": pool, "devices": [device, device | {"name": "gpu-1"}],
    }))  # fmt: skip
    held = {"driver": "gpu.nvidia.com", "pool": "node-1", "device": "gpu-1"}
    api.put(RESOURCE_CLAIM.new("team", "c", status={"allocation": {"devices": {"results": [held]}}}))
    (node,) = (await snapshot()).nodes

    assert [(offer.resource, offer.count, offer.free) for offer in node.offers] == [("gpu.nvidia.com", 2, 1)]
