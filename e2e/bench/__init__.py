"""Benchmarks on the real cluster: `make bench-NAME`."""
