"""Deployments and LeaderWorkerSets are read by the same words."""

import pytest

from bitshift_core.fit.workloads import (
    GROUP_INDEX,
    GROUP_SIZE,
    SET_NAME,
    WORKER_INDEX,
    answering_labels,
    group_of,
    group_size,
    is_worker,
    templates_of,
)

LEADER, WORKER = ({"metadata": {"labels": {"app": each}}} for each in ("leader", "worker"))
DEPLOYMENT = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"app": "d"}}, "template": LEADER}}


def a_set(**group):
    return {"metadata": {"name": "s"}, "spec": {"leaderWorkerTemplate": {"workerTemplate": WORKER} | group}}


@pytest.mark.parametrize(
    ("workload", "templates"),
    [
        (DEPLOYMENT, (LEADER,)),
        (a_set(size=3, leaderTemplate=LEADER), (LEADER, WORKER, WORKER)),
        (a_set(size=2), (WORKER, WORKER)),
        (a_set(), (WORKER,)),
        ({}, ({},)),
    ],
    ids=["deployment", "group", "group-of-equals", "group-of-one", "nothing"],
)
def test_each_pod_of_a_replica_has_a_template_and_the_first_one_answers(workload, templates):
    assert templates_of(workload) == templates


def test_pods_that_answer_are_known_by_what_their_controller_gives_them_too():
    assert answering_labels(DEPLOYMENT) == {"app": "d"}
    assert answering_labels(a_set(size=2, leaderTemplate=LEADER)) == {"app": "leader", SET_NAME: "s", WORKER_INDEX: "0"}


def test_a_pod_tells_its_group_its_place_and_how_many_they_are():
    labels = {SET_NAME: "s", GROUP_INDEX: "1", WORKER_INDEX: "2"}
    worker = {"metadata": {"labels": labels, "annotations": {GROUP_SIZE: "4"}}}

    assert (is_worker(worker), group_of(worker), group_size(worker)) == (True, ("s", "1"), 4)


def test_any_other_pod_is_alone_and_answers():
    pod = {"metadata": {}}

    assert (is_worker(pod), group_of(pod), group_size(pod)) == (False, ("", ""), 1)
