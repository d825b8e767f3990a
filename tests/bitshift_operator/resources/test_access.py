from bitshift_operator.resources.access import account
from tests.bitshift_operator.resources.made import OWNER, a_gate_job, pod_of


def test_an_account_may_patch_the_config_maps_that_were_made_for_it_and_nothing_else():
    _, role, _ = account(OWNER, "chat-gates", ("chat-scores",))

    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["chat-scores"], "verbs": ["get", "patch"]}
    ]


def test_an_account_is_bound_in_its_own_namespace_only():
    service_account, role, binding = account(OWNER, "chat-gates", ("chat-scores",))

    assert {each["metadata"]["namespace"] for each in (service_account, role, binding)} == {"team"}
    assert (role["kind"], binding["roleRef"]["kind"]) == ("Role", "Role")
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "chat-gates", "namespace": "team"}]


def test_a_job_runs_as_the_account_that_was_made_for_it():
    assert pod_of(a_gate_job())["serviceAccountName"] == "chat-gates"
