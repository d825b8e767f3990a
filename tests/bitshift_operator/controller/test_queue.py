import asyncio
from contextlib import asynccontextmanager

import pytest

from bitshift_operator.cluster.errors import Conflict
from bitshift_operator.cluster.kinds import Key
from bitshift_operator.controller.queue import QueueMetrics, WorkQueue

CHAT, CODE, MATH = Key("ns", "chat"), Key("ns", "code"), Key("ns", "math")


@asynccontextmanager
async def working(queue, turn, workers=4):
    work = asyncio.create_task(queue.work(turn, workers=workers))
    try:
        async with asyncio.timeout(5):
            yield
            queue.stop()
            await work
    finally:
        work.cancel()


async def until(holds):
    while not holds():
        await asyncio.sleep(0.001)


def recorder(taken, answers=None):
    async def turn(key):
        taken.append(key)
        return next(answers, None) if answers else None

    return turn


async def test_a_key_added_often_is_looked_at_once():
    queue, taken = WorkQueue(), []
    for _ in range(100):
        queue.add(CHAT)

    async with working(queue, recorder(taken)):
        await until(lambda: taken)

    assert taken == [CHAT]


async def test_what_comes_in_during_a_turn_is_looked_at_once_more_after_it():
    queue, taken, running = WorkQueue(), [], [0]

    async def turn(key):
        running[0] += 1
        assert running[0] == 1
        taken.append(key)
        if len(taken) == 1:
            queue.add(key)
            queue.add(key)
            await asyncio.sleep(0.01)
        running[0] -= 1

    queue.add(CHAT)
    async with working(queue, turn):
        await until(lambda: len(taken) == 2)

    assert taken == [CHAT, CHAT]


async def test_urgent_keys_overtake_all_others():
    queue, taken = WorkQueue(), []
    queue.add(CHAT)
    queue.add(CODE)
    queue.add(MATH, urgent=True)
    queue.add(CODE, urgent=True)

    async with working(queue, recorder(taken), workers=1):
        await until(lambda: len(taken) == 3)

    assert set(taken[:2]) == {MATH, CODE}


async def test_a_rollback_does_not_wait_for_slow_turns_of_others():
    queue, taken, blocked = WorkQueue(), [], asyncio.Event()

    async def turn(key):
        taken.append(key)
        if key == CHAT:
            await blocked.wait()

    queue.add(CHAT)
    async with working(queue, turn, workers=1):
        await until(lambda: taken)
        queue.add(MATH, urgent=True)
        await until(lambda: MATH in taken)
        blocked.set()


async def test_a_turn_says_when_to_look_again():
    queue, taken = WorkQueue(), []

    queue.add(CHAT)
    async with working(queue, recorder(taken, iter([0.01, 0.01]))):
        await until(lambda: len(taken) == 3)
        assert queue.scheduled == 0


async def test_the_earlier_of_two_times_stands_and_a_change_comes_before_both():
    queue, taken = WorkQueue(), []
    queue.add_after(CHAT, 0.02)
    queue.add_after(CHAT, 60)
    queue.add_after(CODE, 60)
    queue.add(CODE)

    async with working(queue, recorder(taken)):
        await until(lambda: len(taken) == 2)

    assert taken == [CODE, CHAT]
    assert queue.scheduled == 0


async def test_failures_are_retried_ever_more_slowly_until_one_success():
    now, queue = [0.0], None
    queue, pauses = WorkQueue(clock=lambda: now[0]), []
    queue._running[CHAT] = False

    async def failing(key):
        raise ValueError("no")

    async def succeeding(key):
        return None

    for turn in (*[failing] * 12, succeeding, failing):
        await queue._take_turn(CHAT, turn)
        pauses.append(queue._due.pop(CHAT).at if queue.scheduled else None)

    assert pauses[:3] == [0.05, 0.1, 0.2]
    assert pauses[11] == 30.0
    assert pauses[12:] == [None, 0.05]


async def test_events_during_a_failed_turn_do_not_cut_its_pause_short():
    queue, taken = WorkQueue(), []

    async def turn(key):
        taken.append(asyncio.get_running_loop().time())
        queue.add(key)
        if len(taken) < 3:
            raise Conflict("changed")
        queue.forget(key)

    queue.add(CHAT)
    async with working(queue, turn):
        await until(lambda: len(taken) == 3)

    assert taken[1] - taken[0] >= 0.04
    assert taken[2] - taken[1] >= 0.09


async def test_stopping_waits_for_running_turns_and_starts_no_other():
    queue, taken, ended = WorkQueue(), [], []

    async def turn(key):
        taken.append(key)
        queue.stop()
        queue.add(MATH)
        await asyncio.sleep(0.01)
        ended.append(key)

    queue.add(CHAT)
    await asyncio.wait_for(queue.work(turn, workers=1), 5)

    assert taken == ended == [CHAT]


async def test_the_oldest_wait_grows_while_nobody_works():
    now = [0.0]
    queue = WorkQueue(clock=lambda: now[0])
    assert queue.oldest_wait_seconds() == 0
    queue.add(CHAT)
    now[0] = 42.0
    queue.add(CHAT)

    assert queue.oldest_wait_seconds() == 42.0


async def test_metrics_hear_of_waits_turns_and_failures():
    waits, turns, errors = [], [], []
    queue = WorkQueue(QueueMetrics(waits.append, turns.append, errors.append))

    async def turn(key):
        raise RuntimeError("once")

    queue.add(CHAT)
    async with working(queue, turn):
        await until(lambda: errors)

    assert (len(waits), len(turns), str(errors[0])) == (1, 1, "once")


async def test_times_that_became_pointless_do_not_pile_up():
    queue = WorkQueue()
    for _ in range(1000):
        queue.add_after(CHAT, 3600)
        queue.add(CHAT)
        queue.forget(CHAT)

    assert len(queue._heap) < 100


async def test_ten_thousand_keys_are_worked_off_quickly():
    queue, taken = WorkQueue(), []
    for number in range(10_000):
        queue.add(Key("ns", f"m{number}"))

    async with working(queue, recorder(taken)):
        await until(lambda: len(taken) == 10_000)


@pytest.mark.parametrize("seconds", [0, -1])
async def test_no_pause_means_now(seconds):
    queue = WorkQueue()
    queue.add_after(CHAT, seconds)

    assert queue.depth == 1
