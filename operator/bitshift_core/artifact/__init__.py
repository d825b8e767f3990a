"""Artifact headers as bytes → tensors, architecture, digests; what a facts Job reports."""
