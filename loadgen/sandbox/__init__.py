"""Runs a real Kubernetes control plane on one machine without root or a container engine; pods are local processes."""
