import pytest

from bitshift_operator.cluster.client import Kube
from bitshift_operator.cluster.errors import AlreadyExists, ApiError, Conflict, Gone, Invalid, NotFound, Unreachable
from bitshift_operator.cluster.kinds import CONFIG_MAP, DEPLOYMENT, NODE, POD, QUANTIZED_MODEL
from tests.fake_api import FakeApi
from tests.fake_store import Refused

PIE = CONFIG_MAP.new("ns", "pie", data={"apples": "3"})


def labelled(name, **labels):
    manifest = CONFIG_MAP.new("ns", name)
    manifest["metadata"]["labels"] = labels
    return manifest


def test_the_path_of_an_object_names_group_namespace_and_subresource():
    assert DEPLOYMENT.path("ns", "chat", "scale") == "/apis/apps/v1/namespaces/ns/deployments/chat/scale"
    assert POD.path("ns") == "/api/v1/namespaces/ns/pods"
    assert POD.path() == "/api/v1/pods"
    assert NODE.path("", "gpu-1") == "/api/v1/nodes/gpu-1"


async def test_what_was_created_is_read_back(kube: Kube):
    created = await kube.create(PIE)

    assert await kube.get(CONFIG_MAP, "ns", "pie") == created
    assert created["data"] == {"apples": "3"}
    assert await kube.get(CONFIG_MAP, "ns", "cake") is None


async def test_a_taken_name_is_told_apart_from_a_changed_object(kube: Kube):
    created = await kube.create(PIE)
    with pytest.raises(AlreadyExists):
        await kube.create(PIE)

    await kube.patch_merge(CONFIG_MAP, "ns", "pie", {"data": {"apples": "4"}})
    with pytest.raises(Conflict) as outdated:
        await kube.replace(created)
    assert not isinstance(outdated.value, AlreadyExists)


async def test_apply_creates_changes_and_takes_back_only_what_it_wrote(kube: Kube):
    await kube.apply(CONFIG_MAP.new("ns", "pie", data={"apples": "3", "sugar": "1"}))
    await kube.patch_merge(CONFIG_MAP, "ns", "pie", {"data": {"cream": "2"}})

    applied = await kube.apply(PIE)

    assert applied["data"] == {"apples": "3", "cream": "2"}


async def test_an_apply_that_changes_nothing_makes_no_new_version(kube: Kube):
    first = await kube.apply(PIE)

    assert (await kube.apply(PIE))["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_a_dry_run_leaves_nothing_behind(kube: Kube):
    await kube.apply(PIE, dry_run=True)

    assert await kube.get(CONFIG_MAP, "ns", "pie") is None


async def test_a_merge_patch_deletes_what_it_sets_to_none(kube: Kube):
    await kube.create(PIE)

    assert (await kube.patch_merge(CONFIG_MAP, "ns", "pie", {"data": {"apples": None}}))["data"] == {}


async def test_a_json_patch_whose_test_fails_changes_nothing(kube: Kube):
    await kube.create(PIE)
    operations = [
        {"op": "test", "path": "/data/apples", "value": "4"},
        {"op": "replace", "path": "/data/apples", "value": "5"},
    ]
    with pytest.raises(Invalid):
        await kube.patch_json(CONFIG_MAP, "ns", "pie", operations)

    operations[0]["value"] = "3"
    assert (await kube.patch_json(CONFIG_MAP, "ns", "pie", operations))["data"] == {"apples": "5"}


async def test_status_and_spec_are_written_apart(kube: Kube):
    model = await kube.create(QUANTIZED_MODEL.new("ns", "chat", spec={"suspend": False}, status={"phase": "ignored"}))
    assert "status" not in model

    written = await kube.replace_status(model | {"spec": {"suspend": True}, "status": {"phase": "Planning"}})

    assert (written["spec"], written["status"]) == ({"suspend": False}, {"phase": "Planning"})
    assert written["metadata"]["generation"] == 1
    with pytest.raises(Conflict):
        await kube.replace_status(model | {"status": {"phase": "Serving"}})


async def test_scaling_changes_replicas_alone(kube: Kube):
    await kube.create(DEPLOYMENT.new("ns", "chat", spec={"replicas": 1, "paused": True}))

    await kube.patch_merge(DEPLOYMENT, "ns", "chat", {"spec": {"replicas": 3}}, subresource="scale")

    deployment = await kube.get(DEPLOYMENT, "ns", "chat")
    assert deployment and deployment["spec"] == {"replicas": 3, "paused": True}


async def test_delete_says_whether_there_was_anything_and_refuses_another_object(kube: Kube):
    created = await kube.create(PIE)
    with pytest.raises(Conflict):
        await kube.delete(CONFIG_MAP, "ns", "pie", uid="another")

    assert await kube.delete(CONFIG_MAP, "ns", "pie", uid=created["metadata"]["uid"])
    assert not await kube.delete(CONFIG_MAP, "ns", "pie")


async def test_an_object_with_a_finalizer_stays_until_that_is_taken_off(kube: Kube):
    held = QUANTIZED_MODEL.new("ns", "chat")
    held["metadata"]["finalizers"] = ["bitshift.dev/routes"]
    owner = await kube.create(held)
    owned = CONFIG_MAP.new("ns", "facts")
    owned["metadata"]["ownerReferences"] = [{"uid": owner["metadata"]["uid"]}]
    await kube.create(owned)

    await kube.delete(QUANTIZED_MODEL, "ns", "chat")
    dying = await kube.get(QUANTIZED_MODEL, "ns", "chat")
    assert dying and dying["metadata"]["deletionTimestamp"]

    await kube.patch_merge(QUANTIZED_MODEL, "ns", "chat", {"metadata": {"finalizers": None}})
    assert await kube.get(QUANTIZED_MODEL, "ns", "chat") is None
    assert await kube.get(CONFIG_MAP, "ns", "facts") is None


async def test_a_list_of_many_pages_is_whole_and_says_what_its_items_are(kube: Kube, monkeypatch):
    monkeypatch.setattr("bitshift_operator.cluster.client.PAGE_SIZE", 2)
    for number in range(5):
        await kube.create(CONFIG_MAP.new("ns", f"map-{number}"))

    items, version = await kube.list(CONFIG_MAP, "ns")

    assert [item["metadata"]["name"] for item in items] == [f"map-{number}" for number in range(5)]
    assert items[0]["kind"] == "ConfigMap"
    assert int(version) >= int(items[-1]["metadata"]["resourceVersion"])


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("app=a", ["one"]),
        ("app!=a", ["two", "zero"]),
        ("app in (a, b),tier", ["two"]),
        ("!app", ["zero"]),
    ],
)
async def test_a_list_holds_what_its_label_selector_selects(kube: Kube, selector, names):
    for manifest in (labelled("one", app="a"), labelled("two", app="b", tier="x"), labelled("zero")):
        await kube.create(manifest)

    items, _ = await kube.list(CONFIG_MAP, label_selector=selector)

    assert [item["metadata"]["name"] for item in items] == names


