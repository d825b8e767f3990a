"""`kubectl bitshift`: what a person asks of a rollout and tells it.

Here: reading one object, showing it on one screen, writing annotations. Not here: deciding (`bitshift_core.rollout`).
"""

from .app import main

__all__ = ["main"]
