"""Whatever an engine prints while it dies or lives, its model's status stays within the bounds of its schema."""

from hypothesis import given
from hypothesis import strategies as st

from bitshift_core.api.conditions import timestamp
from bitshift_core.api.v1alpha1 import QuantizedModelStatus
from bitshift_core.rollout.phases import decide
from bitshift_core.rollout.pods import pods_of
from bitshift_core.rollout.snapshot import PodLog
from bitshift_core.rollout.status import report
from tests.bitshift_core.rollout.a_pod import a_container, a_pod
from tests.bitshift_core.starting.excerpts import FAILURES, RULES, STAGES, at
from tests.builders import NOW, a_release, an_observation

DEPLOYMENT = {"metadata": {"creationTimestamp": timestamp(NOW)}, "spec": {"replicas": 1}}
said = st.lists(st.sampled_from([case[2] for case in (*STAGES, *FAILURES)]) | st.text(max_size=3_000), max_size=5)


@given(said, said, st.text(max_size=5_000), st.integers(0, 255), st.booleans(), st.booleans())
def test_no_log_breaks_a_bound_of_the_status(now, before, last_words, code, runs, is_late):
    last = {"exitCode": code, "message": last_words, "finishedAt": timestamp(NOW - 9)} if code else None
    state = {"running": {"startedAt": timestamp(NOW - (9_000 if is_late else 9))}} if runs else {"waiting": {}}
    logs = {"p": PodLog("".join(at(NOW - 9, each) for each in now), "\n".join(before))}
    pod = a_pod(a_container(state, last=last), ready=False, name="p")
    found = pods_of(DEPLOYMENT, [pod], logs, RULES.of("vllm"), RULES.fetch)
    seen = an_observation(releases=(a_release(0, pods=found), a_release(1)))
    status = report(seen, decide(seen))

    assert QuantizedModelStatus.model_validate_json(status.model_dump_json(by_alias=True)) == status
