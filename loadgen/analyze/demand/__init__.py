"""Analyses of demand: service times, capacity, needed replicas, lag, and what the lag did. Pure, arrays in."""
