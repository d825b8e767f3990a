"""GPUs that pods claim as devices (DRA) instead of counting them, and the claim that makes a plan true.

Here: ResourceSlices and ResourceClaims (`resource.k8s.io/v1`) → `Offer`; the selector in CEL. Not here: which offer is
taken (`plan`), reading the API.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .accelerators import capability_of
from .offers import Offer
from .quantities import whole
from .units import MIB

CLASSES = {
    ("gpu.nvidia.com", "gpu"): "gpu.nvidia.com",
    ("gpu.nvidia.com", "mig"): "mig.nvidia.com",
    ("gpu.amd.com", "gpu"): "gpu.amd.com",
    ("gpu.amd.com", "amdgpu"): "gpu.amd.com",
}
"""The device class that each driver's chart installs for a type of device."""
Manifest = Mapping[str, Any]


def claimed_offers(slices: Iterable[Manifest], claims: Iterable[Manifest]) -> dict[str, tuple[Offer, ...]]:
    """Return what devices each node has and how many of each kind no claim holds, by node."""
    taken = {
        (result["driver"], result["pool"], result["device"])
        for claim in claims
        for result in ((claim.get("status") or {}).get("allocation") or {}).get("devices", {}).get("results") or ()
        if not result.get("adminAccess")
    }
    units: dict[str, dict[Offer, dict[str, bool]]] = {}
    for spec in (manifest["spec"] for manifest in _newest(slices)):
        used = {
            part
            for device in spec.get("devices") or ()
            if (spec["driver"], spec["pool"]["name"], device["name"]) in taken
            for part in _parts(device)
        }
        for device in spec.get("devices") or ():
            node, kind = spec.get("nodeName") or device.get("nodeName") or "", _kind(spec["driver"], device)
            if kind is None or not node or _is_tainted(device):
                continue
            parts = _parts(device)
            free = (spec["driver"], spec["pool"]["name"], device["name"]) not in taken and not parts & used
            known = units.setdefault(node, {}).setdefault(kind, {})
            unit = ",".join(sorted(parts)) or device["name"]
            known[unit] = known.get(unit, False) or free
    return {
        node: tuple(
            replace(kind, count=len(known), free=sum(known.values())) for kind, known in sorted(kinds.items(), key=str)
        )
        for node, kinds in units.items()
    }


def _parts(device: Manifest) -> frozenset[str]:
    """Return the counters that a device draws on: of the ways to partition one card, one is counted."""
    return frozenset(each["counterSet"] for each in device.get("consumesCounters") or ())


def _newest(slices: Iterable[Manifest]) -> list[Manifest]:
    """Return the slices of each pool's newest generation: a driver replaces a pool by publishing it anew."""
    known = [(each["spec"]["driver"], each["spec"]["pool"]["name"], _generation(each), each) for each in slices]
    newest: dict[tuple[str, str], int] = {}
    for driver, pool, generation, _ in known:
        newest[driver, pool] = max(newest.get((driver, pool), 0), generation)
    return [each for driver, pool, generation, each in known if generation == newest[driver, pool]]


def _generation(manifest: Manifest) -> int:
    return int(manifest["spec"]["pool"].get("generation", 0))


def _kind(driver: str, device: Manifest) -> Offer | None:
    """Return what a device is, one of it; None for what is no GPU, as a network channel of the same driver."""
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    device_class = CLASSES.get((driver, _text(attributes, "type") or "gpu"))
    if device_class is None:
        return None
    return Offer(
        device_class,
        count=1,
        free=1,
        memory_bytes=whole((capacity.get("memory") or {}).get("value")),
        product=_text(attributes, "productName"),
        is_slice=_text(attributes, "type") == "mig",
        claim_driver=driver,
        capability=capability_of(_text(attributes, "cudaComputeCapability")),
    )


def _text(attributes: Manifest, name: str) -> str:
    value = attributes.get(name) or {}
    return str(value.get("string") or value.get("version") or "")


def _is_tainted(device: Manifest) -> bool:
    return any(taint.get("effect") in ("NoSchedule", "NoExecute") for taint in device.get("taints") or ())


def claim_for(fitting: Sequence[Offer], refused: Iterable[Offer], *, gpus: int, label_mib: int) -> dict[str, Any]:
    """Return the claim's spec: so many devices of the class with so much memory, and of products that fit.

    A bound on memory lets a device that comes later qualify; products are listed only where the bound would let in one
    that is known not to fit.
    """
    driver, device_class = fitting[0].claim_driver, fitting[0].resource
    terms = [
        f"device.driver == '{driver}'",
        f"device.capacity['{driver}'].memory.compareTo(quantity('{label_mib}Mi')) >= 0",
    ]
    if any(each.memory_bytes >= label_mib * MIB for each in refused):
        names = ", ".join(f"'{name}'" for name in sorted({offer.product for offer in fitting}))
        terms.append(f"device.attributes['{driver}'].productName in [{names}]")
    selector = {"cel": {"expression": " && ".join(terms)}}
    exactly = {"deviceClassName": device_class, "allocationMode": "ExactCount", "count": gpus, "selectors": [selector]}
    return {"devices": {"requests": [{"name": "gpus", "exactly": exactly}]}}
