"""Analyses of a run: pure functions from DataFrames to frozen dataclasses."""
