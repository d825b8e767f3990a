"""Bytes as people read them."""

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


def gib(size_bytes: int) -> str:
    """Return the size in GiB: two decimals below ten, one above."""
    amount = size_bytes / GIB
    return f"{amount:.2f} GiB" if amount < 10 else f"{amount:.1f} GiB"


def ceil_div(amount: int, parts: int) -> int:
    """Return the quotient rounded up: the largest of equal parts."""
    return -(-amount // parts)


def padded(amount: int, step: int) -> int:
    """Return the amount rounded up to whole steps."""
    return ceil_div(amount, step) * step
