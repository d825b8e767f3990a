import random

import pytest

from bitshift_runtime.relay.repetition import is_repeating

PROSE = " ".join(
    f"In {year} the {noun} of {place} was {verb} by {number} people who had come from {other} to see it."
    for year, noun, place, verb, number, other in zip(
        range(1900, 1960),
        ["river", "bridge", "church", "market", "tower", "library"] * 10,
        ["Ghent", "Turin", "Porto", "Bergen", "Riga", "Graz", "Lyon"] * 9,
        ["built", "seen", "painted", "sold", "left"] * 12,
        range(11, 71),
        ["afar", "the hills", "the coast", "abroad"] * 15,
        strict=False,
    )
)


@pytest.mark.parametrize(
    "text",
    [
        "!" * 300,
        "The answer is\n" + "\n" * 300,
        "Paris. " + "The capital of France is Paris. " * 20,
        PROSE + " and so on and so forth, as I said before," * 10,
        "x" + "".join(random.Random(1).choices("abcdefgh ", k=700)) * 5,
        " ".join(f"Step {n}: I will now think about the question again and again and again." for n in range(40)),
    ],
)
def test_a_text_that_goes_round_in_circles_is_repeating(text):
    assert is_repeating(text[-4096:])


@pytest.mark.parametrize(
    "text",
    ["", "Paris.", "ha " * 20, PROSE, "".join(random.Random(2).choices("abcdefgh ", k=4_000)), str(list(range(1_000)))],
)
def test_other_texts_are_not(text):
    assert not is_repeating(text[-4096:])
