"""A real one-node Kubernetes with gateway, Prometheus and images, on a bare Debian machine and from packages alone."""

from e2e.cluster.cluster import Cluster
from e2e.cluster.commands import ClusterError, wait_until
from e2e.cluster.settings import Paths

__all__ = ["Cluster", "ClusterError", "Paths", "wait_until"]
