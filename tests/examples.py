"""How many examples a property test tries: all of them in `make test`, an eighth in `make check`, which people wait for."""

import os

WIDE = os.environ.get("EXAMPLES") == "all"


def examples(most: int) -> int:
    """Return how many of `most` examples to try in this run."""
    return most if WIDE else max(10, most // 8)
