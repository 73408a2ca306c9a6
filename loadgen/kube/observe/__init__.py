"""Watches a workload and records what happens to it."""
