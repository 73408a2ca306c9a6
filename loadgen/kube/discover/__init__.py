"""Finds what a run is about: workload, autoscaler, endpoint, Prometheus, and what cannot be read of them."""
