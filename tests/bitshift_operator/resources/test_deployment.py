import copy

from bitshift_core.api.catalogue import Argument, ArgumentSource
from bitshift_core.api.v1alpha1 import CaBundle, EnvironmentVariable
from bitshift_core.artifact.digests import text_digest
from bitshift_core.rollout import names
from bitshift_core.rollout.releases import Beside
from bitshift_operator.resources import ArtifactAccess, deployment, resource_claim_template, service
from tests import scenery
from tests.bitshift_core.artifact.test_adapter import an_adapter
from tests.bitshift_core.rollout.snapshots import PROFILE
from tests.bitshift_operator.resources.made import OWNER, REVISION, a_relay, a_release, container_of, pod_of
from tests.builders import some_facts
from tests.engine_profiles import shipped

USERS_POD = scenery.stable_deployment()["spec"]["template"]["spec"]


def test_the_engine_runs_as_its_makers_ship_it_with_our_arguments():
    container = container_of(a_release(contextTokens=512))

    assert "command" not in container
    assert container["args"][container["args"].index("--model") + 1] == "/models/q4.gguf"


def test_an_artifact_on_a_claim_is_mounted_and_never_written():
    manifest = a_release()
    volume = next(each for each in pod_of(manifest)["volumes"] if each["name"] == "models")

    assert volume["persistentVolumeClaim"] == {"claimName": "models", "readOnly": True}
    assert "initContainers" not in pod_of(manifest)


def test_an_artifact_elsewhere_is_fetched_and_its_digest_held():
    manifest = a_release("https://host/q4.gguf")
    (fetch,) = pod_of(manifest)["initContainers"]

    assert fetch["args"] == [
        "fetch", "--uri", "https://host/q4.gguf", "--to", "/models/q4.gguf", "--digest", "sha256:" + 64 * "a",
    ]  # fmt: skip
    assert {"name": "models", "emptyDir": {}} in pod_of(manifest)["volumes"]


