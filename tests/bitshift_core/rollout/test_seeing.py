from dataclasses import replace

import pytest

from bitshift_core.api.conditions import timestamp
from bitshift_core.artifact.digests import text_digest
from bitshift_core.rollout import names
from bitshift_core.rollout.phases import decide
from bitshift_core.rollout.readings import reading_of
from bitshift_core.rollout.seeing import see
from bitshift_operator.cluster.kernels import load_kernels
from tests.bitshift_core.artifact.test_adapter import an_adapter
from tests.bitshift_core.rollout.a_pod import a_pod
from tests.bitshift_core.rollout.a_pod import answering as an_answering
from tests.bitshift_core.rollout.snapshots import PROFILE, URIS, a_model, a_snapshot, promoted, read
from tests.builders import NOW
from tests.engine_profiles import shipped

Q4, Q8, F16 = URIS


def reads(snapshot, uri=Q4):
    seen = see(snapshot)
    if uri == F16:
        return seen.parent_reading
    return next(release.reading for release in seen.releases if release.rung.artifact == uri)


def with_facts(*config_maps):
    return a_snapshot(config_maps={each["metadata"]["name"]: each for each in config_maps})


def written(model, at):
    model["metadata"]["managedFields"] = [{"time": timestamp(at), "fieldsV1": {"f:spec": {}}}]
    return model


def test_a_cluster_in_which_all_is_well_has_no_problem_and_every_rung_is_sized():
    seen = see(a_snapshot())

    assert seen.problem is None
    assert [release.fit.verdict for release in seen.releases] == ["Fits", "Fits"]
    assert (seen.parent_uri, seen.stable.port, seen.stable.pod_port) == (F16, 9100, 9000)


@pytest.mark.parametrize(
    ("changes", "reason", "sentence"),
    [
        ({"services": {}}, "StableNotFound", "no such Service"),
        ({"user_route": None}, "RouteNotFound", "create it, or set `traffic.mode` to 'None'"),
        ({"services": {}, "users_pods": [], "users_owner": None}, "StableNotFound", "create it"),
        (
            {"users_pods": [], "users_owner": None, "home_pods": [], "home_owner": None},
            "StableHasNoPods",
            "say `runtime`",
        ),
        ({"profiles": {"other": PROFILE.model_copy(update={"image_substrings": ()})}}, "RuntimeNotRecognised", "other"),
        ({"model": a_model(runtime="vlm")}, "RuntimeProfileNotFound", "`runtime` is 'vlm'"),
        ({"bad_profiles": {"vlm": "It is bad."}, "model": a_model(runtime="vlm")}, "RuntimeProfileInvalid", "It is"),
        (
            {"model": a_model(parent={"artifact": "pvc://no/m.gguf"})},
            "ClaimNotFound",
            "`parent.artifact` names the claim",
        ),
        ({"suites": {}}, "NoEvalSuite", "`gates.quality.suites`"),
        ({"model": a_model(gates={"quality": {"suites": [{"name": "mine"}]}})}, "EvalSuiteNotFound", "'mine'"),
        ({"model": a_model(parent={"artifact": "ftp://r/m"})}, "SourceNotSupported", "`parent.artifact` uses 'ftp://'"),
        ({"model": a_model(stable={"service": "chat", "port": 1})}, "StablePortNotFound", "has the ports 9100"),
    ],
)
def test_what_the_user_must_mend_is_said_with_the_field_and_the_way_out(changes, reason, sentence):
    seen = see(a_snapshot(**changes))

    assert seen.problem[0] == reason
    assert sentence in seen.problem[1]


@pytest.mark.parametrize("name", ["chat.v2", "7b-chat", "a" * 41])
def test_a_name_that_no_service_may_have_is_refused(name):
    model = a_model()
    model["metadata"]["name"] = name

    assert see(a_snapshot(model=model)).problem[0] == "NameNotUsable"


def test_a_claim_that_is_not_there_refuses_its_rung_alone():
    ladder = [{"name": "q4", "artifact": "pvc://elsewhere/q4.gguf"}, {"name": "q8", "artifact": Q8}]
    seen = see(a_snapshot(model=a_model(ladder=ladder)))

    assert seen.releases[0].problem[0] == "ClaimNotFound"
    assert seen.problem is None and seen.candidate.rung.name == "q8"


def test_a_format_that_the_engine_does_not_load_refuses_its_rung_alone():
    seen = see(with_facts(read(Q4, format="safetensors"), read(Q8), read(F16)))

    assert seen.releases[0].problem[0] == "FormatNotServed"
    assert seen.candidate.rung.name == "q8"


def test_what_was_never_read_is_read():
    snapshot = with_facts(read(Q8), read(F16))

    assert (reads(snapshot), reads(snapshot, Q8), reads(snapshot, F16)) == (True, False, False)


def test_a_file_is_read_again_when_the_spec_changed_long_after_it_was_read():
    model = written(a_model(), NOW + 7200)

    assert reads(replace(with_facts(read(Q4), read(Q8, at=NOW + 7000)), model=model))
    assert not reads(replace(with_facts(read(Q4), read(Q8, at=NOW + 7000)), model=model), Q8)


