"""`kubectl bitshift plan`: with nodes that are only thought of, and against a cluster's."""

import asyncio
import json

import pytest
import yaml
from click.testing import CliRunner

from bitshift_core.artifact.errors import ArtifactError
from bitshift_core.fit.workloads import GROUP_SIZE
from bitshift_core.rollout import names
from bitshift_operator.cli import main
from bitshift_operator.cli import plan as command
from bitshift_operator.cluster.kinds import CONFIG_MAP, LEADER_WORKER_SET, NODE, POD, RUNTIME_PROFILE, SERVICE
from tests.bitshift_core.fit.builders import H100, smollm, some_facts
from tests.bitshift_operator.cli.artifacts import llama_8b, tiny_gguf
from tests.fake_store import Refused

PROFILE = {
    "image": "vllm/vllm-openai:v0.19.0",
    "imageSubstrings": ["vllm"],
    "formats": ["safetensors"],
    "args": [
        {"flag": "--max-model-len", "source": "ContextTokens"},
        {"flag": "--max-num-seqs", "source": "ConcurrentSequences"},
    ],
}
FACTS = {"https://m.example/bf16/": some_facts(), "https://m.example/tiny.gguf": smollm()}


@pytest.fixture
def read(monkeypatch):
    """Every artifact's facts without reading them, or the refusal that stands for them."""
    known, asked = dict(FACTS), []

    async def read_facts(uri, root, told):
        asked.append((uri, root))
        found = known[uri]
        if isinstance(found, ArtifactError):
            raise found
        return found

    monkeypatch.setattr(command, "read_facts", read_facts)
    known["asked"] = asked
    return known


def a_model(tmp_path, *rungs, name="chat", namespace="", **spec):
    path = tmp_path / f"{name}.yaml"
    ladder = [{"name": f"r{number}", **rung} for number, rung in enumerate(rungs)]
    said = {"stable": {"service": "chat"}, "ladder": ladder, "traffic": {"route": "chat"}} | spec
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    kind = {"apiVersion": "bitshift.dev/v1alpha1", "kind": "QuantizedModel", "metadata": metadata}
    path.write_text(yaml.safe_dump(kind | {"spec": said}))
    return path


def run(*args, **environment):
    given = {"COLUMNS": "110", "KUBECONFIG": "/does/not/exist", "HOME": "/does/not/exist"} | environment
    return CliRunner().invoke(main, ["plan", *map(str, args)], env=given)


def rungs_of(result):
    return {rung["name"]: rung for model in json.loads(result.stdout)["models"] for rung in model["rungs"]}


SMALL = {"contextTokens": 8192, "concurrentSequences": 8}
LARGE = {"contextTokens": 8192, "concurrentSequences": 256}


def test_a_ladder_that_fits_whole_ends_with_0(tmp_path, read):
    path = a_model(tmp_path, {"artifact": "https://m.example/bf16/"}, serving=SMALL)
    result = run("-f", path, "--gpu", "H100-80", "--count", 2)

    assert result.exit_code == 0
    assert "1 of 1 rungs fit" in result.stdout and "on 1 node with 2 × H100-80" in result.stdout


def test_some_rungs_that_fit_end_with_5_and_none_with_1(tmp_path, read):
    bf16 = {"artifact": "https://m.example/bf16/"}
    some = a_model(tmp_path, bf16 | {"serving": LARGE}, bf16 | {"serving": SMALL})
    none = a_model(tmp_path, bf16 | {"serving": LARGE}, name="none")

    assert run("-f", some, "--gpu", "L40S").exit_code == 5
    assert run("-f", none, "--gpu", "L40S").exit_code == 1
    assert run("-f", some, "-f", none, "--gpu", "L40S").exit_code == 1


def test_each_rung_has_its_verdict_its_items_its_sentence_and_ways_out(tmp_path, read):
    path = a_model(tmp_path, {"artifact": "https://m.example/bf16/", "serving": LARGE})
    result = run("-f", path, "--gpu", "L40S", "-o", "json")
    rung = rungs_of(result)["r0"]

    assert (rung["verdict"], rung["reason"]) == ("DoesNotFit", "InsufficientGPUMemory")
    assert [item["name"] for item in rung["items"]][:2] == ["weights", "kv-cache"]
    assert rung["neededBytes"] == sum(item["bytes"] for item in rung["items"]) > rung["offeredBytes"]
    assert "It would fit with `serving.contextTokens`" in rung["message"]


