"""Synthetic run folders with known truths: a plan is simulated request by request, deterministically by its seed.

`write(runs, PLANS["crash"])` writes a run folder, `simulate(PLANS["crash"])` returns what happened in it, and
`sample("crash")` its analysis, made once per process. To look at folders and reports:

    PYTHONPATH=tests uv run python -m support.runs.synthetic DIR [plan ...]
"""

from support.runs.synthetic.folder import write
from support.runs.synthetic.plan import PLANS, Plan
from support.runs.synthetic.samples import SAMPLES, finding, sample
from support.runs.synthetic.simulation import Truth, simulate

__all__ = ["PLANS", "SAMPLES", "Plan", "Truth", "finding", "sample", "simulate", "write"]
