"""Our hands in a cluster."""
