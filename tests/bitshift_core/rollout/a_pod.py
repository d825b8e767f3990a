"""Pods for tests, as the kubelet tells of them: scheduled, with one container called engine."""

from bitshift_core.api.conditions import timestamp
from bitshift_core.rollout import names
from bitshift_core.rollout.one_pod import start_identity
from tests.builders import NOW

CRASH = {"exitCode": 1, "message": "loading\n\nerror: something is wrong\n"}


def a_pod(*containers, ready=True, scheduled=True, annotations=None, initial=(), **metadata):
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    if scheduled:
        conditions.append({"type": "PodScheduled", "status": "True", "lastTransitionTime": timestamp(NOW + 5)})
    status = {"conditions": conditions, "containerStatuses": list(containers) or [a_container()]}
    return {
        "metadata": {"annotations": annotations or {}, **metadata},
        "status": status | {"initContainerStatuses": list(initial)},
    }


def a_container(state=None, *, restarts=0, last=None, container_id="c1", name="engine", ready=False):
    return {
        "name": name, "image": "engine:1", "containerID": container_id, "restartCount": restarts, "ready": ready,
        "state": state or {"running": {}}, "lastState": {"terminated": last} if last else {},
    }  # fmt: skip


def answering(pod, **annotations):
    pod["metadata"]["annotations"] = {names.ANSWERED: start_identity(pod), **annotations}
    return pod
