from bitshift_runtime.load.prompts import SENTENCES, most_sentences, prompt


def words(text: str) -> int:
    return len(text.split())


def test_a_release_is_not_asked_to_hold_more_than_it_promised():
    longest = max(words(prompt(number, 1, most_sentences(256, 8))) for number in range(300))
    free = max(words(prompt(number, 1)) for number in range(300))

    assert longest < 256 - 8 - 40
    assert free > longest


def test_even_a_tiny_context_gets_a_prompt():
    assert most_sentences(64, 8) == 1
    assert any(sentence in prompt(1, 1, 1) for sentence in SENTENCES)


def test_the_longest_prompt_is_as_long_as_was_asked_for_and_the_mixture_keeps_its_shape():
    long = [words(prompt(number, 1, most_sentences(None, 8, 4_096))) for number in range(300)]
    short = [words(prompt(number, 1, most_sentences(4_096, 8, 100))) for number in range(300)]

    assert 1_500 < max(long) < 4_096 and min(long) < max(long) / 4
    assert max(short) < 60
