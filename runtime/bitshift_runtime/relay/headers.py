"""Headers that belong to one connection, and those that travel.

Here: which are passed on. Not here: the ones the relay adds (`relay.forward`).
"""

from collections.abc import Iterable, Mapping

from multidict import CIMultiDict

ARM = "x-bitshift-arm"
RELEASE = "x-bitshift-release"
PROBE = "x-bitshift-probe"

HOP_BY_HOP = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)


def end_to_end(headers: Mapping[str, str], also_drop: Iterable[str] = ()) -> CIMultiDict[str]:
    """Return the headers meant for the other side, `Host` among them: an engine sees what it would without a relay."""
    named = headers.get("Connection", "")
    dropped = HOP_BY_HOP.union(also_drop, (name.strip().lower() for name in named.split(",")))
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in dropped)
