"""Locustfiles for runs against a cluster."""

from pathlib import Path

SCENARIOS = Path(__file__).parent
