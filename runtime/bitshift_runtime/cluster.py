"""What a Job tells the cluster: one ConfigMap that was made for it, and its termination message.

Here: the two writes, with the pod's own service account. Not here: what is written.
"""

import json
import os
import ssl
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TERMINATION_LOG = Path("/dev/termination-log")
TERMINATION_LIMIT_BYTES = 4_096
ATTEMPTS, PAUSE_SECONDS, TIMEOUT_SECONDS = 5, 1.0, 15.0


class ClusterError(Exception):
    """The API server refused the write or could not be reached."""


@dataclass(frozen=True)
class ApiServer:
    """Where the API server is and who we are there."""

    url: str
    namespace: str
    token: str
    verify: ssl.SSLContext | bool = True

    @classmethod
    def of_this_pod(cls) -> "ApiServer":
        """Return the server as every pod knows it; the token is read anew because it expires."""
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host or not (SERVICE_ACCOUNT / "token").exists():
            raise ClusterError("This does not run in a pod with a service account: no ConfigMap can be written.")
        return cls(
            url=f"https://{f'[{host}]' if ':' in host else host}:{port}",
            namespace=(SERVICE_ACCOUNT / "namespace").read_text().strip(),
            token=(SERVICE_ACCOUNT / "token").read_text().strip(),
            verify=ssl.create_default_context(cafile=str(SERVICE_ACCOUNT / "ca.crt")),
        )


def patch_config_map(name: str, data: Mapping[str, str | None], server: ApiServer | None = None) -> None:
    """Merge the keys into the ConfigMap, which exists already; None removes a key. Hiccups are retried."""
    server = server or ApiServer.of_this_pod()
    body = json.dumps({"data": dict(data)}).encode()
    for attempt in range(1, ATTEMPTS + 1):
        problem = _patch_once(server, name, body)
        if not problem:
            return
        if attempt < ATTEMPTS:
            time.sleep(PAUSE_SECONDS * attempt)
    raise ClusterError(f"ConfigMap {name} could not be written in {ATTEMPTS} attempts: {problem}")


def read_config_map(name: str, server: ApiServer | None = None) -> Mapping[str, str]:
    """Return the ConfigMap's data, nothing where it cannot be read: what was there before only adds to a report."""
    try:
        server = server or ApiServer.of_this_pod()
        url = f"{server.url}/api/v1/namespaces/{server.namespace}/configmaps/{name}"
        headers = {"Authorization": f"Bearer {server.token}"}
        answer = httpx.get(url, headers=headers, verify=server.verify, timeout=TIMEOUT_SECONDS)
        found = answer.json().get("data") if answer.is_success else None
    except (ClusterError, httpx.HTTPError, ValueError, AttributeError):
        return {}
    return found or {}


def _patch_once(server: ApiServer, name: str, body: bytes) -> str:
    """Return what went wrong and may pass, empty for success; what will not pass is raised."""
    url = f"{server.url}/api/v1/namespaces/{server.namespace}/configmaps/{name}"
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/merge-patch+json"}
    try:
        answer = httpx.patch(url, content=body, headers=headers, verify=server.verify, timeout=TIMEOUT_SECONDS)
    except httpx.TransportError as error:
        return f"{type(error).__name__}: {error}"
    if answer.is_success:
        return ""
    if answer.status_code == 429 or answer.status_code >= 500:
        return f"the API server answered {answer.status_code}"
    raise ClusterError(f"ConfigMap {name}: the API server answered {answer.status_code}: {answer.text[:300]}")


def write_termination(message: str) -> None:
    """Leave the message where the kubelet reads it, cut to what it keeps; outside a pod it goes to standard error."""
    raw = message.encode("utf-8", errors="replace")[:TERMINATION_LIMIT_BYTES].decode("utf-8", errors="ignore")
    path = Path(os.environ.get("BITSHIFT_TERMINATION_LOG", str(TERMINATION_LOG)))
    if path.exists():
        path.write_text(raw, encoding="utf-8")
    else:
        print(raw, file=sys.stderr)