def test_a_rungs_own_words_are_stronger_than_the_specs_and_options_fill_what_is_unsaid(tmp_path, read):
    bf16 = {"artifact": "https://m.example/bf16/"}
    path = a_model(tmp_path, bf16, bf16 | {"serving": {"contextTokens": 1024}}, serving={"contextTokens": 4096})
    result = run("-f", path, "--gpu", "H100", "--sequences", 3, "--engine-version", "0.19.0", "-o", "json")
    served = {name: rung["serving"] for name, rung in rungs_of(result).items()}

    assert [each["contextTokens"] for each in served.values()] == [4096, 1024]
    assert {(each["concurrentSequences"], each["engineVersion"]) for each in served.values()} == {(3, "0.19.0")}


def test_what_stable_would_supply_is_said_to_be_unknown(tmp_path, read):
    said = " ".join(
        run("-f", a_model(tmp_path, {"artifact": "https://m.example/bf16/"}), "--gpu", "H100").stdout.split()
    )

    assert (
        "Inherited from the pods of Service 'chat' in the cluster, and not known here: `serving.contextTokens`," in said
    )


def test_a_claim_is_read_where_its_files_lie_here_or_said_to_be_out_of_reach(tmp_path, read):
    path = a_model(tmp_path, {"artifact": "pvc://models/a"}, {"artifact": "pvc://other/b"}, serving=SMALL)
    read["pvc://models/a"] = some_facts()
    result = run("-f", path, "--gpu", "H100", "--artifact-root", f"models={tmp_path}", "-o", "json")

    assert read["asked"] == [("pvc://models/a", tmp_path)]
    assert rungs_of(result)["r0"]["verdict"] == "Fits"
    assert rungs_of(result)["r1"]["verdict"] == "Unreadable"
    assert "cannot be read from here: pvc://other/b" in rungs_of(result)["r1"]["message"]
    assert result.exit_code == 5


def test_an_artifact_that_several_rungs_serve_is_read_once(tmp_path, read):
    bf16 = {"artifact": "https://m.example/bf16/"}
    run("-f", a_model(tmp_path, bf16, bf16 | {"serving": {"kvCacheDtype": "fp8"}}, serving=SMALL), "--gpu", "H100")

    assert len(read["asked"]) == 1


def test_an_artifact_that_cannot_be_read_leaves_the_other_rungs_alone(tmp_path, read):
    read["https://m.example/broken/"] = ArtifactError("MalformedArtifact", "It claims 2^63 bytes.")
    rungs = ({"artifact": "https://m.example/broken/"}, {"artifact": "https://m.example/bf16/"})
    found = rungs_of(run("-f", a_model(tmp_path, *rungs, serving=SMALL), "--gpu", "H100", "-o", "json"))

    assert [rung["verdict"] for rung in found.values()] == ["Unreadable", "Fits"]
    assert found["r0"]["message"] == "It claims 2^63 bytes."


def test_what_the_operator_would_refuse_is_refused_in_its_words(tmp_path, read):
    too_long = {"artifact": "https://m.example/bf16/", "serving": {"contextTokens": 262_144}}
    gguf = {"artifact": "https://m.example/tiny.gguf"}
    found = rungs_of(run("-f", a_model(tmp_path, too_long, gguf, runtime="vllm"), "--gpu", "H100", "-o", "json"))

    assert (found["r0"]["verdict"], found["r0"]["reason"]) == ("Refused", "ContextTooLong")
    assert (found["r1"]["verdict"], found["r1"]["reason"]) == ("Refused", "FormatNotServed")


def test_a_cpu_rung_is_planned_on_a_hosts_memory_and_never_on_an_unknown_one(tmp_path, read):
    serving = {"gpusPerReplica": 0, "contextTokens": 1024, "concurrentSequences": 4}
    path = a_model(tmp_path, {"artifact": "https://m.example/tiny.gguf"}, serving=serving)
    unknown, known, small = (
        rungs_of(run("-f", path, *options, "-o", "json"))["r0"]
        for options in (("--gpu", "H100"), ("--node-memory-gib", 8), ("--node-memory-gib", 0.3))
    )

    assert (unknown["verdict"], unknown["reason"]) == ("Refused", "MemoryUnknown")
    assert known["verdict"] == "Fits"
    assert (small["verdict"], small["reason"]) == ("DoesNotFit", "InsufficientMemory")


