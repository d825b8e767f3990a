from bitshift_core.rollout.plan import Decision, Plan
from bitshift_operator.cluster.errors import Conflict
from bitshift_operator.cluster.kinds import Key
from bitshift_operator.controller.metrics import Metrics
from bitshift_operator.controller.queue import WorkQueue

CHAT, CODE = Key("ns", "chat"), Key("ns", "code")


def decided(metrics, key, *phases):
    for phase in phases:
        metrics.decided(key, Decision(phase, Plan("LostAnswers", "3 of 40 answers were lost.")))


async def test_a_scrape_tells_phases_calls_and_the_queue():
    metrics, queue = Metrics(), WorkQueue()
    metrics.observe(queue, {("apply", "httproutes", 200): 7}, lambda: True)
    decided(metrics, CHAT, "Planning", "Serving")
    decided(metrics, CODE, "Serving")
    queue.add(CHAT)

    lines = metrics.text().decode().splitlines()

    assert 'bitshift_models{phase="Serving"} 2.0' in lines
    assert 'bitshift_api_calls_total{code="200",kind="httproutes",verb="apply"} 7.0' in lines
    assert "bitshift_queue_depth 1.0" in lines
    assert "bitshift_leader 1.0" in lines


async def test_a_rollback_is_counted_once_however_many_turns_it_takes():
    metrics = Metrics()
    decided(metrics, CHAT, "Shifting", "RollingBack", "RollingBack", "Rejected")

    assert 'bitshift_rollbacks_total{reason="LostAnswers"} 1.0' in metrics.text().decode()


async def test_a_rollback_that_a_restarted_operator_finds_is_not_counted_again():
    metrics = Metrics()
    decided(metrics, CHAT, "RollingBack")

    assert "bitshift_rollbacks_total{" not in metrics.text().decode()


async def test_bugs_and_refusals_are_told_apart():
    metrics = Metrics()
    hooks = metrics.queue_hooks()
    hooks.failed(Conflict("changed"))
    hooks.failed(KeyError("spec"))

    text = metrics.text().decode()
    assert 'bitshift_reconcile_errors_total{error="Conflict"} 1.0' in text
    assert 'bitshift_reconcile_errors_total{error="Bug"} 1.0' in text
