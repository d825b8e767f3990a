from bitshift_core.rollout import names
from bitshift_operator.cluster import caches
from bitshift_operator.cluster.kinds import DEPLOYMENT, NODE, POD, RESOURCE_CLAIM


def a_pod(phase="Running", **labels):
    pod = POD.new("ns", "chat-0", spec={"nodeName": "n1"}, status={"phase": phase})
    pod["metadata"] |= {"labels": labels, "managedFields": [{"manager": "kubelet"}], "annotations": {"a": "b"}}
    pod["spec"]["containers"] = [
        {"name": "engine", "env": [{"name": "SECRET"}], "resources": {"requests": {"cpu": "1"}}}
    ]
    return pod


def test_of_a_foreign_pod_what_it_takes_from_its_node_is_kept():
    kept = caches.pod(a_pod(app="chat"))

    assert kept
    assert kept["spec"]["containers"] == [{"name": "engine", "resources": {"requests": {"cpu": "1"}}}]
    assert (kept["spec"]["nodeName"], kept["status"]["phase"]) == ("n1", "Running")
    assert "annotations" not in kept["metadata"]


def test_of_a_foreign_pod_without_a_node_it_is_kept_where_it_may_go():
    waiting = a_pod()
    del waiting["spec"]["nodeName"]
    waiting["spec"] |= {"nodeSelector": {"pool": "gpu"}, "tolerations": [{"operator": "Exists"}]}
    kept = caches.pod(waiting)

    assert (kept["spec"]["nodeSelector"], kept["spec"]["tolerations"]) == ({"pool": "gpu"}, [{"operator": "Exists"}])
    waiting["spec"]["nodeName"] = "n1"
    assert "tolerations" not in caches.pod(waiting)["spec"]


def test_of_a_claim_only_the_devices_that_it_holds_are_kept():
    claim = RESOURCE_CLAIM.new("ns", "c", spec={"devices": {}}, status={"allocation": {"devices": {"results": []}}})

    assert "spec" not in caches.resource_claim(claim)
    assert caches.resource_claim(claim)["status"] == {"allocation": {"devices": {"results": []}}}


def test_a_foreign_pod_that_ended_takes_nothing():
    assert caches.pod(a_pod(phase="Succeeded")) is None


def test_a_pod_of_ours_is_kept_whole_even_when_it_ended():
    kept = caches.pod(a_pod(phase="Failed", **names.labels("chat")))

    assert kept
    assert "env" in kept["spec"]["containers"][0]
    assert "managedFields" not in kept["metadata"]


def test_a_nodes_heartbeat_is_no_news():
    def a_node(heartbeat):
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": heartbeat}
        node = NODE.new("", "n1", status={"allocatable": {"nvidia.com/gpu": "8"}, "conditions": [ready]})
        node["metadata"]["resourceVersion"] = heartbeat
        return node

    assert caches.node(a_node("1")) == caches.node(a_node("2"))


def test_of_a_foreign_deployment_the_template_is_not_kept():
    foreign = DEPLOYMENT.new("ns", "chat", spec={"replicas": 2, "template": {"spec": {}}}, status={"readyReplicas": 1})

    kept = caches.deployment(foreign)

    assert kept["spec"] == {"replicas": 2}
    assert kept["status"] == {"readyReplicas": 1}


def test_what_kubectl_remembers_of_itself_is_dropped():
    service = {"metadata": {"name": "a", "annotations": {caches.LAST_APPLIED: "{}", "mine": "1"}}}

    assert caches.without_last_applied(service)["metadata"]["annotations"] == {"mine": "1"}
