"""Findings about a run against a cluster: its endpoint, missing data and the metric that its autoscaler reads."""

import numpy as np

from loadgen.analyze.findings import codes
from loadgen.analyze.findings.deviation import median_deviation
from loadgen.analyze.observed import Observed, Series
from loadgen.analyze.queueing import last_sample, stale_s
from loadgen.analyze.results import Finding
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.base.display import listed
from loadgen.dataset.names import SignalName

VALUE_TOLERANCE = 0.25
MAX_LAG_S = 30
"""Longest delay of the metrics API behind Prometheus at which both still count as the same signal."""


def one_pod(run: Observed, fleet: Fleet) -> list[Finding]:
    """A run through a port-forward, which sends all requests to one pod, so that scaling cannot be judged."""
    info = run.info.cluster
    if info is None or info.balances != "one pod" or (run.info.autoscaler is None and len(fleet.pods) < 2):
        return []
    return [
        codes.ENDPOINT.finding(
            measured=1.0,
            limit=None,
            advice="All requests went through a port-forward to one pod, independent of the number of replicas: name "
            "a load-balanced address with --kube-endpoint, or run inside the cluster (charts/loadgen).",
        )
    ]


def cluster_warnings(run: Observed, ratio: Series) -> list[Finding]:
    """Warnings of a run against a cluster."""
    info = run.info.cluster
    if info is None:
        return []
    findings = []
    if info.balances == "connections" and run.info.protocol == "grpc":
        findings.append(
            codes.ENDPOINT_CONNECTIONS.finding(
                measured=None,
                limit=None,
                advice=f"Requests went through {info.endpoint}, which balances connections. gRPC reuses its "
                "connections, so new replicas receive no requests: put an HTTP/2-aware gateway in front of the Service "
                "(the chart's ingress.kind), or name an existing one with --kube-endpoint.",
            )
        )
    if info.lacking:
        advice = f"{listed(info.lacking)}."
        if any(sentence.startswith("missing RBAC permissions") for sentence in info.lacking):
            advice += " Ask an administrator for a Role with these permissions; the chart charts/loadgen contains one."
        findings.append(codes.CLUSTER_LACKING.finding(measured=float(len(info.lacking)), limit=0.0, advice=advice))
    return findings + _adapter_deviation(run, ratio)


def _adapter_deviation(run: Observed, ratio: Series) -> list[Finding]:
    """Compares the mean of the values of the metrics API with the recorded ratio, at the delay that fits best."""
    scaler, pods = run.info.autoscaler, run.signals.get(SignalName.AUTOSCALER_RATIO, {})
    if scaler is None or not pods or not len(ratio.t_s):
        return []
    times = np.unique(np.concatenate([series.t_s for series in pods.values()]))
    times = times[(times >= 0) & (times <= run.end_s)]
    rows = np.array([last_sample(series, times, MAX_LAG_S) for series in pods.values()])
    known = np.isfinite(rows).any(axis=0)
    times, rows = times[known], rows[:, known]
    if not len(times):
        return []
    served = np.nanmean(rows, axis=0)
    best = median_deviation(
        served,
        lambda lag_s: last_sample(ratio, times - lag_s, stale_s(run)),
        target=scaler.target,
        max_lag_s=MAX_LAG_S,
    )
    if best is None or best[0] <= VALUE_TOLERANCE:
        return []
    advice = (
        f"In {best[1]} samples near or above the target, the custom metrics API deviated by this share (median) from "
        f"the value that Prometheus recorded for {scaler.metric}: check the rules of the adapter."
    )
    return [codes.SIGNAL_ADAPTER.finding(measured=best[0], limit=VALUE_TOLERANCE, advice=advice)]
