"""Compatibility and quality: what becomes of several findings in one report."""

from bitshift_core.api.catalogue import Scorer
from bitshift_core.artifact.facts import ArtifactFacts, FileFact
from bitshift_core.evidence.gates import SuiteOutcome, judge_compatibility, judge_quality
from bitshift_core.evidence.report import Verdict

ERROR_RATE_PPM = 50_000
DIGEST, OTHER_DIGEST = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def facts(**of) -> ArtifactFacts:
    known = {
        "format": "gguf",
        "architecture": "llama",
        "scheme": "F16",
        "files": (FileFact(name="m.gguf", size_bytes=1),),
        "tokenizer_digest": DIGEST,
        "chat_template_digest": DIGEST,
        "context_tokens": 2048,
        "layers": 30,
        "hidden_size": 576,
        "vocab_size": 49_152,
    }
    return ArtifactFacts(**known | of)


def suite(name: str = "arithmetic", lost: int = 0, kept: int = 200, wrong: int = 0, **of) -> SuiteOutcome:
    scores = ((True, False),) * lost + ((True, True),) * kept + ((False, False),) * wrong
    return SuiteOutcome(name=name, scorer=Scorer.CONTAINS, margin_points=3, floor_percent=20, scores=scores, **of)


def test_the_same_model_in_fewer_bits_is_compatible():
    report = judge_compatibility("r1", facts(scheme="Q8_0"), facts(), context_tokens=2048)

    assert report.verdict is Verdict.PASSED
    assert "tokenizer and chat template are the same" in report.message


def test_everything_that_is_off_is_named():
    other = facts(layers=28, tokenizer_digest=OTHER_DIGEST, chat_template_digest=OTHER_DIGEST, context_tokens=512)

    report = judge_compatibility("r1", other, facts(), context_tokens=2048)

    assert report.verdict is Verdict.FAILED
    for word in ("layers is 28", "tokenizer", "chat template", "512 tokens of context", "`spec.serving.contextTokens`"):
        assert word in report.message


def test_tokenizers_of_two_formats_are_not_compared_by_digest():
    candidate = facts(format="safetensors", tokenizer_digest=OTHER_DIGEST)

    assert judge_compatibility("r1", candidate, facts(), context_tokens=2048).verdict is Verdict.PASSED


def test_what_a_live_probe_found_refuses_too():
    report = judge_compatibility("r1", facts(), None, context_tokens=2048, findings=("It adds no BOS token.",))

    assert (report.verdict, report.message) == (Verdict.FAILED, "It adds no BOS token.")


def test_quality_passes_when_every_suite_that_can_tell_passes():
    report = judge_quality("r1", (suite("a"), suite("b"), suite("hard", kept=10, wrong=190)), ERROR_RATE_PPM)

    assert report.verdict is Verdict.PASSED
    assert report.message.startswith("2 of 2 suites passed; 1 uninformative.")


def test_one_suite_that_fails_fails_the_gate_and_is_quoted():
    report = judge_quality("r1", (suite("a"), suite("b", lost=60)), ERROR_RATE_PPM)

    assert report.verdict is Verdict.FAILED
    assert report.message.startswith("1 of 2 suites passed. 'b': Candidate passed 200 of 260 items, the parent 260")


def test_one_suite_that_cannot_tell_yet_holds_the_gate():
    report = judge_quality("r1", (suite("a"), suite("b", kept=20)), ERROR_RATE_PPM)

    assert report.verdict is Verdict.INCONCLUSIVE
    assert "more items" in report.message


def test_suites_that_inform_nobody_pass_nothing():
    assert judge_quality("r1", (suite(kept=10, wrong=190),), ERROR_RATE_PPM).verdict is Verdict.INCONCLUSIVE
    assert judge_quality("r1", (), ERROR_RATE_PPM).verdict is Verdict.INCONCLUSIVE


def test_a_critical_item_lost_fails_whatever_the_others_say():
    report = judge_quality("r1", (suite(critical_lost=("unit-conversion",)),), ERROR_RATE_PPM)

    assert report.verdict is Verdict.FAILED
    assert "lost the critical item 'unit-conversion'" in report.message


def test_a_parent_that_does_not_answer_is_not_the_candidates_fault():
    report = judge_quality("r1", (suite(parent_unanswered=30),), ERROR_RATE_PPM)

    assert report.verdict is Verdict.INCONCLUSIVE
    assert "The parent had no answer to 30 of 230 items" in report.message


def test_agreement_is_judged_on_its_own_counts():
    agreeing = SuiteOutcome(name="same", scorer=Scorer.AGREEMENT, margin_points=10, agreements=((32, 32),) * 60)

    assert judge_quality("r1", (agreeing,), ERROR_RATE_PPM).verdict is Verdict.PASSED
