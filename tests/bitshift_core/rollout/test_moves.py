from dataclasses import replace

import pytest

from bitshift_core.api.v1alpha1 import Refused
from bitshift_core.evidence.live import LiveState, RelayReport, Row
from bitshift_core.rollout import names
from bitshift_core.rollout.moves import RESTING, fingerprint, is_accepted, is_verified
from bitshift_core.rollout.seeing import see
from bitshift_core.traffic.backends import Backends, ServiceRef
from bitshift_core.traffic.overlay import build_overlay
from bitshift_core.traffic.steps import OBSERVATION, assignment
from tests.bitshift_core.rollout.snapshots import a_model, a_snapshot, promoted
from tests.builders import NOW

BACKENDS = Backends(
    ServiceRef("chat", 9100), ServiceRef("chat-relay-stable", 80), ServiceRef("chat-relay-candidate", 80)
)
REFUSED = Refused(revision="chat-q4-1", rung="q4", reason="CandidateWorse", message="It failed.", live=True)


def overlaid(snapshot=None, *, tenants=("acme",), step=None, **annotations):
    """The cluster with an overlay of the first rung over it."""
    snapshot = snapshot or a_snapshot()
    seen = see(snapshot)
    routes = build_overlay(
        seen.route,
        assignment=assignment(step and seen.spec.traffic.steps[0], tenants),
        backends=BACKENDS,
        never="never",
        revision=seen.releases[0].revision,
        annotations={names.ROLLOUT: "1", **annotations},
    )
    return replace(snapshot, overlay=routes)


def a_report(*rows, pod="relay-0", tenants=(), in_flight=None):
    closed = {"first": int(NOW), "end": int(NOW)}
    return RelayReport(
        pod=pod, boot="b", now=NOW, closed_until=closed, rows=rows, tenants=tenants, in_flight=in_flight or {}
    )


def a_row(started=7, tenant="acme"):
    return Row(bucket=int(NOW) - 5, arm="stable", tenant=tenant, stage="first", started=started)


def kept(state, *, rollout="1"):
    data = {"state.json": state.model_dump_json(by_alias=True), "rollout": rollout}
    return {"chat-evidence": {"metadata": {"name": "chat-evidence"}, "data": data}}


def a_route(*, generation=3, observed=3, status="True", parents=1):
    accepted = {"type": "Accepted", "status": status, "observedGeneration": observed}
    return {
        "metadata": {"name": "r", "generation": generation, "annotations": {}},
        "spec": {"parentRefs": [{"name": f"gw-{number}"} for number in range(2)]},
        "status": {"parents": [{"conditions": [accepted]}] * parents},
    }


def test_a_route_is_accepted_once_every_gateway_took_it_as_it_stands():
    assert is_accepted(a_route(parents=2))
    assert not is_accepted(a_route(parents=1))
    assert not is_accepted(a_route(parents=2, status="False"))
    assert not is_accepted(a_route(parents=2, observed=2))


def test_a_confirmation_holds_for_the_very_route_that_was_asked_about():
    route = a_route()
    route["metadata"]["annotations"][names.VERIFIED] = fingerprint(route)

    assert is_verified(route)
    assert not is_verified(route | {"spec": {"parentRefs": []}})


def test_where_everybody_is_is_read_from_the_routes_alone():
    overlay = see(overlaid(step=True)).overlay

    assert (overlay.step, overlay.reading.assignment.enrolled) == ("first", ("acme",))
    assert (overlay.accepted, overlay.verified, overlay.resting) == (False, False, "")


def test_a_refusal_that_only_some_routes_tell_is_told():
    snapshot = overlaid(**{names.REFUSAL: REFUSED.model_dump_json(by_alias=True)})

    assert see(snapshot).overlay.refusal == REFUSED


