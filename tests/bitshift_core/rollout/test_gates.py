from dataclasses import replace

import pytest

from bitshift_core.evidence.numeric import NumericCheck
from bitshift_core.evidence.report import GateReport, Verdict
from bitshift_core.rollout import gates, names
from bitshift_core.rollout.one_pod import start_identity
from bitshift_core.rollout.seeing import see
from tests.bitshift_core.rollout.snapshots import SUITE, a_model, a_pod, a_snapshot, promoted, read

REPORT = GateReport(gate="quality", revision="r", verdict=Verdict.FAILED, message="31 of 64 answers were lost.")
BASELINE = {"metadata": {"name": "chat-baseline"}, "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}}}


def an_idle_pod():
    pod = a_pod("chat-baseline-0", a="b")
    pod["metadata"]["annotations"] = {names.ANSWERED: start_identity(pod)}
    return pod


def gate(name, snapshot=None):
    return next(each for each in see(snapshot or a_snapshot()).releases[0].gates if each.name == name)


def key(name, snapshot=None):
    return gate(name, snapshot).key


def with_gates(**gates):
    return a_snapshot(model=a_model(gates=gates))


def ended(job_name, *, message="", failed=""):
    status = {"conditions": [{"type": "Failed", "status": "True", "message": failed}]} if failed else {}
    pod = {
        "metadata": {"name": "p", "labels": {"job-name": job_name}},
        "status": {"containerStatuses": [{"state": {"terminated": {"message": message}}}]},
    }
    return {"jobs": {job_name: {"metadata": {"name": job_name}, "status": status}}, "pods": [pod]}


def test_gates_are_judged_cheapest_first_after_the_start():
    assert [each.name for each in see(a_snapshot()).releases[0].gates] == [
        "start", "compatibility", "quality", "load",
    ]  # fmt: skip


def test_another_margin_suite_or_error_rate_is_another_quality_verdict():
    named = {"suites": [{"name": "starter-facts", "marginPoints": 9}]}
    other = replace(a_snapshot(), suites={"starter-facts": SUITE.model_copy(update={"margin_points": 7})})
    snapshots = [None, with_gates(quality=named), with_gates(quality={"errorRatePpm": 9_000}), other]

    assert len({key("quality", snapshot) for snapshot in snapshots}) == 4
    assert len({key("load", snapshot) for snapshot in snapshots}) == 1


def test_other_texts_or_another_bound_of_the_numeric_check_are_another_compatibility_verdict(monkeypatch):
    known = {name: key(name) for name in ("compatibility", "quality", "load")}

    monkeypatch.setattr(gates, "NumericCheck", lambda: NumericCheck(times=11))
    stricter = {name: key(name) for name in known}
    monkeypatch.setattr(gates, "NumericCheck", lambda: NumericCheck(texts=("Other words.",)))

    assert len({known["compatibility"], stricter["compatibility"], key("compatibility")}) == 3
    assert (known["quality"], known["load"]) == (stricter["quality"], stricter["load"])


def test_another_parent_is_another_verdict_of_every_gate():
    swapped = a_snapshot()
    swapped = replace(swapped, config_maps=swapped.config_maps | {
        names.facts_name("pvc://models/f16.gguf", None): read("pvc://models/f16.gguf", weights_digest="sha256:" + 64 * "7")
    })  # fmt: skip

    for name in ("compatibility", "quality", "load"):
        assert key(name) != key(name, swapped)


def test_a_retry_is_another_verdict_of_every_gate():
    retried = a_snapshot(model=a_model(annotations={names.RETRY: "2027-01-15T07:00:00Z"}))

    for name in ("start", "compatibility", "quality", "load"):
        assert key(name) != key(name, retried)


def test_a_promotion_voids_no_verdict():
    after = promoted(a_snapshot(), rung=1)

    assert see(after).current_revision
    for name in ("start", "compatibility", "quality", "load"):
        assert key(name) == key(name, after)


def test_a_verdict_is_read_from_its_jobs_last_message_until_it_is_kept():
    job = names.gate_job_name(see(a_snapshot()).releases[0].revision, key("quality"))
    said = gate("quality", a_snapshot(**ended(job, message=REPORT.to_json())))
    verdicts = {"metadata": {"name": "chat-verdicts"}, "data": {key("quality"): REPORT.to_json()}}
    kept = gate("quality", replace(a_snapshot(), config_maps=a_snapshot().config_maps | {"chat-verdicts": verdicts}))

    assert (said.report, said.kept) == (REPORT, False)
    assert (kept.report, kept.kept) == (REPORT, True)


def test_a_job_that_broke_without_a_verdict_passes_nothing_and_says_where_to_look():
    job = names.gate_job_name(see(a_snapshot()).releases[0].revision, key("quality"))
    found = gate("quality", a_snapshot(**ended(job, message="Traceback …", failed="BackoffLimitExceeded."))).report

    assert found.verdict is Verdict.INCONCLUSIVE
    assert job in found.message and "BackoffLimitExceeded." in found.message


def test_a_job_without_an_end_is_running():
    job = names.gate_job_name(see(a_snapshot()).releases[0].revision, key("quality"))
    found = gate("quality", a_snapshot(jobs={job: {"metadata": {"name": job}}}))

    assert found.running and found.report is None


@pytest.mark.parametrize("name", ["compatibility", "quality", "load"])
def test_the_idle_baseline_is_asked_where_it_runs(name):
    found = gate(name, a_snapshot(workloads={"chat-baseline": BASELINE}, pods=[an_idle_pod()])).config

    assert found["parent"]["url"] == "http://chat-baseline.team.svc:80"


@pytest.mark.parametrize(("parent", "name"), [({"artifact": "pvc://models/f16.gguf"}, "ours"), (None, "chat")])
def test_the_parents_own_engine_is_asked_by_our_name_and_a_copy_of_stable_by_its_own(parent, name):
    asked = {"serving": {"servedModelName": "ours"}} | ({"parent": parent} if parent else {})
    snapshot = a_snapshot(model=a_model(**asked), workloads={"chat-baseline": BASELINE}, pods=[an_idle_pod()])

    assert gate("quality", snapshot).config["parent"]["model"] == name


def test_without_a_baseline_stable_itself_is_asked_but_never_put_under_load():
    assert gate("quality").config["parent"]["url"] == "http://chat.team.svc:9100"
    assert gate("load").config["parent"] is None


def test_a_baseline_that_does_not_come_up_is_not_asked():
    found = gate("quality", a_snapshot(workloads={"chat-baseline": BASELINE})).config

    assert found["parent"]["url"] == "http://chat.team.svc:9100"


def test_once_the_users_own_pods_were_ended_the_promoted_ones_are_asked():
    after = replace(promoted(a_snapshot()), users_pods=())

    assert gate("quality", after).config["parent"]["url"] == "http://chat-release.team.svc:80"


def test_after_a_promotion_answers_are_still_held_against_the_users_own_pods():
    assert gate("quality", promoted(a_snapshot())).config["parent"]["url"] == "http://chat.team.svc:9100"
