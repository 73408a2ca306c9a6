"""Analyses: DataFrames in, frozen dataclasses out; no files, sockets, clock or unseeded randomness."""
