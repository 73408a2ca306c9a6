"""Builds the programs of the sandbox from pinned Go modules."""
