from hypothesis import given
from hypothesis import strategies as st

from bitshift_core.traffic.tenants import fitting, order, unusable, usable

NAMES = st.sets(st.text("abcdefgh0123", min_size=1, max_size=4), max_size=12)


def test_first_move_first_last_move_last_and_the_excluded_never():
    moved = order("abcdefg", seed="uid", first=("f", "c", "unseen"), last=("a",), exclude=("b", "g"))

    assert moved[:2] == ("f", "c") and moved[-1] == "a" and sorted(moved[2:-1]) == ["d", "e"]


def test_a_tenant_named_first_and_last_moves_first():
    assert order("ab", seed="uid", first=("a",), last=("a", "b")) == ("a", "b")


def test_another_seed_gives_another_order():
    assert order("abcdefghij", seed="one") != order("abcdefghij", seed="two")


@given(seen=NAMES, newcomers=NAMES)
def test_a_newcomer_makes_nobody_change_places(seen, newcomers):
    before = order(seen, seed="uid")

    assert tuple(tenant for tenant in order(seen | newcomers, seed="uid") if tenant in seen) == before


def test_what_a_gateway_could_read_as_syntax_is_never_put_into_a_rule():
    hostile = ["a`) || Path(`/", 'x"', "new\nline", " leading", "trailing ", "ü", "a" * 129, "a,b", "$x", "{x}"]

    assert not any(map(usable, hostile))
    assert order(hostile, seed="uid") == ()
    assert unusable([*hostile, "acme", ""]) == tuple(sorted(hostile))


def test_usual_names_are_usable_as_they_are():
    assert all(map(usable, ["acme", "ACME Corp", "a", "org:1/team@x.io", "a" * 128, "0b7d-44"]))


def test_the_relays_word_for_the_rest_is_no_tenant():
    assert order(["~other", "acme"], seed="uid") == ("acme",)
    assert unusable(["~other"]) == ()


def test_where_room_is_short_the_placed_and_the_named_keep_theirs_and_the_order_stays():
    ordered = ("first", "a", "b", "c", "d", "gold")

    assert fitting(ordered, 4, placed=("c", "d"), named=("gold", "first")) == ("first", "c", "d", "gold")
    assert fitting(ordered, 1, placed=("c", "d")) == ("c", "d")
    assert fitting(ordered, 6) == ordered
