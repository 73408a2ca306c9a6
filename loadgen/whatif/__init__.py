"""Simulates what other settings of an HPA would have done with the load of a run."""
