"""What the load asks: harmless generated prompts of mixed length, the same for both sides and for every run.

Here: text from a seed. Not here: users' prompts, which are never replayed.
"""

import random

TASKS = (
    "Summarise the following note in a few sentences.",
    "List the main points of this note.",
    "Explain what the writer of this note should do next.",
    "Rewrite this note for a colleague who was not there.",
)
SENTENCES = (
    "The delivery arrived on Tuesday and two boxes were missing.",
    "Our meeting moved from the small room to the large one on the third floor.",
    "The garden needs water every morning while the weather stays dry.",
    "A new train connects the harbour with the old town every twenty minutes.",
    "The report counts forty visitors a day, ten more than last spring.",
    "She asked whether the library could stay open until nine.",
    "The price of bread rose again, but the bakery sells more than ever.",
    "They repaired the bridge in one night and opened it before the market began.",
    "The test failed twice because a cable was loose.",
    "Nobody had told the driver that the street was closed.",
    "The committee will vote on the plan next week.",
    "In the evening the power was out for almost an hour.",
)
SENTENCE_COUNTS = (1, 2, 2, 4, 4, 8, 16)
"""Short prompts mostly, a few of some hundred tokens: the shape of a conversation's first turn."""


TOKENS_PER_SENTENCE, TOKENS_AROUND = 18, 64
"""Generous: what the sentences, and the task and chat template around them, take in any tokenizer for English."""


def most_sentences(context_tokens: int | None, reply_tokens: int, prompt_tokens: int | None = None) -> int:
    """Return how long a note may be: a load that a release never promised to hold would say nothing about its speed."""
    wanted = prompt_tokens or max(SENTENCE_COUNTS) * TOKENS_PER_SENTENCE + TOKENS_AROUND
    room = wanted if context_tokens is None else min(wanted, context_tokens - reply_tokens)
    return max(1, (room - TOKENS_AROUND) // TOKENS_PER_SENTENCE)


def prompt(number: int, seed: int, sentences_at_most: int = max(SENTENCE_COUNTS)) -> str:
    """Return the prompt of a request; its number comes first, so that no prefix cache answers for the engine."""
    chance = random.Random(f"{seed}/{number}")
    share = max(1.0, sentences_at_most / max(SENTENCE_COUNTS))  # longer ones stretch the mixture, shorter ones cut it
    sentences = chance.choices(SENTENCES, k=min(round(chance.choice(SENTENCE_COUNTS) * share), sentences_at_most))
    return f"Note {chance.randrange(10**6)}-{number}. {chance.choice(TASKS)}\n\n{' '.join(sentences)}"
