"""What holds for all fast tests: examples may take their time, machines under load are slow."""

from hypothesis import settings

from tests.examples import examples

settings.register_profile("unhurried", deadline=None, max_examples=examples(100))
settings.load_profile("unhurried")
