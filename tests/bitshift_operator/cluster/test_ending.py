"""Pods end only where no route leads, and whatever kind of object makes them."""

from dataclasses import replace

import pytest

from bitshift_core.rollout.seeing import see
from bitshift_operator.cluster.ending import Ending
from bitshift_operator.cluster.kinds import (
    DEPLOYMENT,
    HTTP_ROUTE,
    LEADER_WORKER_SET,
    RESOURCE_CLAIM_TEMPLATE,
    SERVICE,
)
from tests import scenery
from tests.bitshift_core.rollout.snapshots import a_snapshot
from tests.builders import an_overlay
from tests.direct import Direct
from tests.fake_api import FakeApi

REVISION = "chat-q4-1"
CLAIMS = {"spec": {"resourceClaims": [{"name": "gpus", "resourceClaimTemplateName": REVISION}]}}
DEPLOYED = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": CLAIMS}
GROUPED = {"replicas": 1, "leaderWorkerTemplate": {"size": 2, "workerTemplate": CLAIMS}}
MADE = [(DEPLOYMENT, DEPLOYED), (LEADER_WORKER_SET, GROUPED)]


@pytest.fixture
def api():
    return FakeApi()


@pytest.fixture
def ending(api):
    def begin(snapshot=None, **seen):
        snapshot = snapshot or a_snapshot()
        return Ending(Direct(api), replace(see(snapshot), **seen), snapshot)

    return begin


def found(api, kind):
    return [each["metadata"]["name"] for each in api.all(kind)]


def running(api, kind=DEPLOYMENT, spec=DEPLOYED):
    api.put(SERVICE.new("team", REVISION, spec={}))
    return a_snapshot(workloads={REVISION: api.put(kind.new("team", REVISION, spec=spec))})


@pytest.mark.parametrize(("kind", "spec"), MADE)
async def test_a_template_of_claims_goes_with_its_release(api, ending, kind, spec):
    api.put(RESOURCE_CLAIM_TEMPLATE.new("team", REVISION, spec={}))
    await ending(running(api, kind, spec)).remove_release(REVISION)

    assert found(api, kind) == found(api, RESOURCE_CLAIM_TEMPLATE) == []


@pytest.mark.parametrize("named", [REVISION, "chat-relay-candidate"])
async def test_no_pods_end_while_a_route_read_just_now_leads_to_them(api, ending, named):
    route = scenery.users_route()
    route["spec"]["rules"][0]["backendRefs"] = [{"name": named, "port": 80}]
    api.put(route)
    await ending(running(api), overlay=an_overlay("first")).remove_release(REVISION)

    assert found(api, DEPLOYMENT) == [REVISION]


@pytest.mark.parametrize(("kind", "spec"), MADE)
async def test_the_service_goes_before_its_pods_so_that_nothing_is_left_unfound(api, ending, kind, spec):
    begun = ending(running(api, kind, spec))
    order = []
    api.after = lambda verb, target: order.append(target.kind)
    await begun.remove(REVISION)

    assert order == [SERVICE, kind]


@pytest.mark.parametrize(("kind", "spec"), MADE)
async def test_what_makes_pods_is_scaled_by_its_kind(api, ending, kind, spec):
    snapshot = running(api, kind, spec)
    await ending(snapshot).scale(snapshot.workloads[REVISION], 3)

    assert api.get(kind, "team", REVISION)["spec"]["replicas"] == 3


@pytest.fixture
def stable(api):
    return api.put(scenery.stable_deployment())


def replicas(api):
    return api.get(DEPLOYMENT, "team", "chat")["spec"]["replicas"]


async def test_the_old_pods_are_ended_and_their_deployment_stays(api, ending, stable):
    await ending().scale_stable_to_zero()

    assert replicas(api) == 0


async def test_the_old_pods_are_ended_where_no_groups_are_served(api, ending, stable):
    api.absent = frozenset({LEADER_WORKER_SET})
    await ending(a_snapshot(serves_groups=False)).scale_stable_to_zero()

    assert replicas(api) == 0


async def test_what_an_autoscaler_owns_is_left_alone(api, ending, stable):
    scaler = {"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "chat"}}}
    await ending(a_snapshot(autoscalers=[scaler])).scale_stable_to_zero()

    assert replicas(api) == 2


async def test_what_any_route_leads_to_is_left_alone(api, ending, stable):
    api.put(scenery.users_route() | {"metadata": {"name": "batch", "namespace": "team"}})
    await ending().scale_stable_to_zero()

    assert replicas(api) == 2
    assert found(api, HTTP_ROUTE) == ["batch"]
