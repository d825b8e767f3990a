"""The bar is to scale, whatever its width."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitshift_core.api.v1alpha1 import SizeItem
from bitshift_operator.cli.bar import LIMIT, LOOKS, Bar, legend

NAMES = [*LOOKS, "something new"]
SIZES = st.lists(st.integers(0, 1 << 40), min_size=len(NAMES), max_size=len(NAMES))


def items(*sizes: int) -> list[SizeItem]:
    return [SizeItem(name=name, bytes=size) for name, size in zip(NAMES, sizes, strict=False)]


def test_signs_stand_in_proportion_and_the_rest_is_free():
    assert Bar(items(50, 25), 100).line(41).plain == "█" * 20 + "▓" * 10 + " " * 10 + LIMIT


def test_what_is_missing_stands_behind_the_end_of_what_is_offered():
    assert Bar(items(50, 50), 50).line(41).plain == "█" * 20 + LIMIT + "▓" * 20


def test_bars_of_one_ladder_share_a_scale():
    assert Bar(items(50), 50, 100).line(41).plain.rstrip() == "█" * 20 + LIMIT


def test_without_anything_offered_there_is_no_end():
    assert LIMIT not in Bar(items(50, 50), 0).line(41).plain
    assert LIMIT not in legend(items(1, 1), with_limit=False).plain


@given(SIZES, st.integers(0, 1 << 42), st.integers(10, 200))
def test_a_bar_is_as_wide_as_it_may_be_and_off_by_less_than_a_column(sizes, capacity, width):
    plain = Bar(items(*sizes), capacity).line(width).plain
    whole = max(sum(sizes), capacity, 1)

    assert len(plain) == (width if capacity else width - 1)
    for item in items(*sizes):
        sign = LOOKS.get(item.name, ("+", ""))[0]
        assert abs(plain.count(sign) - item.bytes * (width - 1) / whole) <= 1


@pytest.mark.parametrize("name", LOOKS)
def test_the_legend_names_what_is_there(name):
    assert legend([SizeItem(name=name, bytes=1)], with_limit=True).plain.startswith(f"{LOOKS[name][0]} {name}")
