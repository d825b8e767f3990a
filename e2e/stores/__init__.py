"""Artifacts on real servers: a registry, an S3 store and a Hub, read and fetched by the pods of a real cluster."""
