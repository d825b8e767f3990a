"""What stable lent: replicas whose GPUs a release took on a full node, noted on their Deployment with the way back.

Here: annotation → values. Not here: when something is lent or given back (`rollout.lending`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, ValidationError

from ..api.base import ApiObject
from . import names
from .snapshot import Manifest, Snapshot

Replicas = Annotated[int, Field(ge=1, le=10_000)]


class Loan(ApiObject):
    """One Deployment's note of what it gave up: it is written in the same call as the size that it tells of."""

    model: Annotated[str, Field(max_length=253)]
    """The QuantizedModel whose release took the room."""
    before: Replicas
    """Replicas that it had."""
    after: Replicas
    """Replicas that it was left with."""
    reload_seconds: Annotated[int, Field(ge=0)]
    """How long the others would take to come back, at most."""


@dataclass(frozen=True)
class Lent:
    """A Deployment that lent replicas, as it is."""

    deployment: str
    replicas: int
    """That its spec asks for by now."""
    loan: Loan

    @property
    def contested(self) -> bool:
        """Somebody else gave it another size since; theirs counts."""
        return self.replicas != self.loan.after


def loan_of(deployment: Manifest) -> Loan | None:
    """Return what a Deployment notes of a loan; None without one, or where somebody wrote what is none."""
    text = (deployment["metadata"].get("annotations") or {}).get(names.LENT)
    try:
        return Loan.model_validate_json(text) if text else None
    except ValidationError:
        return None


def lent_to(snapshot: Snapshot) -> tuple[Lent, ...]:
    """Return every loan to the model; what was read live counts before what a cache holds."""
    live = [each for each in (snapshot.users_owner, snapshot.home_owner) if each]
    by_name = {each["metadata"]["name"]: each for each in (*snapshot.lenders, *live)}
    return tuple(_lent(by_name, snapshot.name))


def _lent(deployments: dict[str, Manifest], model: str) -> Iterator[Lent]:
    for name, each in sorted(deployments.items()):
        loan = loan_of(each)
        if loan and loan.model == model:
            yield Lent(name, int(each["spec"].get("replicas", 1)), loan)
