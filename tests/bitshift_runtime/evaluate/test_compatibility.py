from bitshift_core.artifact.facts import ArtifactFacts
from bitshift_core.evidence.report import Verdict
from bitshift_runtime.evaluate.command import run_gate
from bitshift_runtime.evaluate.config import GateConfig
from tests.fake_openai import FakeEngine, serving

DIGESTS = ["sha256:" + letter * 64 for letter in "ab"]


def facts(**changes):
    return ArtifactFacts.model_validate(
        {
            "format": "gguf",
            "architecture": "llama",
            "scheme": "F16",
            "files": [{"name": "m.gguf", "sizeBytes": 1}],
            "contextTokens": 8192,
            "layers": 30,
            "hiddenSize": 576,
            "vocabSize": 49152,
            "tokenizerDigest": DIGESTS[0],
            "chatTemplateDigest": DIGESTS[0],
        }
        | changes
    )


async def gate(tmp_path, candidate, parent, **changes):
    engines = [engine for engine in (candidate, parent) if engine]
    async with serving(*engines):
        content = {"gate": "compatibility", "revision": "r1", "candidate": candidate.side}
        config = GateConfig.model_validate(content | ({"parent": parent.side} if parent else {}) | changes)
        report, _ = await run_gate(config, tmp_path)
        return report


async def test_two_quantizations_of_one_model_are_compatible(tmp_path):
    known = {"candidateFacts": facts(scheme="Q8_0"), "parentFacts": facts(), "contextTokens": 2048}

    report = await gate(tmp_path, FakeEngine(), FakeEngine(), **known)

    assert report.verdict is Verdict.PASSED
    assert "6 texts give the same tokens" in report.message
    assert "2048 tokens of context are served where 2048 are promised" in report.message


async def test_endpoints_alone_are_enough_when_the_parents_artifact_is_not_known(tmp_path):
    report = await gate(tmp_path, FakeEngine(), FakeEngine(), candidateFacts=facts())

    assert report.verdict is Verdict.PASSED


async def test_another_tokenizer_fails_even_where_the_facts_are_silent(tmp_path):
    report = await gate(tmp_path, FakeEngine(tokenizer_offset=1), FakeEngine(), candidateFacts=facts())

    assert report.verdict is Verdict.FAILED
    assert "cut 6 of 6 texts into different tokens" in report.message


async def test_another_chat_template_fails(tmp_path):
    report = await gate(tmp_path, FakeEngine(template="{{ other }}"), FakeEngine())

    assert report.verdict is Verdict.FAILED
    assert "3 of 3 chats" in report.message


async def test_digests_decide_where_the_endpoints_are_silent(tmp_path):
    silent = {"tokenizer_offset": None, "template": None}
    known = {"candidateFacts": facts(tokenizerDigest=DIGESTS[1]), "parentFacts": facts()}

    report = await gate(tmp_path, FakeEngine(**silent), FakeEngine(**silent), **known)

    assert report.verdict is Verdict.FAILED
    assert "tokenizer is not the parent's" in report.message


async def test_files_that_are_spelt_differently_but_cut_alike_are_compatible(tmp_path):
    known = {"candidateFacts": facts(tokenizerDigest=DIGESTS[1]), "parentFacts": facts()}

    assert (await gate(tmp_path, FakeEngine(), FakeEngine(), **known)).verdict is Verdict.PASSED


async def test_less_context_than_promised_fails_with_both_numbers(tmp_path):
    report = await gate(tmp_path, FakeEngine(context_tokens=1024), FakeEngine(), contextTokens=4096)

    assert report.verdict is Verdict.FAILED
    assert "1024" in report.message
    assert "4096" in report.message


async def test_less_context_than_the_parent_serves_fails_when_nothing_is_promised(tmp_path):
    report = await gate(tmp_path, FakeEngine(context_tokens=1024), FakeEngine(context_tokens=2048))

    assert report.verdict is Verdict.FAILED


async def test_a_candidate_under_another_name_fails(tmp_path):
    candidate = FakeEngine()
    async with serving(candidate, parent := FakeEngine()):
        sides = {"candidate": candidate.side.model_copy(update={"model": "other"}), "parent": parent.side}
        report, _ = await run_gate(GateConfig(gate="compatibility", revision="r1", **sides), tmp_path)

    assert report.verdict is Verdict.FAILED
    assert "serves 'm', not 'other'" in report.message


async def test_a_candidate_that_answers_nothing_fails(tmp_path):
    report = await gate(tmp_path, FakeEngine(status=lambda prompt: 500), FakeEngine())

    assert report.verdict is Verdict.FAILED
    assert "HTTP 500" in report.message


async def test_a_parent_that_answers_nothing_decides_nothing(tmp_path):
    report = await gate(tmp_path, FakeEngine(), FakeEngine(status=lambda prompt: 500))

    assert report.verdict is Verdict.INCONCLUSIVE


async def test_nothing_to_compare_is_inconclusive_with_a_way_out(tmp_path):
    silent = {"tokenizer_offset": None, "template": None}

    report = await gate(tmp_path, FakeEngine(**silent), FakeEngine(**silent), candidateFacts=facts())

    assert report.verdict is Verdict.INCONCLUSIVE
    assert "spec.parent.artifact" in report.message


async def test_what_stays_unknown_is_noted_and_does_not_block(tmp_path):
    quiet = {"context_tokens": None}

    report = await gate(tmp_path, FakeEngine(**quiet), FakeEngine(**quiet))

    assert report.verdict is Verdict.PASSED
    assert "Unknown: the vocabulary, the served context." in report.message
