"""Builds the programs of the control plane once, from pinned Go modules."""
