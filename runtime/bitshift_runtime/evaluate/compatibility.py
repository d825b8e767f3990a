"""The gate before any answer counts: same tokens, same chat template, the promised context, on the endpoints that run.

Here: comparing what two live endpoints say and do. Not here: asking them (`introspection`); what their artifacts' facts
say is compared only where the endpoints are silent.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from bitshift_core.artifact.facts import ArtifactFacts
from bitshift_core.evidence.report import GateReport, Verdict

from .config import GateConfig
from .endpoint import Endpoint
from .introspection import CHATS, TEXTS, Introspection, introspect


Known = TypeVar("Known")


class Finding(Enum):
    """What one comparison came to."""

    SAME = "same"
    DIFFERENT = "different"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Check:
    """One comparison in words; an essential one that stays unknown lets nothing pass."""

    name: str
    finding: Finding
    sentence: str
    essential: bool = False


@dataclass(frozen=True)
class Sides:
    """All that is known of both sides."""

    config: GateConfig
    candidate: Introspection
    parent: Introspection | None

    def facts(self, read: Callable[[ArtifactFacts], object]) -> tuple[object, object] | None:
        """Return a fact of candidate and parent where both artifacts are known and of one format."""
        candidate, parent = self.config.candidate_facts, self.config.parent_facts
        if candidate is None or parent is None or candidate.format != parent.format:
            return None
        ours, theirs = read(candidate), read(parent)
        return (ours, theirs) if ours and theirs else None


async def check_compatibility(config: GateConfig, candidate: Endpoint, parent: Endpoint | None) -> GateReport:
    """Return the compatibility gate's report."""
    ours, theirs = await asyncio.gather(introspect(candidate), _introspect_parent(parent))
    return judge(config, tuple(check(Sides(config, ours, theirs)) for check in CHECKS))


def judge(config: GateConfig, checks: tuple[Check, ...]) -> GateReport:
    """Return the verdict of all checks: any difference fails, an essential unknown decides nothing."""
    different = [check for check in checks if check.finding is Finding.DIFFERENT]
    unknown = [check for check in checks if check.finding is Finding.UNKNOWN]
    missing = [check for check in unknown if check.essential]
    if different or missing:
        verdict = Verdict.FAILED if different else Verdict.INCONCLUSIVE
        message = " ".join(check.sentence for check in different or missing)
    else:
        verdict = Verdict.PASSED
        message = _passed([check for check in checks if check.finding is Finding.SAME], unknown)
    return GateReport(gate="compatibility", revision=config.revision, verdict=verdict, message=message)


def answers(sides: Sides) -> Check:
    """Check that the candidate answers, under the name that users ask for."""
    if failure := sides.candidate.answer_failure:
        return Check("answers", Finding.DIFFERENT, f"The candidate did not answer a one-token question: {failure}.")
    wanted, served = sides.config.candidate.model, sides.candidate.served_models
    if served and wanted not in served:
        names = ", ".join(f"'{name}'" for name in served[:3])
        return Check("answers", Finding.DIFFERENT, f"The candidate serves {names}, not '{wanted}'.")
    return Check("answers", Finding.SAME, "it answers")


def parent_answers(sides: Sides) -> Check:
    """Check that there is a parent to compare with."""
    if sides.parent is None:
        return Check("parent", Finding.UNKNOWN, "no parent is running to compare with")
    if failure := sides.parent.answer_failure:
        sentence = f"The parent did not answer a one-token question: {failure}."
        return Check("parent", Finding.UNKNOWN, sentence, essential=True)
    return Check("parent", Finding.SAME, "its parent answers")


def context(sides: Sides) -> Check:
    """Check that one sequence gets the context that was promised, else what the parent serves."""
    parent = sides.parent.context_tokens if sides.parent else None
    promised, served = sides.config.context_tokens or parent, sides.candidate.context_tokens
    if promised is None or served is None:
        return Check("context", Finding.UNKNOWN, "the served context")
    if served < promised:
        return Check(
            "context",
            Finding.DIFFERENT,
            f"The candidate serves {served} tokens of context to a sequence; {promised} are promised.",
        )
    return Check("context", Finding.SAME, f"it serves {served} of {promised} promised tokens of context")


