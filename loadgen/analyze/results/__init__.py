"""Defines the result of an analysis: frozen values, from which all reports are made.

Times are seconds from the start of the load (the first stage) unless a field says otherwise. Durations are seconds.
Ratios are 0..1, except for the queue-to-compute ratio. Missing values are None, or NaN inside a series.
`docs/metrics.md` has the formulas.
"""

from loadgen.analyze.results.analysis import Analysis, Headline, Run, State, Verdict
from loadgen.analyze.results.audit import (
    Audit,
    AuditDecision,
    AuditLink,
    AuditMetric,
    AuditMismatch,
    AuditSpan,
    AuditStep,
)
from loadgen.analyze.results.finding import Finding, Severity, Span, Window
from loadgen.analyze.results.requests import Latencies, OutcomeCount, Stats
from loadgen.analyze.results.scaling import Cost, Direction, ScalingEvent
from loadgen.analyze.results.series import Correlation, Mark, Timeline
from loadgen.autoscale.rules import Rule

__all__ = [
    "Analysis",
    "Audit",
    "AuditDecision",
    "AuditLink",
    "AuditMetric",
    "AuditMismatch",
    "AuditSpan",
    "AuditStep",
    "Correlation",
    "Cost",
    "Direction",
    "Finding",
    "Headline",
    "Latencies",
    "Mark",
    "OutcomeCount",
    "Rule",
    "Run",
    "ScalingEvent",
    "Severity",
    "Span",
    "State",
    "Stats",
    "Timeline",
    "Verdict",
    "Window",
]