def test_an_api_key_comes_from_its_secret_and_is_nowhere_else():
    manifest = a_release(apiKeySecret={"name": "keys", "key": "chat"})

    assert container_of(manifest)["env"] == [
        {"name": "BITSHIFT_API_KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "chat"}}}
    ]


def test_a_variable_of_the_spec_takes_the_place_of_the_profiles():
    profile = PROFILE.model_copy(update={"env": (EnvironmentVariable(name="HOME", value="/tmp"),)})
    release = a_release(profile=profile, env=[{"name": "HOME", "value": "/data"}, {"name": "THREADS", "value": "1"}])

    assert container_of(release)["env"] == [{"name": "HOME", "value": "/data"}, {"name": "THREADS", "value": "1"}]


def test_pods_carry_what_makes_the_plan_true():
    affinity = {"nodeAffinity": {}}

    assert pod_of(a_release(affinity=affinity))["affinity"] == affinity
    assert pod_of(a_release(nodeSelector={"pool": "gpu"}))["nodeSelector"] == {"pool": "gpu"}


def test_on_cpu_memory_is_asked_for_and_on_gpus_gpus():
    assert container_of(a_release())["resources"]["requests"]["memory"] == "1000000000"
    assert container_of(a_release(gpusPerReplica=2))["resources"]["limits"] == {"nvidia.com/gpu": "2"}


def test_a_pod_that_ends_has_time_for_its_streams():
    grace = pod_of(a_release())["terminationGracePeriodSeconds"]

    assert grace > 20 + PROFILE.pre_stop_seconds
    assert "lifecycle" not in container_of(a_release(profile=PROFILE.model_copy(update={"pre_stop_seconds": 0})))


SPANNING = PROFILE.model_copy(
    update={
        "args": (
            *PROFILE.args,
            Argument(flag="--stages", source=ArgumentSource.PIPELINE_PARALLEL),
            Argument(flag="--nodes", source=ArgumentSource.NODES_PER_REPLICA),
            Argument(flag="--computes-only", when=ArgumentSource.NODE_ROLE, equals="Worker"),
        )
    }
)


def group_of(**more):
    made = a_release(profile=SPANNING, gpusPerReplica=6, nodesPerReplica=3, replicas=2, **more)
    return made, made["spec"]["leaderWorkerTemplate"]


def test_a_replica_that_spans_nodes_is_a_group_that_starts_and_ends_as_one():
    made, group = group_of()

    assert (made["apiVersion"], made["kind"]) == ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet")
    assert made["metadata"]["ownerReferences"] == [OWNER.reference()]
    assert (made["spec"]["replicas"], group["size"], group["restartPolicy"]) == (2, 3, "RecreateGroupOnPodRestart")


def test_a_groups_own_service_is_not_called_like_the_releases():
    assert group_of()[0]["spec"]["networkConfig"] == {"subdomainPolicy": "UniquePerReplica"}


def test_only_the_pod_that_answers_is_what_the_releases_service_selects():
    _, group = group_of()
    selector = service.release(OWNER, REVISION, 8080)["spec"]["selector"].items()

    assert selector <= group["leaderTemplate"]["metadata"]["labels"].items()
    assert not selector <= group["workerTemplate"]["metadata"]["labels"].items()
    assert group["workerTemplate"]["metadata"]["labels"][names.REVISION] == REVISION


def test_a_worker_differs_from_its_leader_by_what_a_server_has_alone():
    _, group = group_of()
    leader, worker = (group[each]["spec"] for each in ("leaderTemplate", "workerTemplate"))
    serving, computing = leader["containers"][0], worker["containers"][0]

    assert set(serving) - set(computing) == {"ports", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle"}
    assert computing["args"] == [*serving["args"], "--computes-only"]
    assert {key for key in leader if leader[key] != worker[key]} <= {"containers", "terminationGracePeriodSeconds"}


def test_each_pod_of_a_group_asks_for_its_share_of_gpus():
    _, group = group_of()
    pods = [group[each]["spec"]["containers"][0] for each in ("leaderTemplate", "workerTemplate")]

    assert [pod["resources"]["limits"] for pod in pods] == [{"nvidia.com/gpu": "2"}] * 2


def test_an_engine_that_still_loads_can_be_ended_because_it_is_not_process_one():
    assert pod_of(a_release())["shareProcessNamespace"] is True


def test_a_start_is_given_as_long_as_it_is_believed_alive():
    probe = container_of(a_release())["startupProbe"]

    assert probe["failureThreshold"] * probe["periodSeconds"] > 90


def test_the_baseline_is_the_users_pod_under_labels_that_no_service_of_theirs_selects():
    manifest = deployment.baseline(OWNER, [USERS_POD])

    assert container_of(manifest) == USERS_POD["containers"][0]
    assert manifest["spec"]["template"]["metadata"]["labels"] == names.labels("chat", role="baseline")
    assert manifest["spec"]["replicas"] == 1


def test_the_baseline_stands_beside_the_original():
    pod = copy.deepcopy(USERS_POD) | {"nodeName": "node-1", "hostNetwork": True, "affinity": {"podAntiAffinity": {}}}
    pod["containers"][0]["ports"][0]["hostPort"] = 9000
    made = pod_of(deployment.baseline(OWNER, [pod]))

    assert made.keys().isdisjoint({"nodeName", "hostNetwork", "affinity"})
    assert "hostPort" not in made["containers"][0]["ports"][0]
    assert pod["containers"][0]["ports"][0]["hostPort"] == 9000


def test_the_relay_is_never_without_a_pod_while_it_changes():
    manifest = a_relay()

    assert manifest["spec"]["replicas"] == 2
    assert manifest["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_the_relay_says_which_candidate_it_leads_to():
    assert a_relay()["metadata"]["annotations"][names.REVISION] == "chat-q4-0a1b2c3d"


def test_gpus_are_asked_for_by_the_name_that_the_plan_says():
    sliced = a_release(gpusPerReplica=1, gpu_resource="nvidia.com/mig-3g.40gb")

    assert container_of(sliced)["resources"]["limits"] == {"nvidia.com/mig-3g.40gb": "1"}


def test_devices_are_claimed_by_the_template_that_is_called_like_the_release():
    manifest = a_release(gpusPerReplica=2, claims_devices=True)

    assert pod_of(manifest)["resourceClaims"] == [{"name": "gpus", "resourceClaimTemplateName": REVISION}]
    assert container_of(manifest)["resources"]["claims"] == [{"name": "gpus"}]
    assert "limits" not in container_of(manifest)["resources"]


def test_a_template_of_claims_belongs_to_the_model_and_says_what_the_plan_does():
    claim = {"devices": {"requests": [{"name": "gpus"}]}}
    manifest = resource_claim_template.gpus(OWNER, REVISION, claim)

    assert (manifest["kind"], manifest["metadata"]["name"]) == ("ResourceClaimTemplate", REVISION)
    assert manifest["spec"] == {"spec": claim}
    assert manifest["metadata"]["ownerReferences"][0]["name"] == "chat"


def test_pods_carry_the_tolerations_that_the_plan_counted_on():
    tolerations = ({"key": "nvidia.com/gpu", "operator": "Exists"},)

    assert pod_of(a_release(tolerations=tolerations))["tolerations"] == [dict(tolerations[0])]
    assert "tolerations" not in pod_of(a_release())


CHECKPOINT = {"format": "safetensors", "scheme": "awq", "contextTokens": 8192}
PINNED = "hf://org/m@0123456789012345678901234567890123456789"
VLLM = {"profile": shipped("vllm"), "runtime": "vllm", "facts": CHECKPOINT}


def mounts_of(container):
    return {each["name"]: (each["mountPath"], each.get("readOnly", False)) for each in container["volumeMounts"]}


def test_a_model_of_the_hub_is_fetched_by_its_commit_with_credentials_that_the_engine_never_sees():
    manifest = a_release("hf://org/m@main", **VLLM | {"facts": CHECKPOINT | {"pinnedUri": PINNED}}, access=ArtifactAccess("models"))  # fmt: skip
    (fetch,), engine = pod_of(manifest)["initContainers"], container_of(manifest)

    assert fetch["args"][:5] == ["fetch", "--uri", PINNED, "--to", "/models/artifact"]
    assert engine["args"][engine["args"].index("--model") + 1] == "/models/artifact"
    assert {"HF_TOKEN", "AWS_SECRET_ACCESS_KEY"} <= {each["name"] for each in fetch["env"]}
    assert "models" not in str(engine["env"]) and mounts_of(engine)["models"] == ("/models", True)


def test_certificates_are_mounted_where_an_artifact_is_fetched_and_nowhere_else():
    access = ArtifactAccess(ca_bundle=CaBundle(config_map="authorities", key="own.pem"))
    manifest = a_release("https://models.example/m.gguf", access=access)
    (fetch,), engine = pod_of(manifest)["initContainers"], container_of(manifest)
    volume = next(each for each in pod_of(manifest)["volumes"] if each["name"] == "trusted")

    assert volume["configMap"]["name"] == "authorities"
    assert volume["configMap"]["items"] == [{"key": "own.pem", "path": "ca.crt"}]
    assert {"name": "BITSHIFT_CA_FILE", "value": "/trusted/ca.crt"} in fetch["env"]
    assert "trusted" in mounts_of(fetch) and "trusted" not in mounts_of(engine)


def test_a_gguf_of_the_hub_is_named_by_its_file():
    args = container_of(a_release("hf://org/m@main", facts={"pinnedUri": PINNED}))["args"]

    assert args[args.index("--model") + 1] == "/models/artifact/q.gguf"


def test_with_a_cache_each_artifact_has_a_folder_that_all_pods_share():
    one, other = (
        a_release(uri, spec={"sources": {"cacheClaim": "cache"}}, **VLLM) for uri in ("hf://org/m@a", "hf://org/m@b")
    )
    volume = next(each for each in pod_of(one)["volumes"] if each["name"] == "models")
    targets = [pod_of(each)["initContainers"][0]["args"][4] for each in (one, other)]

    assert volume["persistentVolumeClaim"] == {"claimName": "cache"}
    assert targets[0] != targets[1] and all(target.startswith("/models/") for target in targets)
    assert mounts_of(container_of(one))["models"] == ("/models", True)


def test_adapters_and_a_draft_lie_beside_the_model_each_on_a_volume_of_its_own():
    adapters = [{"name": "law", "artifact": "pvc://law/v2"}, {"name": "web", "artifact": "s3://bucket/web"}]
    speculative = {"method": "eagle3", "draft": "pvc://models/draft"}
    beside = Beside(some_facts(**CHECKPOINT), {"law": an_adapter(), "web": an_adapter()})
    manifest = a_release(**VLLM, beside=beside, adapters=adapters, speculative=speculative)
    volumes = {each["name"]: each for each in pod_of(manifest)["volumes"]}

    assert volumes["adapter-law"]["persistentVolumeClaim"] == {"claimName": "law", "readOnly": True}
    assert volumes["draft"]["persistentVolumeClaim"]["claimName"] == "models"
    assert [each["name"] for each in pod_of(manifest)["initContainers"]] == ["fetch-adapter-web"]
    assert mounts_of(container_of(manifest))["adapter-web"] == ("/beside/adapter-web", True)
    assert "web=/beside/adapter-web/artifact" in container_of(manifest)["args"]


def test_a_chat_template_is_mounted_from_the_copy_that_nobody_edits():
    manifest = a_release(**VLLM, beside=Beside(chat_template="{{ m }}"), chatTemplate={"name": "ours"})
    volume = next(each for each in pod_of(manifest)["volumes"] if each["name"] == "chat-template")

    assert volume["configMap"] == {"name": names.chat_template_name(text_digest("{{ m }}"))}
    assert mounts_of(container_of(manifest))["chat-template"] == ("/chat-template", True)


def test_an_image_is_mounted_and_pulled_with_the_secret_instead_of_fetched():
    image = "registry.example/team/m@sha256:" + 64 * "a"
    facts = CHECKPOINT | {"pinnedUri": f"oci://{image}/chat", "mountable": True}
    node = {"containerRuntimeVersion": "containerd://2.1.4", "kubeletVersion": "v1.35.4"}
    manifest = a_release("oci://registry.example/team/m:v1", **VLLM | {"facts": facts}, nodes=[node], access=ArtifactAccess("pull"))  # fmt: skip
    pod = pod_of(manifest)
    mount = next(each for each in container_of(manifest)["volumeMounts"] if each["name"] == "models")

    assert "initContainers" not in pod and pod["imagePullSecrets"] == [{"name": "pull"}]
    assert {"name": "models", "image": {"reference": image, "pullPolicy": "IfNotPresent"}} in pod["volumes"]
    assert mount == {"name": "models", "mountPath": "/models/artifact", "readOnly": True, "subPath": "chat"}
