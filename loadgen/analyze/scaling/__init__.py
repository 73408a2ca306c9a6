"""Analyses of scaling: replicas, scaling events, recovery and cost."""
