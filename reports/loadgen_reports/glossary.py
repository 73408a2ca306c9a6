"""Definitions of the words on the page, one sentence each; `docs/glossary.md` and `docs/metrics.md` say more."""

TERMS: dict[str, tuple[str, str]] = {
    "arrival": (
        "Arrival",
        "The time at which a request was due. Arrivals are fixed before the run and do not wait for answers; "
        "every latency here starts at the arrival.",
    ),
    "ttft": ("TTFT", "Time to first token: first token − scheduled arrival."),
    "itl": ("ITL", "Inter-token latency: every gap between two consecutive tokens, over all tokens of a group."),
    "tpot": ("TPOT", "Time per output token: the mean gap of one request, over requests with at least two tokens."),
    "e2e": ("E2E", "End to end: last token − scheduled arrival, over requests that were answered in full."),
    "send-lag": (
        "Send lag",
        "Sent − scheduled arrival: how late the generator itself was. It is part of TTFT and E2E, and when it is "
        "large the run is invalid.",
    ),
    "ratio": (
        "Queue-to-compute ratio",
        "Σ queue time / Σ compute time of the requests that ended in one window; undefined, not 0, when none did. "
        "The autoscaler holds the mean over replicas at its target.",
    ),
    "truth": (
        "Ratio, ground truth",
        "The same ratio from the servers' raw counters, read once a second in the same window.",
    ),
    "desired": ("Desired", "Replicas that the autoscaler asks for."),
    "ready": ("Ready", "Replicas whose readiness probe succeeds."),
    "serving": ("Serving", "Replicas that have answered at least one request."),
    "lag": (
        "Lag",
        "From the load step, when the load exceeded what the replicas could carry, to the first answer of the last "
        "new replica. A lag window is that span.",
    ),
    "recovered": ("Recovered", "When latency was back within the SLO and stayed there."),
    "slo": ("SLO", "A limit on a named statistic. Requests that were not answered count as slower than any limit."),
    "verdict": (
        "Verdict",
        "PASS: every limit was met. FAIL: at least one was not. INVALID: the run cannot be judged, because it says "
        "something about the tool or the measurement and not about the server.",
    ),
    "correlation": (
        "Correlation",
        "Pearson's r of two series at the lag, 0 or more, that makes it largest in size: the follower comes later.",
    ),
    "cost": (
        "Cost",
        "Replica-seconds from created to gone while the load ran, against the most replicas ever desired, kept for "
        "the whole load (static peak), and against the fewest replicas that would have carried this load without a "
        "wait beyond the limit on TTFT.",
    ),
}


def definition(term: str) -> str:
    """The sentence that defines a term, by its key."""
    return TERMS[term][1]
