"""Policies attached to a user's route that an overlay would slip away from: authentication, rate limits.

Here: does a policy name this route, and would it cover ours. Not here: what policies do; any attached one counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..api.base import GROUP
from .refusals import RouteRefused

Manifest = Mapping[str, Any]
GATEWAY_GROUP = "gateway.networking.k8s.io"


def refuse_attached_policies(
    route: Manifest, policies: Iterable[Manifest], *, overlay_labels: Mapping[str, str]
) -> None:
    """Raise for the first policy that covers the user's route and would not cover an overlay of it."""
    metadata = route["metadata"]
    for policy in policies:
        names_it = targets(policy, metadata["namespace"], name=metadata["name"], labels=metadata.get("labels") or {})
        if names_it and not targets(policy, metadata["namespace"], name="", labels=overlay_labels):
            raise RouteRefused("PolicyAttached", sentence(policy, metadata["name"], overlay_labels))


def sentence(policy: Manifest, route_name: str, overlay_labels: Mapping[str, str]) -> str:
    """Return which policy it is and the two ways out."""
    label = f"{GROUP}/model: {overlay_labels.get(f'{GROUP}/model', '')}"
    return (
        f"{policy.get('kind', 'A policy')} '{policy['metadata']['name']}' is attached to HTTPRoute '{route_name}' and "
        "would not cover the routes that Bitshift lays over it. Attach it to the Gateway, or let its "
        f"`targetSelectors` also select HTTPRoutes labelled `{label}`."
    )


def targets(policy: Manifest, namespace: str, *, name: str, labels: Mapping[str, str]) -> bool:
    """Return whether the policy's targets include the HTTPRoute of that name or of those labels."""
    spec = policy.get("spec") or {}
    by_name: Sequence[Manifest] = [
        *(spec.get("targetRefs") or ()),
        *([spec["targetRef"]] if spec.get("targetRef") else ()),
    ]
    home = policy["metadata"].get("namespace", namespace)
    if any(is_route(ref) and ref.get("name") == name and ref.get("namespace", home) == namespace for ref in by_name):
        return True
    selectors = [selector for selector in spec.get("targetSelectors") or () if is_route(selector)]
    return home == namespace and any(selects(selector, labels) for selector in selectors)


def is_route(target: Manifest) -> bool:
    """Return whether a target is of kind HTTPRoute."""
    return target.get("kind") == "HTTPRoute" and target.get("group", GATEWAY_GROUP) == GATEWAY_GROUP


def selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    """Return whether a label selector of the Kubernetes kind selects these labels."""
    wanted = selector.get("matchLabels") or {}
    expressions = selector.get("matchExpressions") or ()
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        satisfies(expression, labels) for expression in expressions
    )


def satisfies(expression: Manifest, labels: Mapping[str, str]) -> bool:
    """Return whether labels satisfy one expression of a selector."""
    value, values = labels.get(expression["key"]), expression.get("values") or ()
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }.get(expression.get("operator", ""), False)
