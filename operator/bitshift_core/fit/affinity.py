"""What pods must carry so that the scheduler, which knows nothing of GPU memory, keeps to the plan.

Here: kinds of nodes that fit and that do not → a node affinity that tells them apart. Not here: claims of devices
(`devices.claim_for`), which kinds fit (`plan`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from .accelerators import MAJOR_LABEL
from .fleet import Kind
from .offers import MEMORY_LABEL, SHARING_LABEL
from .placement import label_for

Expression = dict[str, Any]
Labels = Mapping[str, str]


def affinity_for(fitting: Sequence[Kind], refused: Sequence[Kind], *, needed_bytes: int) -> dict[str, Any] | None:
    """Return the loosest affinity that admits every kind that fits and none that does not.

    A lower bound on memory lets a node that comes later qualify. Where it would let in a GPU that does not fit (engines
    spend more on large ones; a shared one offers a part; an old one has no kernel), more is said, names of nodes last.
    """
    if not fitting:
        return None
    for expressions in _candidates(fitting, needed_bytes):
        if all(admits(expressions, kind.labels) for kind in fitting) and not any(
            admits(expressions, kind.labels) for kind in refused
        ):
            return _required([{"matchExpressions": expressions}])
    return _by_name(fitting)


def _by_name(fitting: Sequence[Kind]) -> dict[str, Any]:
    names = sorted({node.name for kind in fitting for node in kind.nodes})
    fields = [{"key": "metadata.name", "operator": "In", "values": [name]} for name in names]
    return _required([{"matchFields": [field]} for field in fields])


def affinity_of_hosts(able: Sequence[Kind], unable: Sequence[Kind]) -> dict[str, Any] | None:
    """Return what keeps pods from hosts whose CPUs have no kernel: an instruction set that only the others have.

    None where there is nothing to keep them from; how much memory a host has the scheduler knows by itself.
    """
    if not unable:
        return None
    shared = set.intersection(*({name for name, value in kind.labels.items() if value == "true"} for kind in able))
    for label in sorted(shared):
        if not any(kind.labels.get(label) == "true" for kind in unable):
            return _required([{"matchExpressions": [{"key": label, "operator": "In", "values": ["true"]}]}])
    return _by_name(able)


def admits(expressions: Sequence[Expression], labels: Labels) -> bool:
    """Return whether a node with such labels satisfies all expressions, as the scheduler reads them."""
    return all(_OPERATORS[each["operator"]](labels, each["key"], each.get("values", [])) for each in expressions)


def _candidates(fitting: Sequence[Kind], needed_bytes: int) -> Iterator[list[Expression]]:
    memory_label, product_label = _label_of(fitting, "memory_label"), _label_of(fitting, "product_label")
    memory, products = _one_of(fitting, memory_label), _one_of(fitting, product_label)
    bound = [{"key": memory_label, "operator": "Gt", "values": [str(label_for(needed_bytes) - 1)]}]
    unshared = [{"key": SHARING_LABEL, "operator": "NotIn", "values": ["time-slicing"]}]
    majors = [int(kind.labels[MAJOR_LABEL]) for kind in fitting if kind.labels.get(MAJOR_LABEL, "").isdecimal()]
    newer = [{"key": MAJOR_LABEL, "operator": "Gt", "values": [str(min(majors, default=0) - 1)]}]
    yield bound
    yield bound + unshared
    yield bound + newer
    yield bound + newer + unshared
    yield memory
    yield bound + products
    yield memory + products
    yield products
    yield products + _one_of(fitting, MAJOR_LABEL)


def _label_of(fitting: Sequence[Kind], which: str) -> str:
    return str(getattr(fitting[0].offer, which, MEMORY_LABEL))


def _one_of(fitting: Sequence[Kind], label: str) -> list[Expression]:
    values = sorted({kind.labels.get(label, "") for kind in fitting})
    return [{"key": label, "operator": "In", "values": values}]


def _required(terms: list[dict[str, Any]]) -> dict[str, Any]:
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def _compared(labels: Labels, key: str, values: Sequence[str]) -> int:
    """Return the sign of a label less the bound; 0 where either is no whole number, as then nothing holds."""
    label = labels.get(key, "")
    if not (label.isdecimal() and values and values[0].lstrip("-").isdecimal()):
        return 0
    return (int(label) > int(values[0])) - (int(label) < int(values[0]))


_OPERATORS: Mapping[str, Callable[[Labels, str, Sequence[str]], bool]] = {
    "Gt": lambda labels, key, values: _compared(labels, key, values) > 0,
    "Lt": lambda labels, key, values: _compared(labels, key, values) < 0,
    "In": lambda labels, key, values: labels.get(key) in values,
    "NotIn": lambda labels, key, values: labels.get(key) not in values,
    "Exists": lambda labels, key, values: key in labels,
    "DoesNotExist": lambda labels, key, values: key not in labels,
}