def test_without_nodes_or_a_kubeconfig_the_way_out_is_said(tmp_path, read):
    result = run("-f", a_model(tmp_path, {"artifact": "https://m.example/bf16/"}))

    assert result.exit_code == 1
    assert "say which nodes by `--gpu H100-80 --count 2`" in " ".join(result.stderr.split())


def test_a_file_may_come_by_standard_input(tmp_path, read):
    text = a_model(tmp_path, {"artifact": "https://m.example/bf16/"}, serving=SMALL).read_text()
    result = CliRunner().invoke(main, ["plan", "-f", "-", "--gpu", "H100"], input=text)

    assert result.exit_code == 0, result.stderr


def test_a_file_that_is_wrong_or_missing_is_refused_before_anything_is_read(tmp_path, read):
    wrong = run("-f", a_model(tmp_path, serving=SMALL), "--gpu", "H100")
    missing = run("-f", tmp_path / "none.yaml", "--gpu", "H100")

    assert (wrong.exit_code, missing.exit_code) == (1, 2)
    assert "`spec.ladder` is []: must have at least 1 item." in wrong.stderr
    assert read["asked"] == []


@pytest.mark.parametrize("columns", [40, 64, 80, 100, 160])
def test_nothing_is_wider_than_the_terminal(tmp_path, read, columns):
    bf16 = {"artifact": "https://m.example/bf16/"}
    path = a_model(tmp_path, bf16 | {"serving": LARGE}, bf16 | {"serving": SMALL})
    text = run("-f", path, "--gpu", "L40S", COLUMNS=str(columns)).stdout

    assert max(len(line.rstrip()) for line in text.splitlines()) <= columns
    assert text.count("DoesNotFit") >= 1 and "margin" in text and "┃" in text


@pytest.mark.long
def test_real_files_are_read_by_a_real_reader(tmp_path):
    llama_8b(tmp_path / "models" / "bf16")
    llama_8b(tmp_path / "models" / "fp8", "F8_E4M3")
    tiny_gguf(tmp_path / "models" / "q8.gguf")
    artifacts = [{"artifact": f"pvc://models/{name}"} for name in ("bf16", "fp8", "q8.gguf")]
    path = a_model(tmp_path, *artifacts, serving=SMALL | {"gpusPerReplica": 1, "contextTokens": 2048})
    found = rungs_of(run("-f", path, "--gpu", "L4", "--artifact-root", tmp_path / "models", "-o", "json"))

    assert [rung["scheme"] for rung in found.values()] == ["BF16", "fp8", "Q8_0"]
    assert [rung["serving"]["runtime"] for rung in found.values()] == ["vllm", "vllm", "llamacpp"]
    sizes = [rung["neededBytes"] for rung in found.values()]
    assert sizes == sorted(sizes, reverse=True)


# Against a cluster


