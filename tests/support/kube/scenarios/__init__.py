"""Locustfiles that runs against a cluster are started with."""

from pathlib import Path

SCENARIOS = Path(__file__).parent
