"""Gates before any user: facts and scores → one report each.

Here: compatibility of two artifacts, quality over several suites. `judge_load` is offered here too. Not here: asking
endpoints, the tests themselves (`evidence.paired`, `evidence.load`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..api.catalogue import Scorer
from ..artifact.facts import ArtifactFacts
from .load import Record, judge_load
from .paired import Agreement, PairedVerdict, Scores, judge_agreement, judge_pairs
from .report import GateReport, SuiteReport, Verdict

__all__ = ["Record", "SuiteOutcome", "judge_compatibility", "judge_load", "judge_quality", "judge_suite"]

UNANSWERED_PERCENT = 5
"""Above so many items without an answer of the parent's own, the parent's trouble is measured, not the candidate."""


@dataclass(frozen=True)
class SuiteOutcome:
    """What the items of one suite came to, in the order in which they were asked."""

    name: str
    scorer: Scorer
    margin_points: float
    floor_percent: float = 0
    scores: tuple[Scores, ...] = ()
    """(parent, candidate) of every item to which the parent had an answer; a candidate without an answer scores 0."""
    agreements: tuple[Agreement, ...] = ()
    """For the scorer Agreement, instead of scores."""
    parent_unanswered: int = 0
    critical_lost: tuple[str, ...] = ()
    """Critical items that the parent passed and the candidate did not."""


def judge_compatibility(
    revision: str,
    candidate: ArtifactFacts,
    parent: ArtifactFacts | None,
    *,
    context_tokens: int,
    findings: Iterable[str] = (),
) -> GateReport:
    """Return whether two artifacts can stand for each other, as far as their headers tell; `findings` are more noes.

    What is off here would be misread as damage by quantization later.
    """
    wrong = [*findings, *_too_short(candidate, context_tokens), *_differences(candidate, parent)]
    if wrong:
        return GateReport(gate="compatibility", revision=revision, verdict=Verdict.FAILED, message=" ".join(wrong))
    message = _compatible(candidate, parent, context_tokens)
    return GateReport(gate="compatibility", revision=revision, verdict=Verdict.PASSED, message=message)


def _too_short(candidate: ArtifactFacts, context_tokens: int) -> Iterator[str]:
    if candidate.context_tokens and candidate.context_tokens < context_tokens:
        yield (
            f"The candidate was trained for {candidate.context_tokens} tokens of context, {context_tokens} are to be"
            " served; lower `spec.serving.contextTokens`."
        )


def _differences(candidate: ArtifactFacts, parent: ArtifactFacts | None) -> Iterator[str]:
    """Yield what is not the parent's; a digest counts where both are known, a tokenizer's only within one format."""
    if parent is None:
        return
    shapes = (
        ("layers", candidate.layers, parent.layers),
        ("hidden size", candidate.hidden_size, parent.hidden_size),
    )
    for name, ours, theirs in shapes:
        if ours != theirs:
            yield f"The candidate's {name} is {ours}, the parent's {theirs}: another model; check `artifact`."
    if candidate.format == parent.format and _differ(candidate.tokenizer_digest, parent.tokenizer_digest):
        yield "The candidate's tokenizer is not the parent's: prompts would be cut into other tokens."
    if _differ(candidate.chat_template_digest, parent.chat_template_digest):
        yield "The candidate's chat template is not the parent's: chats would be rendered into other prompts."


def _differ(ours: str, theirs: str) -> bool:
    return bool(ours and theirs and ours != theirs)


def _compatible(candidate: ArtifactFacts, parent: ArtifactFacts | None, context_tokens: int) -> str:
    if parent is None:
        return (
            f"The candidate serves {context_tokens} tokens of context; the parent's artifact is not known to compare."
        )
    same = [
        name
        for name, ours, theirs in (
            ("tokenizer", candidate.tokenizer_digest, parent.tokenizer_digest),
            ("chat template", candidate.chat_template_digest, parent.chat_template_digest),
        )
        if ours and ours == theirs
    ]
    told = f", {' and '.join(same)} are the same" if same else ""
    shape = f"{candidate.layers} layers of {candidate.hidden_size}"
    return f"Candidate and parent are the same model ({shape}{told}); {context_tokens} tokens of context are possible."


def judge_suite(suite: SuiteOutcome, error_rate_ppm: int) -> SuiteReport:
    """Return one suite's report; a critical item that was lost fails it whatever the others say."""
    if suite.scorer is Scorer.AGREEMENT:
        found = judge_agreement(suite.agreements, suite.margin_points, error_rate_ppm)
    else:
        found = judge_pairs(suite.scores, suite.margin_points, error_rate_ppm, suite.floor_percent)
    verdict, message = _with_exceptions(suite, found)
    return SuiteReport(
        name=suite.name,
        scorer=suite.scorer,
        verdict=verdict,
        informative=bool(suite.critical_lost) or found.reason != "Uninformative",
        items=found.items,
        parent_passed=found.parent_passed,
        candidate_passed=found.candidate_passed,
        lost=found.lost,
        won=found.won,
        drop_points=found.drop_points,
        certifiable_margin_points=found.certifiable_margin_points,
        missing_items=found.missing_items,
        message=message,
    )


def _with_exceptions(suite: SuiteOutcome, found: PairedVerdict) -> tuple[Verdict, str]:
    if suite.critical_lost:
        names = ", ".join(f"'{name}'" for name in suite.critical_lost[:3])
        return Verdict.FAILED, f"The candidate lost the critical item {names}, which the parent holds. {found.message}"
    asked = found.items + suite.parent_unanswered
    if found.verdict is not Verdict.FAILED and 100 * suite.parent_unanswered > UNANSWERED_PERCENT * asked:
        unanswered = f"The parent had no answer to {suite.parent_unanswered} of {asked} items: mend it and retry."
        return Verdict.INCONCLUSIVE, f"{unanswered} {found.message}"
    return found.verdict, found.message


def judge_quality(revision: str, suites: Sequence[SuiteOutcome], error_rate_ppm: int) -> GateReport:
    """Return the quality gate's report: every suite that can tell must pass, and at least one must be able to tell."""
    reports = tuple(judge_suite(suite, error_rate_ppm) for suite in suites)
    informative = [report for report in reports if report.informative]
    verdict = _overall([report.verdict for report in informative])
    return GateReport(
        gate="quality", revision=revision, verdict=verdict, message=_quality_message(verdict, reports), suites=reports
    )


def _overall(verdicts: Sequence[Verdict]) -> Verdict:
    if Verdict.FAILED in verdicts:
        return Verdict.FAILED
    return Verdict.PASSED if verdicts and set(verdicts) == {Verdict.PASSED} else Verdict.INCONCLUSIVE


def _quality_message(verdict: Verdict, reports: Sequence[SuiteReport]) -> str:
    """Return the count and, where it is a no, the sentence of the suite that decided."""
    informative = [report for report in reports if report.informative]
    silent = f"; {len(reports) - len(informative)} uninformative" if len(informative) < len(reports) else ""
    passed = sum(report.verdict is Verdict.PASSED for report in informative)
    counted = f"{passed} of {len(informative)} suites passed{silent}."
    if verdict is Verdict.PASSED:
        worst = max(informative, key=lambda report: report.drop_points)
        return f"{counted} Largest drop: {worst.drop_points:g} points in '{worst.name}'."
    deciding = [report for report in informative if report.verdict is verdict] or list(reports)
    if not deciding:
        return "No suite was asked; name one in `gates.quality.suites`."
    return f"{counted} '{deciding[0].name}': {deciding[0].message}"