def test_a_file_is_read_again_when_a_person_says_retry():
    retried = a_model(annotations={names.RETRY: timestamp(NOW + 60)})

    assert reads(a_snapshot(model=retried))
    assert not reads(replace(with_facts(read(Q4, at=NOW + 61), read(Q8)), model=retried))


def test_the_job_of_a_reading_settles_it_whatever_the_clocks_say():
    snapshot = a_snapshot(model=a_model(annotations={names.RETRY: timestamp(NOW + 9000)}))
    job = names.facts_job_name(Q4, None, reading_of(snapshot))
    done = {job: {"metadata": {"name": job}, "status": {"conditions": [{"type": "Complete", "status": "True"}]}}}

    assert not reads(replace(snapshot, jobs=done))


def test_a_retry_that_is_no_time_counts_from_when_it_was_written():
    retried = a_model(annotations={names.RETRY: "please"})
    annotated = {"f:metadata": {"f:annotations": {f"f:{names.RETRY}": {}}}}
    retried["metadata"]["managedFields"] = [{"time": timestamp(NOW + 60), "fieldsV1": annotated}]

    assert reads(a_snapshot(model=retried))
    assert not reads(replace(with_facts(read(Q4, at=NOW + 61), read(Q8)), model=retried))


def test_a_file_that_cannot_be_read_refuses_its_rung_with_what_the_job_said():
    snapshot = with_facts(read(Q8), read(F16))
    job = names.facts_job_name(Q4, None, reading_of(snapshot))
    ended = {"state": {"terminated": {"message": '{"reason": "TruncatedFile", "message": "It ends at byte 12."}'}}}
    pod = {"metadata": {"name": "p", "labels": {"job-name": job}}, "status": {"containerStatuses": [ended]}}
    seen = see(replace(snapshot, jobs={job: {"metadata": {"name": job}}}, pods=[pod]))

    assert seen.releases[0].problem == ("TruncatedFile", "Rung 'q4': It ends at byte 12.")
    assert seen.candidate.rung.name == "q8"


