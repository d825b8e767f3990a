"""Builds manifests; one module per kind; pure."""
