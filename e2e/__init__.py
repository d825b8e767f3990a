"""Checks of the whole: a real control plane, a real engine, a real gateway, a real Prometheus."""
