"""When each request should be sent: Poisson arrivals from a seed, the same for both sides, in alternating blocks.

Here: times as numbers. Not here: sending anything (`sender`).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

Side = TypeVar("Side")

WARM_UP_PERCENT = 10
WARM_UP_BOUNDS_SECONDS = (2.0, 60.0)
BLOCK_SECONDS = 15.0
FEWEST_BLOCKS = 4


@dataclass(frozen=True)
class Block:
    """A slice of the schedule; `offsets_seconds` count from its beginning."""

    number: int
    seconds: float
    offsets_seconds: tuple[float, ...]
    first_request: int
    warm_up: bool = False


def arrivals(requests_per_second: float, seconds: float, seed: int) -> tuple[float, ...]:
    """Return the times of independent users' requests within a span."""
    chance = random.Random(seed)
    times: list[float] = []
    now = chance.expovariate(requests_per_second)
    while now < seconds:
        times.append(now)
        now += chance.expovariate(requests_per_second)
    return tuple(times)


def blocks(requests_per_second: float, seconds: float, seed: int) -> tuple[Block, ...]:
    """Return a warm-up and then the measured span in blocks short enough that drift hits both sides of each alike."""
    warm_up_seconds = min(max(seconds * WARM_UP_PERCENT / 100, WARM_UP_BOUNDS_SECONDS[0]), WARM_UP_BOUNDS_SECONDS[1])
    warm_up = Block(0, warm_up_seconds, arrivals(requests_per_second, warm_up_seconds, seed), 0, warm_up=True)
    times = arrivals(requests_per_second, seconds, seed + 1)
    count = max(FEWEST_BLOCKS, round(seconds / BLOCK_SECONDS))
    return (warm_up, *_cut(times, seconds / count, count, len(warm_up.offsets_seconds)))


def turns(sides: Sequence[Side], block: Block) -> tuple[Side, ...]:
    """Return in which order the sides take a block: A B, then B A, so that a steady drift favours neither."""
    return tuple(sides) if block.number % 2 == 0 else tuple(reversed(sides))


def _cut(times: Sequence[float], block_seconds: float, count: int, first: int) -> tuple[Block, ...]:
    made: list[Block] = []
    for number in range(count):
        begin, end = number * block_seconds, (number + 1) * block_seconds
        offsets = tuple(time - begin for time in times if begin <= time < end)
        made.append(Block(number + 1, block_seconds, offsets, first))
        first += len(offsets)
    return tuple(made)
