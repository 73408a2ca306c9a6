"""Synthetic run folders with known truths: a plan is simulated request by request, deterministically by its seed.

`write(runs, PLANS["crash"])` writes a run folder, `simulate(PLANS["crash"])` returns what happened in it, and
`sample("crash")` its analysis, made once per process. To look at folders and reports:

    PYTHONPATH=tests uv run python -m support.runs.synthetic DIR [plan ...]
"""

from support.runs.synthetic.folder import write
from support.runs.synthetic.plan import ENGINE, PLANS, UNREACHED, Plan
from support.runs.synthetic.samples import SAMPLES, analysis, finding, sample
from support.runs.synthetic.simulation import Truth, simulate

__all__ = [
    "ENGINE",
    "PLANS",
    "SAMPLES",
    "UNREACHED",
    "Plan",
    "Truth",
    "analysis",
    "finding",
    "sample",
    "simulate",
    "write",
]