@pytest.mark.parametrize(("read_at", "reads_again"), [(NOW + 60, True), (NOW + 61, False)])
def test_a_spec_that_is_mended_in_the_second_of_its_refusal_is_read_again(read_at, reads_again):
    refusal = read(Q4)
    refusal["data"] = {"error.json": '{"reason": "ArtifactForbidden", "message": "No."}', "readAt": timestamp(read_at)}
    snapshot = replace(with_facts(refusal, read(Q8, at=NOW + 60), read(F16)), model=written(a_model(), NOW + 60))

    assert reads(snapshot) is reads_again
    assert (see(snapshot).releases[0].problem is None) is reads_again


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]},
         "0/3 nodes"),
        ({"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]},
         "ImagePullBackOff no such image"),
        ({"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}, ""),
    ],
)  # fmt: skip
def test_why_a_reading_does_not_begin_is_told(status, said):
    snapshot = with_facts(read(Q8), read(F16))
    job = names.facts_job_name(Q4, None, reading_of(snapshot))
    pod = {"metadata": {"name": "p", "labels": {"job-name": job}}, "status": status}

    assert see(replace(snapshot, pods=[pod])).reading_held == said


def test_facts_that_belong_to_another_model_alone_are_told():
    mine, theirs = read(Q4), read(Q8)
    mine["metadata"]["ownerReferences"] = [{"uid": "u-1"}, {"uid": "u-2"}]
    theirs["metadata"]["ownerReferences"] = [{"uid": "u-2"}]

    assert see(with_facts(mine, theirs)).borrowed_facts == (names.facts_name(Q8, None),)


def test_the_promoted_revision_is_what_our_service_leads_to():
    before = see(a_snapshot())
    after = see(promoted(a_snapshot()))

    assert (before.current_revision, after.current_revision) == ("", before.releases[0].revision)
    assert (after.stable.service, after.stable.port) == ("chat-release", 80)


def test_a_promotion_changes_no_release():
    before, after = see(a_snapshot()), see(promoted(a_snapshot(), rung=1))

    assert [each.revision for each in before.releases] == [each.revision for each in after.releases]
    assert after.problem is None and after.parent_uri == before.parent_uri


def test_without_the_users_own_pods_the_promoted_ones_are_the_measure():
    after = promoted(a_snapshot(model=a_model(runtime="llamacpp")))
    seen = see(replace(after, users_pods=(), users_owner=None))

    assert seen.stable.image == "elsewhere/engine:1"


def test_an_autoscaler_of_stable_is_seen():
    scaler = {"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "chat"}}}

    assert see(a_snapshot(autoscalers=[scaler])).stable.autoscaled
    assert not see(a_snapshot()).stable.autoscaled


DRAFT, ADAPTER = "pvc://models/draft", "pvc://models/support"
BESIDE = {
    "speculative": {"method": "draft_model", "draft": DRAFT},
    "adapters": [{"name": "support", "artifact": ADAPTER}],
    "chatTemplate": {"name": "ours"},
}
TEMPLATE = {"metadata": {"name": "ours"}, "data": {"chat_template.jinja": "{{ messages }}\n"}}


def served_with(serving, *config_maps):
    """The cluster whose model asks for more than its weights, its engine a vLLM."""
    scheme = {"format": "safetensors", "scheme": "awq"}
    ladder = [{"name": "awq", "artifact": Q4, "serving": serving}]
    known = [read(Q4, **scheme), read(F16, **scheme), *config_maps]
    return a_snapshot(
        model=a_model(ladder=ladder, runtime="vllm"),
        profiles={"vllm": shipped("vllm")},
        config_maps={each["metadata"]["name"]: each for each in known},
    )


def adapter_read(**changes):
    data = {"adapter.json": an_adapter(**changes).model_dump_json(by_alias=True), "readAt": timestamp(NOW)}
    return {"metadata": {"name": names.facts_name(ADAPTER, None)}, "data": data}


def test_a_draft_and_adapters_are_read_before_a_rung_is_sized():
    seen = see(served_with(BESIDE, TEMPLATE))

    assert seen.releases[0].unread == (DRAFT, ADAPTER)
    assert seen.reads_artifacts()
    assert [action.uri for action in decide(seen).plan.actions] == [DRAFT, ADAPTER]


def test_a_release_is_made_of_all_that_it_is_served_with():
    draft = read(DRAFT, format="safetensors", scheme="BF16")
    (release,) = see(served_with(BESIDE, TEMPLATE, draft, adapter_read())).releases

    assert release.problem is None
    assert [place.mount for place in release.resolved.places] == ["/models", "/beside/draft", "/beside/adapter-support"]
    assert release.sealed.beside == (DRAFT, ADAPTER)
    assert release.sealed.chat_template_digest == text_digest("{{ messages }}")


def test_another_text_under_the_same_key_is_another_release():
    other = TEMPLATE | {"data": {"chat_template.jinja": "{{ other }}"}}
    one, two = (see(served_with({"chatTemplate": {"name": "ours"}}, each)).releases[0] for each in (TEMPLATE, other))

    assert one.revision != two.revision


@pytest.mark.parametrize(
    ("serving", "config_maps", "reason", "words"),
    [
        ({"chatTemplate": {"name": "ours"}}, [], "ChatTemplateNotFound", "has no such one"),
        ({"chatTemplate": {"name": "ours", "key": "k"}}, [TEMPLATE], "ChatTemplateNotFound", "no text under 'k'"),
        ({"adapters": [{"name": "x", "artifact": "pvc://gone/x"}]}, [], "ClaimNotFound", "adapter x names the claim"),
        ({"adapters": [{"name": "x", "artifact": "ftp://h/x"}]}, [], "SourceNotSupported", "adapter x uses 'ftp://'"),
        ({"adapters": BESIDE["adapters"]}, [read(ADAPTER)], "UnsupportedArtifact", "is a whole model"),
        ({"adapters": BESIDE["adapters"]}, [adapter_read(hidden_size=960)], "AdapterOfAnotherBase", "960 wide"),
    ],
)  # fmt: skip
def test_what_a_rung_is_served_with_refuses_it_by_name(serving, config_maps, reason, words):
    (release,) = see(served_with(serving, *config_maps)).releases

    assert release.problem[0] == reason
    assert words in release.problem[1]


def test_a_branch_that_came_to_mean_other_bytes_is_told_and_served_by_its_commit():
    pinned, moved = "hf://org/m@0123", "'main' is now 0123; it was 4567 when it was last read."
    snapshot = with_facts(read(Q4, pinned_uri=pinned, moved=moved), read(Q8), read(F16))
    release = see(snapshot).releases[0]

    assert release.sealed.artifact == pinned
    assert release.fit.message.endswith(moved)


@pytest.mark.parametrize("on_other_kernel", ["Warn", "Refuse"])
def test_an_engine_that_runs_another_kernel_is_told_and_refused_only_where_the_spec_says_so(on_other_kernel):
    model = a_model(gates={"compatibility": {"otherKernel": on_other_kernel}})
    snapshot = a_snapshot(model=model, kernels=load_kernels())
    revision = see(snapshot).releases[0].revision
    labels = names.labels("chat", revision=revision, role="release")
    pod = an_answering(a_pod(name="p", labels=labels), **{names.REPORT: '{"kernels": ["OtherKernel"], "kvTokens": 1}'})
    deployment = {"metadata": {"name": revision}, "spec": {"replicas": 1, "selector": {"matchLabels": labels}}}
    seen = see(replace(snapshot, pods=[pod], workloads={revision: deployment}))
    release = seen.releases[0]

    assert "The kernel ggml-cpu was promised" in release.kept.sentence
    assert "KV tokens were planned" in release.kept.sentence
    assert (decide(seen).plan.reason == "OtherKernel") is (on_other_kernel == "Refuse")
    assert bool(release.broken_promise) is (on_other_kernel == "Refuse")
