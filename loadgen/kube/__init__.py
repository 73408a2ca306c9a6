"""Kubernetes: clusters as targets, and a real control plane without containers."""
