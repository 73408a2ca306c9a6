"""Observes a workload through watches of the Kubernetes API, in a process of its own."""
