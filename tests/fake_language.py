"""A language model of a few lines: it knows which word follows which in the numeric check's texts."""

import math
import random
import re
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from bitshift_core.evidence.texts import TEXTS

CERTAINTY = 6.0
"""Logit of the word that follows; the others' lie around 0."""


def words(text):
    return re.findall(r"\s*\S+|\s+$", text)


@cache
def followers():
    known = {}
    for text in TEXTS:
        for word, following in pairwise(words(text)):
            known.setdefault(word, following)
    return known


@cache
def vocabulary():
    return tuple(sorted({word for text in TEXTS for word in words(text)}))


@dataclass(frozen=True)
class Language:
    noise: float = 0.0
    """How far logits are off, as an honest quantization's are."""
    knows: bool = True
    """False computes something else: every word follows every other."""

    def logprobs(self, word):
        """Return the log-probability of each word after this one."""
        return _logprobs(self.noise, self.knows, word)

    def likeliest(self, word, count):
        return _likeliest(self.noise, self.knows, word)[:count]

    def score(self, text, count):
        """Return each word with its log-probability and the likeliest in its place; nothing is known of the first."""
        cut = words(text)
        yield cut[0], None, None
        for before, word in pairwise(cut):
            known = self.logprobs(before)
            yield word, known.get(word, -20.0), self.likeliest(before, count)


@cache
def _likeliest(noise, knows, word):
    return sorted(_logprobs(noise, knows, word).items(), key=lambda pair: -pair[1])


@cache
def _logprobs(noise, knows, word):
    drawn = random.Random(f"{word} {knows}")
    logits = {each: drawn.gauss(0, 1) for each in vocabulary()}
    if knows and word in followers():
        logits[followers()[word]] = CERTAINTY
    shaken = random.Random(f"{word} {noise}")
    logits = {each: logit + noise * shaken.gauss(0, 1) for each, logit in logits.items()}
    total = math.log(sum(math.exp(logit) for logit in logits.values()))
    return {each: logit - total for each, logit in logits.items()}
