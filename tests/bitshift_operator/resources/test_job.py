from bitshift_core.api.v1alpha1 import SecretRef
from bitshift_operator.resources import CREDENTIALS, ArtifactAccess
from tests.bitshift_operator.resources.made import a_facts_job, a_gate_job, container_of, pod_of


def test_a_reading_mounts_the_users_claim_and_cannot_write_to_it():
    job = a_facts_job()
    (volume,) = [each for each in pod_of(job)["volumes"] if each["name"] == "models"]

    assert volume["persistentVolumeClaim"] == {"claimName": "models", "readOnly": True}
    assert container_of(job)["args"] == [
        "facts", "--uri", "pvc://models/q4.gguf", "--config-map", "facts", "--mount", "/models",
    ]  # fmt: skip


def test_a_reading_over_the_network_mounts_nothing_of_the_users():
    job = a_facts_job(claim=None)

    assert [each["name"] for each in pod_of(job)["volumes"]] == ["tmp"]


def test_a_gate_is_asked_by_a_file_and_told_where_its_scores_go():
    job = a_gate_job("quality")

    assert container_of(job)["args"] == [
        "evaluate", "--gate", "quality", "--config", "/config/gate.json", "--scores-config-map", "chat-scores",
    ]  # fmt: skip
    assert container_of(a_gate_job("load"))["args"] == ["load", "--config", "/config/gate.json"]


def test_a_gate_holds_the_api_key_as_a_variable_only():
    container = container_of(a_gate_job(api_key=SecretRef(name="keys", key="chat")))

    assert container["env"][-1]["valueFrom"] == {"secretKeyRef": {"name": "keys", "key": "chat"}}
    assert "keys" not in str(container["args"])


def test_a_job_ends_and_leaves_the_cluster_after_a_while():
    for job in (a_facts_job(), a_gate_job()):
        assert job["spec"]["activeDeadlineSeconds"] > 0
        assert job["spec"]["ttlSecondsAfterFinished"] > 0
        assert pod_of(job)["restartPolicy"] == "Never"


def test_a_reading_knows_credentials_by_reference_and_a_mirror_by_name():
    access = ArtifactAccess("models", {"HF_ENDPOINT": "http://mirror"})
    environment = {each["name"]: each for each in container_of(a_facts_job(claim=None, access=access))["env"]}

    assert environment["HF_ENDPOINT"]["value"] == "http://mirror"
    assert environment["HF_TOKEN"]["valueFrom"]["secretKeyRef"] == {
        "name": "models", "key": "HF_TOKEN", "optional": True,
    }  # fmt: skip
    assert all("value" not in each for name, each in environment.items() if name in CREDENTIALS.values())


def test_a_reading_of_the_users_claim_needs_no_credentials():
    container = container_of(a_facts_job(access=ArtifactAccess("models", {"HF_ENDPOINT": "http://mirror"})))

    assert [each["name"] for each in container["env"]] == ["POD_NAMESPACE"]
