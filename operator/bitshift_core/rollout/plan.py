"""What a turn wants done, as data: a phase returns a plan, `cluster.act` carries it out in order."""

from dataclasses import dataclass, field

from ..api.v1alpha1 import Rung
from ..evidence.live import LiveState
from ..evidence.report import GateReport
from ..traffic.steps import Assignment
from .loans import Loan
from .observation import Gate, Phase, Release


@dataclass(frozen=True)
class ReadFacts:
    """Have an artifact's header read by a Job in the user's namespace."""

    uri: str
    digest: str | None = None


@dataclass(frozen=True)
class OwnFacts:
    """Add this model to the owners of facts that another one had read: they stay until the last of both goes."""

    config_map: str


@dataclass(frozen=True)
class StartRelease:
    """Seal a release and run its pods, beside everything else."""

    release: Release


@dataclass(frozen=True)
class AskPods:
    """Send a prompt to each ready pod that has not answered one yet."""

    revision: str
    baseline: bool = False


@dataclass(frozen=True)
class StartBaseline:
    """Run one idle replica of what candidates are compared with: stable's own pods, or the parent's artifact."""

    parent: Rung | None = None


@dataclass(frozen=True)
class RunGate:
    """Have one gate judged by a Job."""

    release: Release
    gate: Gate


@dataclass(frozen=True)
class KeepVerdict:
    """Keep a verdict where it outlives its Job."""

    key: str
    report: GateReport


@dataclass(frozen=True)
class StartRelay:
    """Run the relay for both arms."""

    revision: str


@dataclass(frozen=True)
class Route:
    """Give the overlay an assignment; `born` first, where a rule would be new."""

    revision: str
    assignment: Assignment
    born: bool = False
    new_step: bool = False


@dataclass(frozen=True)
class RouteHome:
    """Send everybody back to where they came from, at once and by a route change alone."""

    reason: str
    message: str


@dataclass(frozen=True)
class RouteResting:
    """Send everybody to the promoted release without a relay; stays until the user hands over."""

    revision: str
    born: bool = False


@dataclass(frozen=True)
class Neutralise:
    """Make the overlay match nothing: what comes before its deletion."""


@dataclass(frozen=True)
class RemoveOverlay:
    """Delete the overlay, and the finalizer that guarded it."""


@dataclass(frozen=True)
class Verify:
    """Ask the data plane whether it does what the routes say."""


@dataclass(frozen=True)
class SaveEvidence:
    """Keep the live statistics and their watermark in one guarded write."""

    state: LiveState


@dataclass(frozen=True)
class ServeAs:
    """Let the Service that users hand over to lead to a revision."""

    revision: str


@dataclass(frozen=True)
class MakeRoute:
    """Create the route of a model that nothing served before."""


@dataclass(frozen=True)
class ScaleStableToZero:
    """Free the GPUs of the old Deployment that no route leads to any more."""


@dataclass(frozen=True)
class TakeReplica:
    """Take one replica of stable's Deployment, so that a release finds room; the note of it is in the same write."""

    deployment: str
    pod: str
    """The one that goes."""
    loan: Loan


@dataclass(frozen=True)
class GiveBack:
    """Give a Deployment the replicas back that it lent."""

    deployment: str


@dataclass(frozen=True)
class RemoveRelease:
    """End a release's pods; its sealed ModelRevision stays."""

    revision: str


@dataclass(frozen=True)
class RemoveBaseline:
    """End the idle replica."""


@dataclass(frozen=True)
class ScaleRelease:
    """Run as many pods of the promoted release as the spec says by now."""

    revision: str
    replicas: int


@dataclass(frozen=True)
class RemoveRelay:
    """End the relay."""


@dataclass(frozen=True)
class LeaveBehind:
    """Let a release that the user's own route leads to outlive the object: it belongs to nobody from then on."""

    revision: str


@dataclass(frozen=True)
class HoldObject:
    """Have the object wait for us when it is deleted."""


@dataclass(frozen=True)
class DropFinalizer:
    """Let the object go."""


Action = (
    ReadFacts | OwnFacts | StartRelease | AskPods | StartBaseline | RunGate | KeepVerdict | StartRelay | Route
    | RouteHome | RouteResting | Neutralise | RemoveOverlay | Verify | SaveEvidence | ServeAs | MakeRoute
    | ScaleStableToZero | TakeReplica | GiveBack | RemoveRelease | RemoveBaseline | RemoveRelay | ScaleRelease
    | LeaveBehind | HoldObject | DropFinalizer
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """Why, in a word and a sentence, and what is done about it, in order."""

    reason: str
    message: str
    actions: tuple[Action, ...] = ()
    wake_after: float | None = None
    """Seconds until the next look; None sleeps until something changes."""
    stalled: bool = False
    """Only the user can help."""


@dataclass(frozen=True)
class Decision:
    """The phase that applies, and its plan."""

    phase: Phase
    plan: Plan = field(default_factory=lambda: Plan("", ""))