async def test_a_watch_tells_what_happened_since_a_version(kube: Kube):
    _, version = await kube.list(CONFIG_MAP)
    await kube.create(labelled("pie", model="a"))
    await kube.patch_merge(CONFIG_MAP, "ns", "pie", {"metadata": {"labels": {"tier": "x"}}})
    await kube.patch_merge(CONFIG_MAP, "ns", "pie", {"metadata": {"labels": {"model": "b"}}})

    events = []
    async for event, manifest in kube.watch(CONFIG_MAP, resource_version=version, label_selector="model=a"):
        events.append((event, manifest["metadata"]["name"]))
        if event == "DELETED":
            break

    assert events == [("ADDED", "pie"), ("MODIFIED", "pie"), ("DELETED", "pie")]


async def test_a_line_longer_than_any_buffer_is_one_event(kube: Kube, api: FakeApi):
    api.put(CONFIG_MAP.new("ns", "large", data={"text": "x" * 3_000_000}))

    async for _, manifest in kube.watch(CONFIG_MAP, resource_version="1"):
        assert len(manifest["data"]["text"]) == 3_000_000
        break


async def test_a_watch_from_a_forgotten_version_asks_to_list_again(kube: Kube, api: FakeApi):
    created = await kube.create(PIE)
    api.forget_history()

    with pytest.raises(Gone):
        async for _ in kube.watch(CONFIG_MAP, resource_version=created["metadata"]["resourceVersion"]):
            pass


async def test_a_refused_object_carries_the_servers_sentence(kube: Kube, api: FakeApi):
    api.admit = lambda manifest: "spec.ladder must not be empty"

    with pytest.raises(Invalid, match=r"spec\.ladder must not be empty"):
        await kube.create(QUANTIZED_MODEL.new("ns", "chat"))


async def test_an_overloaded_server_is_one_to_ask_again(kube: Kube, api: FakeApi):
    def refuse(verb, target):
        raise Refused(503, "ServiceUnavailable", "etcd is away")

    api.interrupt = refuse
    with pytest.raises(Unreachable, match="etcd is away") as error:
        await kube.get(POD, "ns", "chat")
    assert error.value.status == 503


async def test_no_answer_at_all_is_an_error_of_ours(kube: Kube):
    kube.api.configuration.host = "http://127.0.0.1:9"

    with pytest.raises(Unreachable):
        await kube.get(POD, "ns", "chat")
    assert kube.calls["get", "pods", 0] == 1


async def test_a_kind_that_is_not_served_cannot_be_listed(kube: Kube, api: FakeApi):
    def refuse(verb, target):
        raise Refused(404, "NotFound", "the server could not find the requested resource")

    api.interrupt = refuse
    with pytest.raises(NotFound):
        await kube.list(POD)


async def test_logs_are_plain_text(kube: Kube, api: FakeApi):
    api.logs["ns", "chat-0"] = "loaded 4 GiB\n"

    assert await kube.logs("ns", "chat-0", container="engine") == "loaded 4 GiB\n"


async def test_the_log_of_the_container_before_is_asked_for_with_times_and_bounds(kube: Kube, api: FakeApi):
    asked: list[dict[str, str]] = []
    api.hear = asked.append
    await kube.logs("ns", "chat-0", container="engine", tail_lines=5, limit_bytes=99, previous=True, timestamps=True)

    assert asked == [
        {"tailLines": "5", "limitBytes": "99", "container": "engine", "previous": "true", "timestamps": "true"}
    ]


async def test_calls_are_counted_by_verb_kind_and_answer(kube: Kube):
    await kube.apply(PIE)
    await kube.get(CONFIG_MAP, "ns", "pie")
    await kube.get(CONFIG_MAP, "ns", "cake")

    assert kube.calls == {
        ("apply", "configmaps", 200): 1,
        ("get", "configmaps", 200): 1,
        ("get", "configmaps", 404): 1,
    }


def test_all_errors_are_api_errors():
    assert issubclass(AlreadyExists, Conflict) and issubclass(Conflict, ApiError)
