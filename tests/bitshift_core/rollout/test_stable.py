import copy

import pytest

from bitshift_core.api.v1alpha1 import SecretRef
from bitshift_core.rollout.errors import SpecRefusedError
from bitshift_core.rollout.stable import api_key_of, artifact_of, service_port, target_port
from tests import scenery


def a_service(*ports):
    return {"metadata": {"name": "chat"}, "spec": {"ports": list(ports)}}


def a_pod_spec(*mounts):
    volumes = [
        {"name": "weights", "persistentVolumeClaim": {"claimName": "models"}},
        {"name": "more", "persistentVolumeClaim": {"claimName": "others"}},
        {"name": "tmp", "emptyDir": {}},
    ]
    return {"volumes": volumes, "containers": [{"volumeMounts": list(mounts)}]}


def artifact(path, *mounts):
    spec = a_pod_spec(*mounts)
    return artifact_of(spec, spec["containers"][0], path)


def test_the_only_port_of_a_service_is_taken():
    assert service_port(a_service({"port": 8000}), None) == 8000


def test_of_several_ports_the_one_called_http_is_taken_and_else_the_user_is_asked():
    metrics = {"name": "metrics", "port": 9090}

    assert service_port(a_service(metrics, {"name": "http", "port": 8000}), None) == 8000
    with pytest.raises(SpecRefusedError, match=r"has the ports 9090, 8000: say which in `stable.port`"):
        service_port(a_service(metrics, {"name": "api", "port": 8000}), None)


def test_a_port_that_the_service_lacks_is_refused_with_those_that_it_has():
    with pytest.raises(SpecRefusedError, match=r"`stable.port` is 81, but Service 'chat' has the ports 80"):
        service_port(a_service({"port": 80}), 81)


def test_a_named_target_port_is_looked_up_in_the_container():
    container = scenery.stable_deployment()["spec"]["template"]["spec"]["containers"][0]

    assert target_port(scenery.stable_service(), 9100, container) == 9000
    assert target_port(a_service({"port": 80}), 80, container) == 80


def test_the_file_on_a_claim_is_found_by_the_mount_that_holds_it():
    assert artifact("/data/m/f16.gguf", {"name": "weights", "mountPath": "/data"}) == "pvc://models/m/f16.gguf"


def test_a_sub_path_of_the_mount_belongs_to_the_file():
    mount = {"name": "weights", "mountPath": "/data/", "subPath": "team/a/"}

    assert artifact("/data/f16.gguf", mount) == "pvc://models/team/a/f16.gguf"


def test_of_nested_mounts_the_innermost_holds_the_file():
    mounts = ({"name": "weights", "mountPath": "/data"}, {"name": "more", "mountPath": "/data/more"})

    assert artifact("/data/more/f16.gguf", *mounts) == "pvc://others/f16.gguf"
    assert artifact("/data/moreover.gguf", *mounts) == "pvc://models/moreover.gguf"


@pytest.mark.parametrize("path", [None, "", "org/model", "/elsewhere/f16.gguf", "/tmp/f16.gguf"])
def test_what_is_not_on_a_claim_is_not_known(path):
    assert artifact(path, {"name": "weights", "mountPath": "/data"}, {"name": "tmp", "mountPath": "/tmp"}) == ""


def test_the_api_key_is_taken_from_where_the_container_takes_it():
    container = copy.deepcopy(scenery.stable_deployment()["spec"]["template"]["spec"]["containers"][0])
    reference = {"secretKeyRef": {"name": "keys", "key": "chat"}}
    container["env"] = [{"name": "OTHER", "valueFrom": reference}, {"name": "LLAMA_API_KEY", "valueFrom": reference}]

    assert api_key_of(container) == SecretRef(name="keys", key="chat")
    assert api_key_of({"env": [{"name": "LLAMA_API_KEY", "value": "in the open"}]}) is None
