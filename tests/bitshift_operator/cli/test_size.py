"""`kubectl bitshift size`, as a person runs it: the reader is a real process, the files have real headers."""

import json

import pytest
from click.testing import CliRunner

from bitshift_core.artifact.adapter import AdapterFacts
from bitshift_core.artifact.errors import ArtifactError
from bitshift_operator.cli import main
from bitshift_operator.cli import size as command
from tests.bitshift_core.fit.builders import smollm, some_facts
from tests.bitshift_operator.cli.artifacts import llama_8b, tiny_gguf

pytestmark = pytest.mark.long

GIB = 1 << 30


def run(*args, **environment):
    return CliRunner().invoke(main, ["size", *map(str, args)], env={"COLUMNS": "100"} | environment)


@pytest.fixture
def llama(monkeypatch):
    """Facts that need not be read."""
    return known(monkeypatch, some_facts())


def known(monkeypatch, facts):
    async def read(uri, root, told):
        return facts

    monkeypatch.setattr(command, "read_facts", read)
    monkeypatch.setattr(command, "uri_of", lambda artifact: artifact)
    return "https://models.example/llama/"


def test_a_checkpoint_on_disk_is_sized_by_its_headers(tmp_path):
    result = run(llama_8b(tmp_path / "m"), "--gpu", "h100", "--context-tokens", 8192, "--sequences", 16, "-o", "json")
    said = json.loads(result.stdout)

    assert result.exit_code == 0
    assert (said["architecture"], said["scheme"], said["format"]) == ("LlamaForCausalLM", "BF16", "safetensors")
    assert sum(each["bytes"] for each in said["weights"]) == pytest.approx(14.96 * GIB, rel=1e-3)
    assert said["kvCache"] == {"bytesPerToken": 131_072, "bytesPerSequence": GIB}
    assert said["neededBytes"] == sum(item["bytes"] for item in said["items"])
    assert (said["verdict"], said["missingBytes"]) == ("Fits", 0)


def test_a_gguf_file_without_a_gpu_is_sized_for_a_host(tmp_path):
    result = run(tiny_gguf(tmp_path / "m.gguf"))

    assert result.exit_code == 0
    assert "llama, Q8_0, gguf: 21.8 KiB in 1 file, 2 layers, trained for 2,048 tokens" in result.stdout
    assert "llamacpp with 4 sequences of 2,048 tokens on a CPU" in result.stdout


def test_a_broken_file_is_one_sentence_and_no_traceback(tmp_path):
    path = tiny_gguf(tmp_path / "m.gguf")
    path.write_bytes(path.read_bytes()[:500])
    result = run(path)

    assert result.exit_code == 1
    assert "TruncatedArtifact: m.gguf was cut short: 500 of at least" in " ".join(result.stderr.split())


def test_the_screen_has_weights_by_part_the_items_with_their_sum_the_cache_and_a_bar(llama):
    text = run(llama, "--gpu", "H100-80", "--context-tokens", 8192, "--sequences", 16).stdout

    for word in ("block", "embedding", "output", "weights", "kv-cache", "activations", "other", "margin", "sum"):
        assert f"  {word} " in text
    assert "128.0 KiB per token, 1.00 GiB per sequence of 8,192 tokens" in text
    assert "█" in text and "▓" in text and "┃" in text
    assert "● Fits on 1 node with 1 × H100-80" in text


def test_what_does_not_fit_says_how_many_sequences_would(llama):
    text = " ".join(run(llama, "--gpu", "L4", "--context-tokens", 8192, "--sequences", 64).stdout.split())

    assert "✗ DoesNotFit on 1 node with 1 × L4" in text
    assert "2 of 64 sequences of 8,192 tokens fit. It would fit with" in text
    assert "At most 2 sequences of 8,192 tokens fit" in text


def test_the_most_sequences_do_fit_and_one_more_does_not(llama):
    said = json.loads(run(llama, "--gpu", "H100-80", "--context-tokens", 8192, "-o", "json").stdout)
    verdicts = [
        json.loads(run(llama, "--gpu", "H100-80", "--context-tokens", 8192, "--sequences", count, "-o", "json").stdout)[
            "verdict"
        ]
        for count in (said["mostSequences"], said["mostSequences"] + 1)
    ]

    assert verdicts == ["Fits", "DoesNotFit"]


def test_all_gpus_of_the_node_that_is_named_share_the_model_unless_told_otherwise(llama):
    one, two, told = (
        json.loads(run(llama, *options, "-o", "json").stdout)["serving"]["gpusPerReplica"]
        for options in (
            ("--gpu", "L40S"),
            ("--gpu", "L40S", "--count", 2),
            ("--gpu", "L40S", "--count", 2, "--tensor-parallel", 1),
        )
    )

    assert (one, two, told) == (1, 2, 1)


def test_without_a_gpu_the_sum_stands_alone_and_says_how_to_hear_more(llama):
    text = run(llama, "--engine-version", "0.19.0").stdout

    assert "of each" not in text and "┃" not in text
    assert "say `--gpu H100-80 --count 2` to hear what fits" in text


