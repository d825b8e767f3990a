"""What holds for all fast tests: examples may take their time, machines under load are slow."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