def test_requests_are_counted_once_however_often_they_are_reported():
    first = see(replace(overlaid(), relay_reports=(a_report(a_row()),)))
    again = replace(overlaid(), relay_reports=(a_report(a_row()),))
    again = see(replace(again, config_maps=again.config_maps | kept(first.live)))

    assert (first.live.seen, first.live_changed) == ({"acme": 7}, True)
    assert (again.live.seen, again.live_changed) == ({"acme": 7}, False)


def test_evidence_of_another_rollout_counts_for_nothing():
    before = LiveState(seen={"acme": 99})
    snapshot = overlaid()
    same = replace(snapshot, config_maps=snapshot.config_maps | kept(before))
    other = replace(snapshot, config_maps=snapshot.config_maps | kept(before, rollout="0"))

    assert see(same).live.seen == {"acme": 99}
    assert see(other).live.seen == {}


def test_a_steps_evidence_begins_with_its_route():
    observed, stepped = see(overlaid()), see(overlaid(step=True))

    assert (observed.live.step, stepped.live.step) == ("", "first")
    assert stepped.live.began == NOW and stepped.live_changed
    assert observed.overlay.step == OBSERVATION


def test_tenants_are_known_from_the_spec_from_routes_and_from_the_relay():
    model = a_model(traffic=a_model()["spec"]["traffic"] | {"tenants": {"last": ["gold"], "exclude": ["bank"]}})
    snapshot = overlaid(a_snapshot(model=model), tenants=("acme",))
    seen = see(replace(snapshot, relay_reports=(a_report(a_row(tenant="globex"), tenants=("initech", "bank")),)))

    assert set(seen.tenants) == {"acme", "globex", "initech", "gold"}
    assert seen.tenants[-1] == "gold"
    assert seen.overlay.outdated


def test_what_is_in_flight_is_unknown_until_every_relay_pod_was_heard():
    reports = (a_report(in_flight={"candidate": 2}), a_report(pod="relay-1", in_flight={"candidate": 1}))

    assert see(replace(overlaid(), relay_reports=reports, relay_pods_asked=2)).relay_in_flight == {"candidate": 3}
    assert see(replace(overlaid(), relay_reports=reports[:1], relay_pods_asked=2)).relay_in_flight is None


def test_a_handover_is_seen_in_the_users_route_and_its_lines_are_told_until_then():
    after = promoted(a_snapshot())
    route = {**after.user_route, "spec": {**after.user_route["spec"]}}
    route["spec"]["rules"] = [{"matches": [], "backendRefs": [{"name": "chat-release", "port": 80}]}]

    assert not see(after).handed_over and see(after).handover[0].endswith("name: chat-release")
    assert see(replace(after, user_route=route)).handed_over
    assert see(replace(after, user_route=route)).handover == ()


def test_a_route_of_ours_that_is_still_to_be_made_is_no_mistake_of_the_users():
    spec = {"stable": None, "runtime": "llamacpp", "parent": {"artifact": "pvc://models/f16.gguf"}}
    model = a_model(**spec, traffic={"gateway": "public", "hostname": "llm.example.com"})
    seen = see(promoted(a_snapshot(model=model, user_route=None, users_pods=(), users_owner=None)))

    assert (seen.problem, seen.own_route_exists) == (None, False)


def test_a_route_that_cannot_be_overlaid_is_a_problem_of_the_users():
    snapshot = a_snapshot()
    rules = [{"matches": [{"path": {"type": "RegularExpression", "value": "/.*"}}],
              "backendRefs": [{"name": "chat", "port": 9100}]}]  # fmt: skip
    route = {**snapshot.user_route, "spec": {**snapshot.user_route["spec"], "rules": rules}}

    assert see(replace(snapshot, user_route=route)).problem[0] == "RegularExpressionPath"


@pytest.mark.parametrize(("resting", "outdated"), [("", False), ("chat-q8-1", False)])
def test_an_overlay_at_rest_says_on_which_release(resting, outdated):
    overlay = see(overlaid(**({RESTING: resting} if resting else {}))).overlay

    assert (overlay.resting, overlay.routes_to_candidate) == (resting, not resting)