def test_an_unknown_engine_version_is_said_and_widens_the_margin(llama):
    options = (llama, "--gpu", "H100", "--context-tokens", 8192)
    unknown, old = run(*options), run(*options, "--engine-version", "0.19.0")

    assert "No version of vllm is known: the margin is wide." in " ".join(unknown.stdout.split())
    assert "margin is wide" not in old.stdout


def test_a_cpu_host_is_judged_by_its_memory(monkeypatch):
    model = known(monkeypatch, smollm())

    assert "● Fits on 1 node with 8 GiB of memory" in run(model, "--node-memory-gib", 8).stdout
    assert "✗ DoesNotFit" in run(model, "--node-memory-gib", 0.2).stdout


@pytest.mark.parametrize(
    "options, sentence",
    [
        (("--gpu", "A100"), "'A100' may be A100-80 or A100-40: say which."),
        (("--gpu", "X9000"), "'X9000' is not known. Known are B300, GB200, B200, H200,"),
        (("--gpu", "X9000"), "for another one say `--gpu-memory-gib` too."),
        (("--context-tokens", "12"), "12 is not in the range 64<=x<=16777216."),
        (("--gpu", "L4", "--tensor-parallel", "0"), "say `--node-memory-gib`"),
        (("--node-memory-gib", "8"), "it is served on GPUs: say `--gpu`"),
        (("--artifact-root", "/does/not/exist"), "'/does/not/exist' is no directory."),
    ],
)
def test_wrong_usage_says_what_is_right(llama, options, sentence):
    result = run(llama, *options)

    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())


def test_a_gpu_that_is_not_known_is_sized_by_its_memory(llama):
    said = json.loads(run(llama, "--gpu", "X9000", "--gpu-memory-gib", 80, "-o", "json").stdout)

    assert 78 * GIB < said["offeredBytes"] < 80 * GIB


def test_a_claim_needs_a_directory_that_stands_for_it(tmp_path):
    tiny_gguf(tmp_path / "models" / "m.gguf")
    without = run("pvc://models/m.gguf")
    there = run("pvc://models/m.gguf", "--artifact-root", f"models={tmp_path / 'models'}")

    assert without.exit_code == 1
    assert "say where its files are here by `--artifact-root DIR`" in " ".join(without.stderr.split())
    assert there.exit_code == 0, there.stderr


def test_a_path_that_is_not_there_is_not_taken_for_a_source(tmp_path):
    result = run(tmp_path / "none")

    assert (result.exit_code, "There is no file or folder" in result.stderr) == (1, True)


def test_what_the_reader_refuses_is_said_with_its_reason(monkeypatch, llama):
    async def refused(uri, root, told):
        raise ArtifactError("UnsupportedSource", "gopher:// is not read.")

    monkeypatch.setattr(command, "read_facts", refused)

    assert "cannot be sized. UnsupportedSource: gopher:// is not read." in " ".join(run(llama).stderr.split())


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 200])
def test_nothing_is_wider_than_the_terminal(llama, columns):
    text = run(llama, "--gpu", "L4", COLUMNS=str(columns)).stdout

    assert max(len(line.rstrip()) for line in text.splitlines()) <= columns
    assert "weights" in text and "sum" in text


def test_help_has_examples():
    assert "kubectl bitshift size ./chat-awq --gpu L40S" in run("-h").stdout


def needed(*args):
    return json.loads(run(*args, "--gpu", "H100-80", "--context-tokens", 8192, "-o", "json").stdout)["neededBytes"]


def test_what_else_an_engine_holds_makes_it_more(llama):
    plain = needed(llama)

    assert needed(llama, "--adapters", 4, "--adapter-rank", 64) > plain
    assert needed(llama, "--draft", llama, "--speculative-tokens", 3) > plain + 14 * GIB
    assert needed(llama, "--quantization", "fp8", "--enforce-eager") < plain


def test_what_was_asked_for_beyond_the_basics_is_told_back(llama):
    options = ("--no-prefix-caching", "--memory-utilization", 0.8, "--pipeline-parallel", 2, "--tensor-parallel", 2)
    said = json.loads(run(llama, *options, "--gpu", "L40S", "--count", 2, "-o", "json").stdout)["serving"]

    assert (said["prefixCaching"], said["memoryUtilizationPercent"], said["pipelineStages"]) == (False, 80, 2)


def test_an_adapter_is_no_model_and_says_what_it_is_for(monkeypatch):
    model = known(monkeypatch, AdapterFacts(rank=32))

    said = " ".join(run(model).stderr.split())
    assert "is a LoRA adapter: name the model that it was made for, and say `--adapters 1 --adapter-rank 32`" in said


def test_the_kernel_that_runs_it_is_named(llama):
    text = " ".join(
        run(
            llama, "--gpu", "H200", "--quantization", "fp8", "--engine-version", "0.19.0", "--sequences", 1
        ).stdout.split()
    )

    assert "Kernel: CUTLASS FP8." in text
