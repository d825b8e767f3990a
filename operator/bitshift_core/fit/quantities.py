"""Kubernetes quantities as whole numbers."""

import re
from decimal import Decimal

_QUANTITY = re.compile(r"^([+-]?\d{1,30}(?:\.\d{1,30})?)([eE][+-]?\d{1,2}|[numkMGTPE]|[KMGTPE]i)?$")
_SUFFIXES = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}


def whole(quantity: str | int | float | None) -> int:
    """Return the quantity rounded up; nothing for none or what is no quantity."""
    return _ceiling(_parsed(quantity))


def millis(quantity: str | int | float | None) -> int:
    """Return thousandths, rounded up: `500m` of a core is 500."""
    return _ceiling(_parsed(quantity) * 1000)


def _parsed(quantity: str | int | float | None) -> Decimal:
    found = _QUANTITY.match(str(quantity or 0).strip())
    if not found:
        return Decimal(0)
    number, suffix = Decimal(found[1]), found[2] or ""
    return number * (_SUFFIXES[suffix] if suffix in _SUFFIXES else Decimal(f"1{suffix}"))


def _ceiling(amount: Decimal) -> int:
    return int(amount.to_integral_value(rounding="ROUND_CEILING"))
