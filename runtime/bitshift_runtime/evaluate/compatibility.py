"""The gate before any answer counts: same tokens, template and numbers, the promised context, on endpoints that run.

Here: comparing what two live endpoints say and do. Not here: asking them (`introspection`, `numeric`), comparing the
facts of their artifacts (`bitshift_core.evidence.gates`), which count only where the endpoints are silent.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeVar

from bitshift_core.artifact.facts import ArtifactFacts
from bitshift_core.evidence.gates import judge_compatibility
from bitshift_core.evidence.numeric import NumericVerdict, unknown
from bitshift_core.evidence.report import GateReport, Verdict

from .config import GateConfig
from .endpoint import Endpoint
from .introspection import CHATS, TEXTS, Introspection, introspect
from .numeric import check_numbers

Known = TypeVar("Known")
WRONG_NUMBERS = "WrongNumbers"
"""Why in one word a candidate is refused that answers garbage."""


class Finding(Enum):
    """What one comparison came to; unknown is neither good nor bad."""

    SAME = "same"
    DIFFERENT = "different"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Check:
    """One comparison: a whole sentence where it differs, else a part of one."""

    finding: Finding
    sentence: str


@dataclass(frozen=True)
class Sides:
    """What both endpoints say; no parent where none is running."""

    model: str
    promised_tokens: int | None
    candidate: Introspection
    parent: Introspection | None
    numbers: NumericVerdict = unknown("nothing was asked")
    """How likely both find the same texts; asked last, for it means nothing where something else differs."""

    def both(self, read: Callable[[Introspection], Known | None]) -> tuple[Known, Known] | None:
        """Return what candidate and parent say, where both say it."""
        ours, theirs = read(self.candidate), read(self.parent) if self.parent else None
        return None if ours is None or theirs is None else (ours, theirs)


async def check_compatibility(config: GateConfig, candidate: Endpoint, parent: Endpoint | None) -> GateReport:
    """Return the compatibility gate's report."""
    ours, theirs = await asyncio.gather(introspect(candidate), _introspect_parent(parent))
    sides = Sides(config.candidate.model, config.context_tokens, ours, theirs)
    if parent and theirs and not theirs.answer_failure and not _different(sides):
        sides = replace(sides, numbers=await check_numbers(config.numeric, candidate, parent))
    return judge(config, sides).model_copy(update={"numeric": sides.numbers.report})


def judge(config: GateConfig, sides: Sides) -> GateReport:
    """Return the verdict: any difference fails, a parent with which nothing can be compared decides nothing."""
    checks = tuple(check(sides) for check in CHECKS)
    report = _with_facts(config, sides, [check.sentence for check in checks if check.finding is Finding.DIFFERENT])
    if report.verdict is Verdict.FAILED:
        garbage = sides.numbers.verdict is Verdict.FAILED
        return report.model_copy(update={"reason": WRONG_NUMBERS}) if garbage else report
    if missing := _incomparable(config, sides):
        return report.model_copy(update={"verdict": Verdict.INCONCLUSIVE, "message": missing})
    return report.model_copy(update={"message": f"{report.message} {_told(checks)}".strip()})


def answers(sides: Sides) -> Check:
    """Check that the candidate answers, under the name that users ask for."""
    if failure := sides.candidate.answer_failure:
        return Check(Finding.DIFFERENT, f"The candidate did not answer a one-token question: {failure}.")
    served = sides.candidate.served_models
    if served and sides.model not in served:
        names = ", ".join(f"'{name}'" for name in served[:3])
        return Check(Finding.DIFFERENT, f"The candidate serves {names}, not '{sides.model}'.")
    return Check(Finding.SAME, "it answers")


def tokenizer(sides: Sides) -> Check:
    """Check that texts are cut into the same tokens."""
    tokens = sides.both(lambda side: side.text_tokens)
    if tokens is None:
        return Check(Finding.UNKNOWN, "tokens of texts")
    differing = sum(ours != theirs for ours, theirs in zip(*tokens, strict=True))
    if differing:
        sentence = f"Candidate and parent cut {differing} of {len(TEXTS)} texts into different tokens."
        return Check(Finding.DIFFERENT, f"{sentence} Give the candidate the parent's tokenizer.")
    return Check(Finding.SAME, f"{len(TEXTS)} texts give the same tokens")


