"""Parallel, Serial, Wait: how a release finds room beside stable, and what coming back would cost."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from bitshift_core.fit.placement import Holder
from bitshift_core.fit.plan import plan_release
from bitshift_core.fit.room import without_pods
from bitshift_core.fit.swap import room_beside
from tests.bitshift_core.fit.builders import a_gpu_node, a_need, constants, kernels
from tests.examples import examples


def fits(need, nodes):
    return plan_release(need, nodes, constants(), kernels=kernels()).verdict == "Fits"


def a_node(name, *, count, stable=0, other=0, free=0):
    holders = [Holder(f"team/chat-{name}-{index}", "nvidia.com/gpu", 1) for index in range(stable)]
    holders += [Holder(f"team/train-{name}-{index}", "nvidia.com/gpu", 1) for index in range(other)]
    return replace(a_gpu_node(name, count=count, free=free), holders=tuple(holders))


def stable_of(*nodes):
    return [(holder.pod, node.name) for node in nodes for holder in node.holders if holder.pod.startswith("team/chat-")]


def room(need, *nodes):
    return room_beside(need, nodes, fits, stable_of(*nodes), reload_seconds=340)


def test_beside_stable_where_there_is_room():
    assert room(a_need(), a_node("a", count=2, stable=1, free=1)).mode == "Parallel"


def test_on_one_gpu_in_place_of_stable_with_the_bound_on_coming_back_said_first():
    found = room(a_need(), a_node("a", count=1, stable=1))

    assert (found.mode, found.swaps, found.reload_seconds) == ("Serial", 1, 340)
    assert found.sentence == (
        "There is room in place of stable: scaled down by its only replica it would leave its GPUs to the pending "
        "pods. Before you do: to come back it must load again, which may take 340 s."
    )


def test_only_as_many_replicas_of_stable_go_as_are_needed():
    found = room(a_need(replicas=3), a_node("a", count=4, stable=3, free=1))

    assert (found.mode, found.swaps) == ("Serial", 2)
    assert "by 2 of its 3 replicas, one at a time, it would" in found.sentence


def test_several_small_replicas_may_have_to_go_before_a_large_one_starts():
    found = room(a_need(gpus_per_replica=2), a_node("a", count=4, stable=3, free=1))
    wide = room(a_need(gpus_per_replica=4), a_node("a", count=4, stable=4))

    assert (found.swaps, wide.swaps) == (1, 4)
    assert "by 4 of its 4 replicas, 4 before the first starts," in wide.sentence


def test_what_others_hold_is_waited_for():
    assert room(a_need(replicas=2), a_node("a", count=2, stable=1, other=1)).mode == "Wait"
    assert room(a_need(), a_node("a", count=1, other=1)).sentence == ""


@settings(max_examples=examples(100))
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=4),
       st.integers(1, 5))  # fmt: skip
def test_a_swap_that_is_offered_makes_room_and_one_less_would_not(shapes, replicas):
    nodes = [
        a_node(f"n{index}", count=sum(shape) or 1, stable=shape[0], other=shape[1], free=shape[2])
        for index, shape in enumerate(shapes)
    ]
    need, stable = a_need(replicas=replicas), stable_of(*nodes)
    found = room_beside(need, nodes, fits, stable, reload_seconds=1)

    assert (found.mode == "Parallel") == fits(need, nodes)
    if found.mode == "Serial":
        assert fits(need, without_pods(nodes, stable[: found.swaps]))
        assert not fits(need, without_pods(nodes, stable[: found.swaps - 1]))
    if found.mode == "Wait":
        assert not fits(need, without_pods(nodes, stable))
