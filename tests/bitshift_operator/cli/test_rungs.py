"""What a rung is sized with besides its model, and what is said of it first."""

import re

import pytest

from bitshift_core.artifact.adapter import AdapterFacts
from bitshift_core.artifact.errors import ArtifactError
from tests.bitshift_core.fit.builders import some_facts
from tests.bitshift_operator.cli import test_plan as plans
from tests.bitshift_operator.cli.test_plan import LARGE, SMALL, a_model, run, rungs_of

read = plans.read
DRAFTED = SMALL | {"speculative": {"method": "draft_model", "draft": "https://m.example/draft/"}}
ADAPTED = SMALL | {"adapters": [{"name": "support", "artifact": "https://m.example/lora/"}]}


@pytest.mark.parametrize("serving", [DRAFTED, ADAPTED, SMALL | {"kvCacheDtype": "fp8", "pipelineParallel": 1}])
def test_a_rung_is_sized_with_all_that_it_is_served_with(tmp_path, read, serving):
    read |= {"https://m.example/draft/": some_facts(), "https://m.example/lora/": AdapterFacts(rank=64)}
    paths = [a_model(tmp_path, {"artifact": "https://m.example/bf16/"}, name=n, serving=s)
             for n, s in (("plain", SMALL), ("more", serving))]  # fmt: skip
    plain, more = (rungs_of(run("-f", path, "--gpu", "H200", "-o", "json"))["r0"] for path in paths)

    assert more["verdict"] == "Fits"
    assert (more["neededBytes"] > plain["neededBytes"]) is ("kvCacheDtype" not in serving)


@pytest.mark.parametrize(
    ("draft", "verdict", "reason"),
    [
        (AdapterFacts(rank=8), "Refused", "UnsupportedArtifact"),
        (ArtifactError("ArtifactNotFound", "There is none."), "Unreadable", "ArtifactNotFound"),
        (some_facts(vocab_size=32_000), "Refused", "DraftOfAnotherVocabulary"),
    ],
)
def test_a_draft_that_cannot_be_read_or_used_is_why_a_rung_cannot_be_told(tmp_path, read, draft, verdict, reason):
    read["https://m.example/draft/"] = draft
    path = a_model(tmp_path, {"artifact": "https://m.example/bf16/"}, serving=DRAFTED)
    rung = rungs_of(run("-f", path, "--gpu", "H200", "-o", "json"))["r0"]

    assert (rung["verdict"], rung["reason"]) == (verdict, reason)


def test_an_adapter_as_a_rung_is_refused(tmp_path, read):
    read["https://m.example/lora/"] = AdapterFacts(rank=64)
    path = a_model(tmp_path, {"artifact": "https://m.example/lora/"}, serving=SMALL)

    assert rungs_of(run("-f", path, "--gpu", "H200", "-o", "json"))["r0"]["reason"] == "UnsupportedArtifact"


def test_a_rung_has_a_table_a_bar_a_headline_and_what_the_engine_will_print(tmp_path, read):
    path = a_model(tmp_path, {"artifact": "https://m.example/bf16/"}, serving=LARGE)
    text = " ".join(run("-f", path, "--gpu", "H100-80", COLUMNS="160").stdout.split())

    for word in ("weights", "kv-cache", "activations", "graphs", "other", "margin", "█", "┃"):
        assert word in text
    assert re.search(r"Fits \d+ sequences at 8,192 tokens; [\d.]+ GiB missing for 256; ways out: [\w ,]*tokens\.", text)


def test_the_engines_own_cache_is_told_beside_the_plan(tmp_path, read):
    path = a_model(tmp_path, {"artifact": "https://m.example/bf16/"}, serving=SMALL)
    rung = rungs_of(run("-f", path, "--gpu", "H100-80", "--engine-version", "0.19.0", "-o", "json"))["r0"]

    assert rung["headline"].startswith("Fits ")
    assert rung["kvCache"]["starts"] is True
    assert rung["kvCache"]["tokens"]["low"] < rung["kvCache"]["tokens"]["likely"] < rung["kvCache"]["tokens"]["high"]