def template(sides: Sides) -> Check:
    """Check that chats are rendered alike: by the tokens they give, else by the template's text."""
    tokens = sides.both(lambda side: side.chat_tokens)
    mend = "Give the candidate the parent's chat template."
    if tokens:
        differing = sum(ours != theirs for ours, theirs in zip(*tokens, strict=True))
        if differing:
            sentence = f"Candidate and parent render {differing} of {len(CHATS)} chats into different tokens."
            return Check(Finding.DIFFERENT, f"{sentence} {mend}")
        return Check(Finding.SAME, f"{len(CHATS)} chats give the same tokens")
    texts = sides.both(lambda side: side.template_digest)
    if texts is None:
        return Check(Finding.UNKNOWN, "the chat template")
    if texts[0] != texts[1]:
        return Check(Finding.DIFFERENT, f"The chat templates of candidate and parent are different texts. {mend}")
    return Check(Finding.SAME, "the chat templates are the same")


def vocabulary(sides: Sides) -> Check:
    """Check that both know as many tokens; where texts give the same tokens the rest is padding."""
    sizes = sides.both(lambda side: side.vocabulary_size)
    if sizes is None or (sizes[0] != sizes[1] and tokenizer(sides).finding is Finding.SAME):
        return Check(Finding.UNKNOWN, "the vocabulary")
    if sizes[0] != sizes[1]:
        return Check(Finding.DIFFERENT, f"The candidate's vocabulary has {sizes[0]} entries, the parent's {sizes[1]}.")
    return Check(Finding.SAME, f"both know {sizes[0]} tokens")


def context(sides: Sides) -> Check:
    """Check that one sequence gets the context that was promised, else the one that the parent serves."""
    served = sides.candidate.context_tokens
    promised = sides.promised_tokens or (sides.parent.context_tokens if sides.parent else None)
    if promised is None or served is None:
        return Check(Finding.UNKNOWN, "the served context")
    if served < promised:
        sentence = f"The candidate serves {served} tokens of context to a sequence, {promised} are promised."
        return Check(Finding.DIFFERENT, f"{sentence} Raise its context or lower `spec.serving.contextTokens`.")
    return Check(Finding.SAME, f"{served} tokens of context are served where {promised} are promised")


def numbers(sides: Sides) -> Check:
    """Check that the candidate computes what the parent computes, give or take what quantization costs."""
    findings = {Verdict.FAILED: Finding.DIFFERENT, Verdict.PASSED: Finding.SAME}
    return Check(findings.get(sides.numbers.verdict, Finding.UNKNOWN), sides.numbers.message)


CHECKS: tuple[Callable[[Sides], Check], ...] = (answers, tokenizer, template, vocabulary, context, numbers)


def _different(sides: Sides) -> bool:
    return any(check(sides).finding is Finding.DIFFERENT for check in CHECKS)


async def _introspect_parent(parent: Endpoint | None) -> Introspection | None:
    return None if parent is None else await introspect(parent)


def _with_facts(config: GateConfig, sides: Sides, different: list[str]) -> GateReport:
    """Return what the artifacts' facts say besides; digests that live endpoints have answered for are passed over."""
    if config.candidate_facts is None:
        verdict = Verdict.FAILED if different else Verdict.PASSED
        message = " ".join(different)
        return GateReport(gate="compatibility", revision=config.revision, verdict=verdict, message=message)
    return judge_compatibility(
        config.revision,
        config.candidate_facts,
        _less_what_is_known(config.parent_facts, sides),
        context_tokens=config.context_tokens or 0,
        findings=different,
    )


def _less_what_is_known(facts: ArtifactFacts | None, sides: Sides) -> ArtifactFacts | None:
    """Return a parent's facts without the digests of what was seen to be the same: files differ in spelling, too."""
    if facts is None:
        return None
    seen = {"tokenizer_digest": tokenizer(sides), "chat_template_digest": template(sides)}
    return facts.model_copy(update={name: "" for name, check in seen.items() if check.finding is Finding.SAME})


def _incomparable(config: GateConfig, sides: Sides) -> str:
    """Return why nothing can be compared; empty when something can, or when there is no parent to compare with."""
    if sides.parent and sides.parent.answer_failure:
        return f"The parent did not answer a one-token question: {sides.parent.answer_failure}. Mend it and retry."
    ours, theirs = config.candidate_facts, config.parent_facts
    by_digest = ours and theirs and ours.tokenizer_digest and theirs.tokenizer_digest and ours.format == theirs.format
    live = {tokenizer(sides).finding, template(sides).finding} != {Finding.UNKNOWN}
    if sides.parent is None or by_digest or live:
        return ""
    return (
        "Nothing tells whether the tokenizer is the parent's: the endpoints do not tokenise on request and the parent's"
        " artifact is not known. Name it in `spec.parent.artifact`."
    )


def _told(checks: tuple[Check, ...]) -> str:
    same = [check.sentence for check in checks if check.finding is Finding.SAME]
    unknown = [check.sentence for check in checks if check.finding is Finding.UNKNOWN]
    told = f"Of the running candidate: {', '.join(same)}."
    return f"{told} Unknown: {', '.join(unknown)}." if unknown else told
