"""`python -m bitshift_runtime VERB`: the one entry point of the runtime image."""

from .cli import main

main()
