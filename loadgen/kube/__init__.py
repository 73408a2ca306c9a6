"""Runs against Kubernetes clusters: discovers, deploys and observes the workload under test."""
