import copy

from bitshift_core.traffic.overlay import build_overlay
from bitshift_core.traffic.states import as_born, as_born_if_new, as_home, as_neutral, read_overlay
from tests.bitshift_core.traffic.builders import BACKENDS, HOME, NEVER, a_reading, an_assignment

TENANTS = tuple(f"t{n}" for n in range(80))
STEP = an_assignment(TENANTS[:30], TENANTS[30:], excluded=("bank",))


def live(step=STEP, **options):
    defaults = {"assignment": step, "backends": BACKENDS, "never": NEVER, "revision": "chat-q4-1"}
    return build_overlay(a_reading(excluded=("bank",)), **(defaults | options))


def home(routes=None):
    return as_home(routes or live(), HOME, reason="WorseThanStable", message="31 of 90 failed")


def never_values(routes):
    return [
        [entry["value"] for entry in match.get("headers", ()) if entry["name"] == "x-bitshift-never"]
        for route in routes
        for rule in route["spec"]["rules"]
        for match in rule["matches"]
    ]


def test_a_restart_reads_everything_back():
    found = read_overlay(live())

    assert (found.state, found.consistent, found.step, found.revision) == ("live", True, "first", "chat-q4-1")
    assert set(found.assignment.enrolled) == set(TENANTS[:30])
    assert set(found.assignment.waiting) == set(TENANTS[30:])
    assert (found.assignment.enrolled_percent, found.assignment.anonymous_percent) == (20, 5)
    assert found.assignment.excluded == ("bank",)
    assert set(found.placement) == set(TENANTS)


def test_what_was_read_back_builds_the_same_routes():
    found = read_overlay(live())
    again = live(found.assignment, placement=found.placement)

    assert [without_order(route) for route in again] == [without_order(route) for route in live()]


def without_order(route):
    route = copy.deepcopy(route)
    for rule in route["spec"]["rules"]:
        rule["matches"].sort(key=repr)
    return route


def test_a_next_step_moves_tenants_between_rules_of_their_own_route_only():
    found = read_overlay(live())
    after = live(an_assignment(TENANTS[:70], TENANTS[70:]), placement=found.placement)

    for old, new in zip(live(), after, strict=True):
        assert tenants(old) == tenants(new)


def tenants(route):
    return set(read_overlay([route]).placement)


def test_a_born_route_has_an_unguessed_header_in_every_match_and_differs_in_nothing_else():
    born = as_born(live(), NEVER)

    assert all(len(values) == 1 for values in never_values(born))
    assert read_overlay(born).state == "born" and set(read_overlay(born).placement) == set(TENANTS)
    assert [[rule["backendRefs"] for rule in route["spec"]["rules"]] for route in born] == [
        [rule["backendRefs"] for rule in route["spec"]["rules"]] for route in live()
    ]


def test_a_route_that_tenants_made_necessary_is_born_while_the_others_stay_live():
    routes = as_born_if_new(live(), {"chat-overlay-0"}, NEVER)

    assert {route["metadata"]["name"]: read_overlay([route]).state for route in routes} == {
        "chat-overlay-0": "live",
        "chat-overlay-1": "born",
    }


def test_at_home_every_backend_is_the_users_service_and_the_matches_are_as_they_were():
    for before, after in zip(live(), home(), strict=True):
        for old, new in zip(before["spec"]["rules"], after["spec"]["rules"], strict=True):
            assert [(ref["name"], ref["port"], ref["weight"]) for ref in new["backendRefs"]] == [("chat", 8000, 100)]
            assert new["matches"] == old["matches"] and new["timeouts"] == old["timeouts"]


def test_why_everybody_went_home_is_read_back_until_the_routes_are_gone():
    neutral = read_overlay(as_neutral(home(), NEVER))

    assert (neutral.state, neutral.reason, neutral.message) == ("neutral", "WorseThanStable", "31 of 90 failed")
    assert all(len(values) == 1 for values in never_values(as_neutral(home(), NEVER)))


def test_what_the_api_server_and_others_wrote_is_not_applied_again():
    routes = [copy.deepcopy(route) for route in live()]
    for route in routes:
        route["metadata"] |= {"uid": "1", "resourceVersion": "7", "managedFields": [{}]}
        route["metadata"]["annotations"]["someone.else/x"] = "y"
        route["status"] = {"parents": []}

    for route in home(routes):
        assert set(route) == {"apiVersion", "kind", "metadata", "spec"}
        assert set(route["metadata"]) == {"name", "namespace", "labels", "annotations"}
        assert "someone.else/x" not in route["metadata"]["annotations"]


def test_after_death_between_two_routes_the_way_home_goes_on():
    half = [home()[0], *live()[1:]]
    found = read_overlay(half)

    assert (found.state, found.consistent, found.reason) == ("home", False, "WorseThanStable")


def test_while_one_route_is_born_beside_live_ones_users_may_be_on_the_candidate_and_something_is_left_to_do():
    found = read_overlay([as_born(live(), NEVER)[0], *live()[1:]])

    assert (found.state, found.consistent, found.step) == ("live", False, "first")


def test_after_death_between_two_steps_the_less_exposed_counts():
    further = live(an_assignment(TENANTS, weight=50, anonymous=50, step="all"))
    found = read_overlay([further[0], *live()[1:]])

    assert (found.state, found.consistent, found.step) == ("live", False, "first")
    assert found.assignment.anonymous_percent == 5


def test_routes_that_are_not_ours_are_no_overlay():
    assert read_overlay([]) is None
    assert read_overlay([{"metadata": {"name": "chat-route"}, "spec": {"rules": []}}]) is None
