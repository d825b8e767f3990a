"""What was read from the cluster for one turn, as it came: manifests and relay reports, nothing concluded yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..api.catalogue import EvalSuiteSpec, RuntimeProfileSpec
from ..evidence.live import RelayReport
from ..fit.engines import EngineConstants
from ..fit.fleet import Fleet, fleet_of
from ..fit.kernels import KernelTable
from ..fit.placement import Node
from ..fit.published import Loss
from ..starting.rules import LogRules

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class PodLog:
    """The ends of the logs of one pod that starts: bounded, with the time of each line, and gone after the turn."""

    current: str = ""
    """Of the container that is at work: the engine's, or one that fetches."""
    previous: str = ""
    """Of the engine's container that died last."""


@dataclass(frozen=True)
class Snapshot:
    """One QuantizedModel and all that a turn may look at."""

    now: float
    model: Manifest
    engines: EngineConstants
    profiles: Mapping[str, RuntimeProfileSpec] = field(default_factory=dict)
    bad_profiles: Mapping[str, str] = field(default_factory=dict)
    """Profiles that do not validate, and why; nothing uses them."""
    suites: Mapping[str, EvalSuiteSpec] = field(default_factory=dict)
    """The suites that the spec names, or the built-in ones."""
    services: Mapping[str, Manifest] = field(default_factory=dict)
    """The user's stable Service and ours, by name."""
    home_pods: Sequence[Manifest] = ()
    """Pods behind the Service that users come from."""
    home_owner: Manifest | None = None
    """What owns them: its template is how they are made."""
    users_pods: Sequence[Manifest] = ()
    """Pods behind the user's own stable Service, whatever was promoted since."""
    users_owner: Manifest | None = None
    lenders: Sequence[Manifest] = ()
    """Deployments of the namespace that note a loan, as a cache holds them."""
    autoscalers: Sequence[Manifest] = ()
    claims: frozenset[str] = frozenset()
    config_maps: Mapping[str, Manifest] = field(default_factory=dict)
    jobs: Mapping[str, Manifest] = field(default_factory=dict)
    pods: Sequence[Manifest] = ()
    """Pods of ours: releases, baseline, relay, Jobs."""
    logs: Mapping[str, PodLog] = field(default_factory=dict)
    """Of pods of releases that never answered a prompt yet, by the pod's name; settled models read none."""
    log_rules: LogRules = LogRules()
    workloads: Mapping[str, Manifest] = field(default_factory=dict)
    """What makes pods of ours, by name: Deployments, and LeaderWorkerSets where a replica spans nodes."""
    serves_groups: bool = True
    """Whether the cluster serves LeaderWorkerSets."""
    revisions: frozenset[str] = frozenset()
    nodes: Sequence[Node] = ()
    node_infos: Sequence[Mapping[str, str]] = ()
    """Runtime and kubelet of each node, as it names them."""
    nodes_without_ours: Mapping[str, Sequence[Node]] = field(default_factory=dict)
    """The nodes as they would be without the pods of one revision, by revision."""
    kernels: KernelTable = KernelTable()
    losses: tuple[Loss, ...] = ()
    """What others published that schemes lose."""
    user_route: Manifest | None = None
    own_route: Manifest | None = None
    other_routes: Sequence[Manifest] = ()
    policies: Sequence[Manifest] = ()
    overlay: Sequence[Manifest] = ()
    relay_reports: tuple[RelayReport, ...] = ()
    relay_pods_asked: int = 0

    @cached_property
    def fleet(self) -> Fleet:
        """The nodes by kind, for every rung that has no pods yet."""
        return fleet_of(self.nodes)

    @property
    def name(self) -> str:
        """The QuantizedModel's name."""
        return str(self.model["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return str(self.model["metadata"]["namespace"])
