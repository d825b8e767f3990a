"""What a relay is told once, at its start.

Here: the values and their defaults. Not here: where they are read from (`relay.command`).
"""

from dataclasses import dataclass

from bitshift_core.evidence.live import Arm


@dataclass(frozen=True)
class RelaySettings:
    """One relay process; ports of 0 are chosen by the system."""

    stable_url: str
    candidate_url: str = ""
    """Empty while only stable is observed: the candidate's port then answers 503."""
    tenant_header: str = "x-tenant-id"
    release: str = ""
    pod: str = ""
    host: str | None = None
    """All interfaces unless said."""
    stable_port: int = 8081
    candidate_port: int = 8082
    admin_port: int = 8083
    first_maturity_seconds: float = 30.0
    end_maturity_seconds: float = 120.0
    patience_seconds: float = 10.0
    """Who leaves without a token after waiting this long was let down; who leaves sooner changed their mind."""
    pause_seconds: float = 5.0
    """How long new requests are still taken after SIGTERM, while gateways learn that this pod leaves."""
    drain_seconds: float = 300.0
    connect_seconds: float = 10.0
    """How long an engine may take to accept a connection; nothing else of a request has a time limit."""

    def url_of(self, arm: Arm) -> str:
        """Return where the arm's requests go, without a trailing slash; empty when there is no such arm yet."""
        return (self.stable_url if arm == "stable" else self.candidate_url).rstrip("/")