def vocabulary(sides: Sides) -> Check:
    """Check that both know as many tokens; padding of the embedding may differ where the tokens themselves agree."""
    live = _both(sides, lambda side: side.vocabulary_size)
    sizes = live or sides.facts(lambda facts: facts.vocab_size)
    if sizes is None:
        return Check("vocabulary", Finding.UNKNOWN, "the vocabulary's size")
    if sizes[0] == sizes[1]:
        return Check("vocabulary", Finding.SAME, f"a vocabulary of {sizes[0]} tokens")
    if _both_equal(sides, lambda side: side.text_tokens):
        return Check("vocabulary", Finding.UNKNOWN, f"why {sizes[0]} vocabulary entries stand against {sizes[1]}")
    sentence = f"The candidate's vocabulary has {sizes[0]} entries, the parent's {sizes[1]}."
    return Check("vocabulary", Finding.DIFFERENT, sentence)


def tokenizer(sides: Sides) -> Check:
    """Check that texts are cut alike: by the live endpoints where they tell, else by the tokenizers' digests."""
    live = _both(sides, lambda side: side.text_tokens)
    if live:
        differing = sum(ours != theirs for ours, theirs in zip(*live, strict=True))
        if differing:
            sentence = f"Candidate and parent cut {differing} of {len(TEXTS)} texts into different tokens."
            return Check("tokenizer", Finding.DIFFERENT, sentence)
        return Check("tokenizer", Finding.SAME, f"the same tokens for {len(TEXTS)} texts")
    return _by_digest(sides, "tokenizer", lambda facts: facts.tokenizer_digest)


def template(sides: Sides) -> Check:
    """Check that chats are rendered alike: by their tokens, else by the template's text, else by its digest."""
    live = _both(sides, lambda side: side.chat_tokens)
    if live:
        differing = sum(ours != theirs for ours, theirs in zip(*live, strict=True))
        if differing:
            sentence = f"The chat templates differ: {differing} of {len(CHATS)} chats give different tokens."
            return Check("chat template", Finding.DIFFERENT, sentence)
        return Check("chat template", Finding.SAME, f"the same tokens for {len(CHATS)} chats")
    texts = _both(sides, lambda side: side.template_digest)
    if texts:
        return _compared("chat template", *texts)
    return _by_digest(sides, "chat template", lambda facts: facts.chat_template_digest)


def comparable(sides: Sides) -> Check:
    """Check that tokens or templates could be compared at all: without either, quality would be judged blindly."""
    if sides.parent is None or {tokenizer(sides).finding, template(sides).finding} != {Finding.UNKNOWN}:
        return Check("comparable", Finding.SAME, "")
    sentence = (
        "Neither endpoint tokenises on request and the parent's artifact is not known: "
        "name it in `spec.parent.artifact`, so that tokenizers and chat templates can be compared."
    )
    return Check("comparable", Finding.UNKNOWN, sentence, essential=True)


CHECKS: tuple[Callable[[Sides], Check], ...] = (
    answers,
    parent_answers,
    tokenizer,
    template,
    vocabulary,
    context,
    comparable,
)


async def _introspect_parent(parent: Endpoint | None) -> Introspection | None:
    return None if parent is None else await introspect(parent)


def _both(sides: Sides, read: Callable[[Introspection], Known | None]) -> tuple[Known, Known] | None:
    ours = read(sides.candidate)
    theirs = read(sides.parent) if sides.parent else None
    return None if ours is None or theirs is None else (ours, theirs)


def _both_equal(sides: Sides, read: Callable[[Introspection], object]) -> bool:
    found = _both(sides, read)
    return found is not None and found[0] == found[1]


def _by_digest(sides: Sides, name: str, read: Callable[[ArtifactFacts], object]) -> Check:
    digests = sides.facts(read)
    if digests is None:
        return Check(name, Finding.UNKNOWN, f"whether the {name} is the parent's")
    return _compared(name, *digests)


def _compared(name: str, ours: object, theirs: object) -> Check:
    if ours == theirs:
        return Check(name, Finding.SAME, f"the same {name}")
    sentence = f"The candidate's {name} ({str(ours)[:19]}) is not the parent's ({str(theirs)[:19]})."
    return Check(name, Finding.DIFFERENT, sentence)


def _passed(same: list[Check], unknown: list[Check]) -> str:
    sentence = f"The candidate is compatible with its parent: {', '.join(check.sentence for check in same if check.sentence)}."
    if unknown:
        sentence += f" Unknown: {', '.join(check.sentence for check in unknown)}."
    return sentence
