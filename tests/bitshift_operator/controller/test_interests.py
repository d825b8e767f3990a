from bitshift_operator.cluster.kinds import HTTP_ROUTE, NODE, SERVICE, Key
from bitshift_operator.controller.interests import ANY, Interests

CHAT, CODE, ROUTE = Key("ns", "chat"), Key("ns", "code"), Key("ns", "users-route")


def test_models_that_share_a_route_all_hear_of_it():
    interests = Interests()
    interests.note(CHAT, [(HTTP_ROUTE, ROUTE)])
    interests.note(CODE, [(HTTP_ROUTE, ROUTE)])

    assert interests.in_one(HTTP_ROUTE, ROUTE) == {CHAT, CODE}
    assert interests.in_one(SERVICE, ROUTE) == frozenset()


def test_what_a_model_no_longer_names_does_not_wake_it():
    interests = Interests()
    interests.note(CHAT, [(HTTP_ROUTE, ROUTE), (NODE, ANY)])
    interests.note(CHAT, [(HTTP_ROUTE, ROUTE)])
    assert interests.in_any(NODE) == frozenset()

    interests.forget(CHAT)
    assert interests.in_one(HTTP_ROUTE, ROUTE) == frozenset()
    assert not interests._models and not interests._things


def test_who_waits_for_room_hears_of_every_node():
    interests = Interests()
    interests.note(CHAT, [(NODE, ANY)])

    assert interests.in_any(NODE) == {CHAT}
    assert interests.in_one(NODE, Key("", "n1")) == frozenset()
