"""Computes what a run cost, and what other fleets would have cost for the same requests."""
