"""Answers that go round in circles: what broken weights and caches do most.

Here: a look at the last few thousand characters of a text. Not here: which characters are kept (`relay.answer`).
"""

LOOP_CHARACTERS = 240
LOOP_ROUNDS = 4
PROBE_CHARACTERS = 32
FEWEST_WORDS = 120
GRAM_WORDS = 4
DISTINCT_SHARE = 0.35
"""Prose has nine in ten of its four-word sequences only once; a loop with small changes has few."""


def is_repeating(text: str) -> bool:
    """Return whether the text ends in a loop, or says few things over and over."""
    return _ends_in_a_loop(text) or _says_few_things(text)


def _ends_in_a_loop(text: str) -> bool:
    before = text.rfind(text[-PROBE_CHARACTERS:], 0, len(text) - 1)
    period = len(text) - PROBE_CHARACTERS - before
    needed = max(LOOP_CHARACTERS, LOOP_ROUNDS * period)
    if before < 0 or len(text) < needed:
        return False
    tail = text[-needed:]
    return tail[period:] == tail[:-period]


def _says_few_things(text: str) -> bool:
    words = text.split()
    if len(words) < FEWEST_WORDS:
        return False
    grams = list(zip(*(words[offset:] for offset in range(GRAM_WORDS)), strict=False))
    return len(set(grams)) < DISTINCT_SHARE * len(grams)
