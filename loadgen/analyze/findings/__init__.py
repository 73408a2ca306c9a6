"""Findings: one module per family; `codes` declares them all."""
