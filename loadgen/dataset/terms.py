"""Declares the terms of the project: what reports and documentation measure and how it is computed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A term with one meaning everywhere.

    Attributes:
        key: Stable identifier; the page's anchor is `def-<key>`.
        label: The term as it is written.
        meaning: One or two sentences.
        formula: How it is computed; empty where it is not a number.
        unit: Unit of its values; empty where it is not a number.
    """

    key: str
    label: str
    meaning: str
    formula: str = ""
    unit: str = ""


SCENARIO = Term(key="scenario", label="Scenario", meaning="A named load test with its settings.")
STAGE = Term(key="stage", label="Stage", meaning="A span of the run with one rate rule.")
WAVE = Term(key="wave", label="Wave", meaning="A stage whose rate alternates between a trough and a peak.")
ARRIVAL = Term(
    key="arrival",
    label="Arrival",
    meaning="The time at which a request is due. Arrivals are fixed before the run and do not depend on responses; "
    "every client latency starts at the arrival.",
    unit="s",
)
OUTCOME = Term(key="outcome", label="Outcome", meaning="How a request ended.")
TTFT = Term(
    key="ttft",
    label="TTFT",
    meaning="Time to first token, over requests that received one.",
    formula="first token − scheduled arrival",
    unit="s",
)
ITL = Term(
    key="itl",
    label="ITL",
    meaning="Inter-token latency, over all tokens of a group of requests.",
    formula="token − previous token of the same request",
    unit="s",
)
TPOT = Term(
    key="tpot",
    label="TPOT",
    meaning="Time per output token: the mean gap of one request, over requests with at least two tokens.",
    formula="(last token − first token) / (output tokens − 1)",
    unit="s",
)
E2E = Term(
    key="e2e",
    label="E2E",
    meaning="End-to-end latency, over requests that were answered in full.",
    formula="last token − scheduled arrival",
    unit="s",
)
SEND_LAG = Term(
    key="send-lag",
    label="Send lag",
    meaning="How late the load generator itself was. It is part of TTFT and E2E; a large send lag makes the run "
    "invalid.",
    formula="sent − scheduled arrival",
    unit="s",
)
OFFERED = Term(
    key="offered", label="Offered rate", meaning="Load on the servers.", formula="due requests / time", unit="1/s"
)
COMPLETED = Term(
    key="completed",
    label="Completed rate",
    meaning="Throughput, by the time at which a request ended.",
    formula="answered requests / time",
    unit="1/s",
)
RATIO = Term(
    key="ratio",
    label="Queue-to-compute ratio",
    meaning="Undefined, not 0, in a window without compute. The autoscaler keeps the mean over replicas at its target.",
    formula="Σ queue time / Σ compute time of the requests that ended in one window",
    unit="1",
)
TRUE_RATIO = Term(
    key="truth",
    label="Ratio, ground truth",
    meaning="The queue-to-compute ratio from the raw counters of the servers, read once a second.",
    formula="Σ Δqueue time / Σ Δcompute time over all replicas and the rate window",
    unit="1",
)
CAPACITY = Term(
    key="capacity",
    label="Sustained throughput per replica",
    meaning="Requests per second that a replica completes while others always wait for it.",
    formula="requests that it serves at once / mean service time",
    unit="1/s",
)
REPLICA = Term(key="replica", label="Replica", meaning="A pod that serves requests.")
DESIRED = Term(
    key="desired", label="Desired", meaning="Number of replicas that the autoscaler requests.", unit="replicas"
)
READY = Term(key="ready", label="Ready", meaning="Replicas whose readiness probe succeeds.", unit="replicas")
SERVING = Term(
    key="serving", label="Serving", meaning="Replicas that have answered at least one request.", unit="replicas"
)
SCALING_EVENT = Term(
    key="scaling-event",
    label="Scaling event",
    meaning="One change of the desired replica count with the chain of events before and after it: load step, over "
    "target, decided, created, scheduled, started, ready, serving, recovered.",
)
LOAD_STEP = Term(
    key="load-step",
    label="Load step",
    meaning="When the load needed the replicas that a scale-up added; after its decision if the scale-up was early.",
    unit="s",
)
DEMAND = Term(
    key="demand",
    label="Needed replicas",
    meaning="The fewest replicas that carry the offered rate of a moment within the limits on TTFT and E2E.",
    formula="least n with λ(t) < highest stationary rate of n replicas",
    unit="replicas",
)
LAG = Term(
    key="lag",
    label="Lag",
    meaning="From the need for replicas until they serve; negative if they served before they were needed. A lag "
    "window is that span, and lasts until the backlog that the lag left is gone.",
    formula="serving − load step",
    unit="s",
)
RECOVERED = Term(
    key="recovered", label="Recovered", meaning="When latency was within the SLO again and stayed there.", unit="s"
)
SLO = Term(
    key="slo",
    label="SLO",
    meaning="A limit on a named statistic. Requests that were not answered count as slower than any limit.",
)
ATTAINMENT = Term(
    key="attainment",
    label="SLO attainment",
    meaning="Share of the due requests that ended ok within every limit for a single request: for each metric, the "
    "limit of its highest limited percentile.",
    formula="requests that attained / due requests",
    unit="1",
)
IN_VIOLATION = Term(
    key="in-violation",
    label="In violation",
    meaning="A window of due time (30 s by default) whose attainment is below the limited percentile, such as 95 %.",
    formula="Σ length of these windows",
    unit="s",
)
BURN = Term(
    key="burn",
    label="Burn rate",
    meaning="How fast a window uses up the requests that may miss the limits: at 1, exactly as many do as allowed.",
    formula="(1 − attainment) / (1 − limited percentile)",
    unit="1",
)
GOODPUT = Term(
    key="goodput",
    label="Goodput",
    meaning="Rate of the requests that attained, by the time at which they were due.",
    formula="requests that attained / time",
    unit="1/s",
)
VERDICT = Term(
    key="verdict",
    label="Verdict",
    meaning="PASS: every limit was met. FAIL: at least one limit was missed. INVALID: the run cannot be judged, "
    "because the load generator or the measurement was at fault, or because requests in flight at a stop could turn "
    "it.",
)
WARNING = Term(key="warning", label="Warning", meaning="A finding that does not affect the verdict.")
CORRELATION = Term(
    key="correlation",
    label="Correlation",
    meaning="Pearson's r of two pre-whitened series at the lag with the largest absolute value. With a positive lag "
    "the second series follows the first, with a negative lag it leads. Up to the threshold it is not told from "
    "chance.",
    unit="1",
)
COST = Term(
    key="cost",
    label="Cost",
    meaning="Compared with the most replicas ever desired, kept for the whole load (static peak), and with the "
    "smallest fixed fleet on which a replay of this load keeps the limits on TTFT and E2E.",
    formula="Σ over replicas of the time from created to stopped, within the load",
    unit="replica-seconds",
)

ALL: tuple[Term, ...] = (
    SCENARIO,
    STAGE,
    WAVE,
    ARRIVAL,
    OUTCOME,
    TTFT,
    ITL,
    TPOT,
    E2E,
    SEND_LAG,
    OFFERED,
    COMPLETED,
    RATIO,
    TRUE_RATIO,
    CAPACITY,
    REPLICA,
    DESIRED,
    READY,
    SERVING,
    SCALING_EVENT,
    LOAD_STEP,
    DEMAND,
    LAG,
    RECOVERED,
    SLO,
    ATTAINMENT,
    IN_VIOLATION,
    BURN,
    GOODPUT,
    VERDICT,
    WARNING,
    CORRELATION,
    COST,
)
"""Every term, in the order in which the glossary explains them."""