def a_gpu_node(name="gpu-1", gpus=4):
    status = {
        "allocatable": {"nvidia.com/gpu": str(gpus), "memory": "512Gi", "cpu": "64"},
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    node = NODE.new("", name, status=status)
    node["metadata"]["labels"] = H100
    return node


def a_pod(name, namespace, gpus, *, node="gpu-1", args=(), labels=None):
    limits = {"nvidia.com/gpu": str(gpus)}
    container = {"name": "e", "image": "vllm/vllm-openai:v0.19.0", "args": list(args), "resources": {"limits": limits}}
    pod = POD.new(namespace, name, spec={"nodeName": node, "containers": [container]}, status={"phase": "Running"})
    pod["metadata"]["labels"] = labels or {}
    return pod


async def against(kubeconfig, path, *args):
    return await asyncio.to_thread(run, "-f", path, "--kubeconfig", kubeconfig, "-o", "json", *args)


async def test_against_a_cluster_its_nodes_its_profiles_and_stables_own_pods_count(tmp_path, api, kubeconfig, read):
    api.put(a_gpu_node())
    api.put(RUNTIME_PROFILE.new("", "vllm", spec=PROFILE))
    api.put(SERVICE.new("team", "chat", spec={"selector": {"app": "chat"}, "ports": [{"port": 80}]}))
    args = ("--max-model-len", "4096", "--max-num-seqs", "32")
    api.put(a_pod("chat-0", "team", 2, args=args, labels={"app": "chat"}))
    result = await against(kubeconfig, a_model(tmp_path, {"artifact": "https://m.example/bf16/"}))
    rung = rungs_of(result)["r0"]

    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["nodes"] == "the cluster's 1 node, 2 of 4 GPUs free"
    assert (rung["verdict"], rung["nodes"]) == ("Fits", ["gpu-1"])
    assert rung["serving"] == {
        "runtime": "vllm",
        "engineVersion": "v0.19.0",
        "contextTokens": 4096,
        "concurrentSequences": 32,
        "gpusPerReplica": 2,
        "kvCacheDtype": "auto",
        "replicas": 1,
    }
    assert json.loads(result.stdout)["models"][0]["notes"] == []


@pytest.mark.parametrize(("absent", "verdict"), [((), "Fits"), ((LEADER_WORKER_SET,), "Refused")])
async def test_a_replica_that_spans_nodes_is_planned_where_the_cluster_can_make_it(
    tmp_path, api, kubeconfig, read, absent, verdict
):
    api.absent = frozenset(absent)
    api.put(a_gpu_node("gpu-1", gpus=2))
    api.put(a_gpu_node("gpu-2", gpus=2))
    serving = SMALL | {"gpusPerReplica": 4, "nodesPerReplica": 2}
    path = a_model(tmp_path, {"artifact": "https://m.example/bf16/"}, serving=serving)
    rung = rungs_of(await against(kubeconfig, path))["r0"]

    assert rung["verdict"] == verdict
    assert verdict == "Fits" or rung["reason"] == "LeaderWorkerSetNotServed"


async def test_of_a_stable_that_spans_nodes_all_gpus_are_inherited(tmp_path, api, kubeconfig, read):
    api.put(a_gpu_node())
    api.put(SERVICE.new("team", "chat", spec={"selector": {"app": "chat"}, "ports": [{"port": 80}]}))
    pod = a_pod("chat-0", "team", 1, labels={"app": "chat"})
    pod["metadata"]["annotations"] = {GROUP_SIZE: "2"}
    api.put(pod)
    path = a_model(tmp_path, {"artifact": "https://m.example/bf16/"}, serving=SMALL)
    serving = rungs_of(await against(kubeconfig, path))["r0"]["serving"]

    assert (serving["gpusPerReplica"], serving["nodesPerReplica"]) == (2, 2)


async def test_a_rung_that_only_waits_for_room_counts_as_one_that_fits(tmp_path, api, kubeconfig, read):
    api.put(a_gpu_node())
    api.put(a_pod("busy", "elsewhere", 4))
    path = a_model(tmp_path, {"artifact": "https://m.example/bf16/"}, serving=SMALL | {"gpusPerReplica": 1})
    result = await against(kubeconfig, path)

    assert (result.exit_code, rungs_of(result)["r0"]["verdict"]) == (0, "Waiting")


async def test_a_claim_is_planned_by_what_a_job_in_the_cluster_read_of_it(tmp_path, api, kubeconfig, read):
    api.put(a_gpu_node())
    name = names.facts_name("pvc://models/a", None)
    api.put(CONFIG_MAP.new("team", name, data={"facts.json": some_facts().model_dump_json(by_alias=True)}))
    path = a_model(tmp_path, {"artifact": "pvc://models/a"}, serving=SMALL | {"gpusPerReplica": 1})
    rung = rungs_of(await against(kubeconfig, path))["r0"]

    assert (rung["verdict"], rung["scheme"]) == ("Fits", "BF16")
    assert rung["notes"] == ["Not read now, but as a Job in the cluster read it earlier."]


async def test_who_may_not_see_the_cluster_is_told_the_way_around(tmp_path, api, kubeconfig, read):
    def interrupt(verb, target):
        if target.kind.kind == "Pod":
            raise Refused(403, "Forbidden", "pods is forbidden")

    api.interrupt = interrupt
    result = await against(kubeconfig, a_model(tmp_path, {"artifact": "https://m.example/bf16/"}))

    assert result.exit_code == 1
    assert "you may not: pods is forbidden. Say which nodes there are by `--gpu" in " ".join(result.stderr.split())


async def test_options_for_nodes_leave_the_cluster_alone(tmp_path, api, kubeconfig, read):
    path = a_model(tmp_path, {"artifact": "https://m.example/bf16/"}, serving=SMALL)
    result = await against(kubeconfig, path, "--gpu", "H100")

    assert result.exit_code == 0
    assert api.requests == []
