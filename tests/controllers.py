"""What controllers and kubelets do in the cluster at play: pods, finished Jobs, accepted routes; at once and gladly.

Here: objects made of objects, by what lies in the store alone. Not here: users' requests (`tests.users`).
"""

import json
import zlib
from dataclasses import dataclass, field
from typing import Any

from bitshift_core.api.conditions import timestamp
from bitshift_core.evidence.report import GateReport, Verdict
from bitshift_core.fit.workloads import GROUP_INDEX, SET_NAME, WORKER_INDEX, templates_of
from bitshift_core.rollout.one_pod import is_ready
from bitshift_core.rollout.snapshot import Manifest
from bitshift_operator.cluster.kinds import (
    CONFIG_MAP,
    HTTP_ROUTE,
    JOB,
    LEADER_WORKER_SET,
    NODE,
    POD,
    SERVICE,
    WORKLOADS,
    Kind,
    kind_of,
)
from tests import scenery
from tests.fake_api import FakeApi

START = 1_800_000_000
GPU = "nvidia.com/gpu"
MOST_REPLICAS = 10


@dataclass(kw_only=True)
class Controllers:
    """The store, the clock, and what Jobs are to find out."""

    api: FakeApi
    now: float = START
    verdicts: dict[tuple[str, str], Verdict] = field(default_factory=dict)
    """What a gate says of a rung, by (gate, rung); passed when not here."""

    def all(self, kind: Kind) -> list[Manifest]:
        """All objects of a kind as they lie in the store: to be read only."""
        return [item for _, item in sorted(self.api.objects[kind].items())]

    def pods_behind(self, service: str) -> list[Manifest]:
        """The ready pods that a Service leads to."""
        found = self.api.objects[SERVICE].get(("team", service))
        wanted = found["spec"]["selector"].items() if found else ()
        pods = [pod for pod in self.all(POD) if wanted and wanted <= pod["metadata"].get("labels", {}).items()]
        return [pod for pod in pods if is_ready(pod)]

    def settle(self) -> None:
        """Do what the cluster's controllers and kubelets would have done by now."""
        for workload in (each for kind in WORKLOADS for each in self.all(kind)):
            self._run(workload)
        for job in self.all(JOB):
            if not (job.get("status") or {}).get("conditions"):
                self._finish(job)
        for route in self.all(HTTP_ROUTE):
            self._accept(route)

    def _run(self, workload: Manifest) -> None:
        wanted = workload["spec"]["replicas"]
        kept = self._kept(workload, wanted)
        for number in set(range(MOST_REPLICAS)) - kept:
            for name, *_ in pods_of_replica(workload, number):
                if ("team", name) in self.api.objects[POD]:
                    self.api.remove(POD, "team", name)
        for number in sorted(kept):
            for name, template, marks in pods_of_replica(workload, number):
                there = self.api.objects[POD].get(("team", name))
                if there is None or (not is_placed(there) and self._has_room(template)):
                    self.api.put(self._pod(workload, name, template, marks))
        ready = {"replicas": wanted, "readyReplicas": wanted}
        if workload.get("status") != ready:
            self.api.put({**workload, "status": ready})

    def _kept(self, workload: Manifest, wanted: int) -> set[int]:
        """Return the numbers of the replicas that are to be: the cheapest to delete go first, then the youngest."""
        leaders = {number: pods_of_replica(workload, number)[0][0] for number in range(MOST_REPLICAS)}
        there = {number: self.api.objects[POD].get(("team", name)) for number, name in leaders.items()}
        costs = {number: deletion_cost(pod) for number, pod in there.items() if pod}
        dearest = sorted(costs, key=lambda number: (-costs[number], number))[:wanted]
        new = [number for number in range(MOST_REPLICAS) if number not in costs]
        return {*dearest, *new[: wanted - len(dearest)]}

    def _has_room(self, template: Manifest) -> bool:
        """Return whether the node has the GPUs that such a pod asks for."""
        asked, node = gpus_of(template), self.api.objects[NODE].get(("", "node-1"))
        if not asked or node is None:
            return True
        held = sum(gpus_of(pod) for pod in self.all(POD) if is_placed(pod))
        return held + asked <= int(node["status"]["allocatable"].get(GPU, 0))

    def _pod(self, workload: Manifest, name: str, template: Manifest, marks: dict[str, str]) -> dict[str, Any]:
        number, labels = zlib.crc32(name.encode()), {**template["metadata"]["labels"], **marks}
        metadata = {**template["metadata"], "labels": labels}
        metadata["ownerReferences"] = [{"uid": workload["metadata"]["uid"]}]
        conditions = [
            {"type": kind, "status": "True", "lastTransitionTime": timestamp(self.now)}
            for kind in ("PodScheduled", "Ready")
        ]
        running = [
            {"name": each["name"], "containerID": f"of-{name}", "restartCount": 0, "state": {"running": {}}}
            for each in template["spec"]["containers"]
        ]
        address = f"10.{number // 62_500 % 250}.{number // 250 % 250}.{number % 250 + 1}"
        status = {"phase": "Running", "podIP": address, "conditions": conditions, "containerStatuses": running}
        spec = {**template["spec"], "nodeName": "node-1"}
        if not self._has_room(template):
            spec, waits = template["spec"], {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
            status = {"phase": "Pending", "conditions": [waits | {"message": "1 Insufficient nvidia.com/gpu."}]}
        return POD.new("team", name) | {"metadata": metadata | {"name": name, "namespace": "team"}} | {
            "spec": spec, "status": status,
        }  # fmt: skip

    def _finish(self, job: Manifest) -> None:
        """End a Job as our runtime does: facts go into their ConfigMap, a verdict into the pod's last message."""
        arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
        said = self._read(arguments) if arguments[0] == "facts" else self._judge(job)
        ended = {"terminated": {"exitCode": 0, "message": said}}
        name = job["metadata"]["name"]
        pod = POD.new("team", f"{name}-pod")
        labels = {**job["metadata"]["labels"], "job-name": name}
        pod["metadata"] |= {"labels": labels, "ownerReferences": [{"uid": job["metadata"]["uid"]}]}
        pod["status"] = {"phase": "Succeeded", "containerStatuses": [{"name": "job", "state": ended}]}
        self.api.put(pod)
        self.api.put({**job, "status": {"conditions": [{"type": "Complete", "status": "True"}]}})

    def _read(self, arguments: list[str]) -> str:
        uri, into = (arguments[arguments.index(flag) + 1] for flag in ("--uri", "--config-map"))
        found = self.api.get(CONFIG_MAP, "team", into)
        assert found is not None, "the ConfigMap that a Job may patch was not made before it"
        facts = scenery.facts_of(uri).model_dump_json(by_alias=True)
        self.api.put({**found, "data": {"facts.json": facts, "readAt": timestamp(self.now)}})
        return json.dumps({"reason": "FactsRead", "message": f"{uri} was read."})

    def _judge(self, job: Manifest) -> str:
        config_map = self.api.get(CONFIG_MAP, "team", job["metadata"]["name"])
        assert config_map is not None, "a gate's Job was made before what it is asked"
        asked = json.loads(config_map["data"]["gate.json"])
        rung = rung_of(asked["revision"])
        verdict = self.verdicts.get((asked["gate"], rung), Verdict.PASSED)
        message = f"{asked['gate']} says {verdict} of {rung}."
        return GateReport(gate=asked["gate"], revision=asked["revision"], verdict=verdict, message=message).to_json()

    def _accept(self, route: Manifest) -> None:
        accepted = {"type": "Accepted", "status": "True", "observedGeneration": route["metadata"]["generation"]}
        status = {"parents": [{"parentRef": each, "conditions": [accepted]} for each in route["spec"]["parentRefs"]]}
        if route.get("status") != status:
            self.api.put({**route, "status": status})


def pods_of_replica(workload: Manifest, number: int) -> list[tuple[str, Manifest, dict[str, str]]]:
    """Return name, template and marks of each pod that a controller makes for one replica."""
    name, templates = workload["metadata"]["name"], templates_of(workload)
    if kind_of(workload) is not LEADER_WORKER_SET:
        return [(f"{name}-{number}", templates[0], {})]
    marks = {SET_NAME: name, GROUP_INDEX: str(number)}
    return [
        (f"{name}-{number}" + (f"-{index}" if index else ""), template, marks | {WORKER_INDEX: str(index)})
        for index, template in enumerate(templates)
    ]


def is_placed(pod: Manifest) -> bool:
    """Return whether the scheduler found a node for it."""
    return bool(pod.get("spec", {}).get("nodeName"))


def gpus_of(pod: Manifest) -> int:
    """Return the GPUs that a pod, or what it is made from, asks for."""
    containers = pod.get("spec", {}).get("containers") or ()
    return sum(int(((each.get("resources") or {}).get("limits") or {}).get(GPU, 0)) for each in containers)


def deletion_cost(pod: Manifest) -> int:
    """Return by what a ReplicaSet that shrinks compares its pods."""
    return int((pod["metadata"].get("annotations") or {}).get("controller.kubernetes.io/pod-deletion-cost", 0))


def rung_of(revision: str) -> str:
    """Return the rung that a release's name holds."""
    return revision.removeprefix("chat-").rpartition("-")[0]
