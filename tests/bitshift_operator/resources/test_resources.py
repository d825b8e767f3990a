import pytest

from bitshift_core.rollout import names
from bitshift_operator.resources import config_map, model_revision, scratch, service
from tests.bitshift_operator.resources.made import (
    OWNER,
    REVISION,
    a_facts_job,
    a_gate_job,
    a_relay,
    a_release,
    pod_of,
)

PODS = {
    "a release": a_release(),
    "a release that is fetched": a_release("https://host/q4.gguf"),
    "the relay": a_relay(),
    "a reading": a_facts_job(),
    "a gate": a_gate_job(),
}


@pytest.mark.parametrize("name", PODS)
def test_every_pod_of_ours_is_what_the_restricted_standard_asks_for(name):
    pod = pod_of(PODS[name])

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    assert not any("hostPath" in volume for volume in pod.get("volumes", []))


@pytest.mark.parametrize("name", ["a release", "a release that is fetched", "the relay"])
def test_what_users_requests_reach_holds_no_token_of_the_api_server(name):
    assert pod_of(PODS[name])["automountServiceAccountToken"] is False


@pytest.mark.parametrize("name", PODS)
def test_no_container_takes_variables_from_services_that_are_called_like_its_own(name):
    assert pod_of(PODS[name])["enableServiceLinks"] is False


@pytest.mark.parametrize("name", PODS)
def test_every_container_says_what_it_needs(name):
    for container in pod_of(PODS[name])["containers"]:
        assert container["resources"]["requests"]


def test_everything_of_ours_is_owned_and_labelled():
    made = [*PODS.values(), config_map.config_map(OWNER, "c", {}), service.release(OWNER, REVISION, 8080)]
    for manifest in made:
        assert manifest["metadata"]["ownerReferences"][0]["uid"] == "u-1"
        assert manifest["metadata"]["labels"].items() >= names.labels("chat").items()


def test_a_service_of_one_release_leads_to_its_pods_alone():
    selector = service.release(OWNER, REVISION, 8080)["spec"]["selector"]
    labels = a_release()["spec"]["template"]["metadata"]["labels"]

    assert selector.items() <= labels.items()
    assert selector[names.REVISION] == REVISION


def test_the_service_to_hand_over_to_keeps_its_name_and_port_whatever_is_promoted():
    one, other = service.promoted(OWNER, REVISION, 8080), service.promoted(OWNER, "chat-q8-1", 9000)

    assert one["metadata"]["name"] == other["metadata"]["name"] == "chat-release"
    assert one["spec"]["ports"][0]["port"] == other["spec"]["ports"][0]["port"] == 80
    assert one["spec"]["selector"][names.REVISION] == REVISION


def test_each_arm_of_the_relay_has_a_service_to_a_port_of_its_own():
    arms = [service.relay(OWNER, "stable", 8081), service.relay(OWNER, "candidate", 8082)]
    labels = a_relay()["spec"]["template"]["metadata"]["labels"]

    assert [each["spec"]["ports"][0]["targetPort"] for each in arms] == [8081, 8082]
    assert all(each["spec"]["selector"].items() <= labels.items() for each in arms)


def test_a_sealed_release_is_kept_as_it_is():
    sealed = model_revision.model_revision(OWNER, REVISION, _Sealed())

    assert (sealed["metadata"]["name"], sealed["spec"]) == (REVISION, {"model": "chat"})


class _Sealed:
    def as_json(self):
        return {"model": "chat"}


def test_shared_memory_lies_in_memory():
    volumes, mounts = scratch(("/tmp", "/dev/shm"))

    assert [each["emptyDir"] for each in volumes] == [{}, {"medium": "Memory"}]
    assert [each["mountPath"] for each in mounts] == ["/tmp", "/dev/shm"]
