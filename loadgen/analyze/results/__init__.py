"""Defines the result of an analysis: frozen values, from which all reports are made.

Times are seconds from the start of the load (the first stage) unless a field says otherwise. Durations are seconds.
Ratios are 0..1, except for the queue-to-compute ratio. Missing values are None, or NaN inside a series.
`docs/metrics.md` has the formulas.
"""

from loadgen.analyze.results.analysis import Analysis, Headline, Run, State, Verdict
from loadgen.analyze.results.attainment import Attainment, AttainmentWindow, Violation
from loadgen.analyze.results.audit import (
    Audit,
    AuditDecision,
    AuditLink,
    AuditMetric,
    AuditMismatch,
    AuditSpan,
    AuditStep,
)
from loadgen.analyze.results.balance import AgeGroup, Balance, ReplicaAge, ReplicaUse
from loadgen.analyze.results.chain import ChainLink, EventChain, FixFirst, LinkKind, PodStart
from loadgen.analyze.results.cost import Charge, Cost, CostAlternative, UnitCost
from loadgen.analyze.results.demand import (
    Attribution,
    Demand,
    Elasticity,
    Estimate,
    LevelLag,
    NeededSpan,
    SmallestFleet,
)
from loadgen.analyze.results.failures import FailedWindow, Failures
from loadgen.analyze.results.finding import Finding, Severity, Span, Window
from loadgen.analyze.results.generator import Generator, SlowRequest
from loadgen.analyze.results.group import Group, Repeat, RepeatedFigure, RepeatedLimit
from loadgen.analyze.results.in_time import InTime, InTimeAnswer, LagParts
from loadgen.analyze.results.nodes import NodePressure, Nodes, NodeUnderLoad
from loadgen.analyze.results.requests import FEWEST_VALUES, Latencies, OutcomeCount, Percentiles, Stats
from loadgen.analyze.results.scaling import Direction, ScalingEvent
from loadgen.analyze.results.series import Correlation, Mark, Timeline
from loadgen.analyze.results.signal import (
    Bottleneck,
    ClockOffset,
    EngineUse,
    SignalCandidate,
    SignalCause,
    SignalGap,
    SignalTruth,
    SignalVerdict,
)
from loadgen.analyze.results.warm_up import WarmUp
from loadgen.autoscale.rules import Rule

__all__ = [
    "FEWEST_VALUES",
    "AgeGroup",
    "Analysis",
    "Attainment",
    "AttainmentWindow",
    "Attribution",
    "Audit",
    "AuditDecision",
    "AuditLink",
    "AuditMetric",
    "AuditMismatch",
    "AuditSpan",
    "AuditStep",
    "Balance",
    "Bottleneck",
    "ChainLink",
    "Charge",
    "ClockOffset",
    "Correlation",
    "Cost",
    "CostAlternative",
    "Demand",
    "Direction",
    "Elasticity",
    "EngineUse",
    "Estimate",
    "EventChain",
    "FailedWindow",
    "Failures",
    "Finding",
    "FixFirst",
    "Generator",
    "Group",
    "Headline",
    "InTime",
    "InTimeAnswer",
    "LagParts",
    "Latencies",
    "LevelLag",
    "LinkKind",
    "Mark",
    "NeededSpan",
    "NodePressure",
    "NodeUnderLoad",
    "Nodes",
    "OutcomeCount",
    "Percentiles",
    "PodStart",
    "Repeat",
    "RepeatedFigure",
    "RepeatedLimit",
    "ReplicaAge",
    "ReplicaUse",
    "Rule",
    "Run",
    "ScalingEvent",
    "Severity",
    "SignalCandidate",
    "SignalCause",
    "SignalGap",
    "SignalTruth",
    "SignalVerdict",
    "SlowRequest",
    "SmallestFleet",
    "Span",
    "State",
    "Stats",
    "Timeline",
    "UnitCost",
    "Verdict",
    "Violation",
    "WarmUp",
    "Window",
]
