"""What a run against a cluster must say of itself: its way in, what it could not see, what its autoscaler was told."""

import numpy as np

from loadgen.analyze.findings.warning import warn
from loadgen.analyze.observed import Observed, Series
from loadgen.analyze.queueing import held, stale_s
from loadgen.analyze.results import Cluster, Finding
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.dataset.names import SignalName

VALUE_TOLERANCE = 0.25
MOST_LAG_S = 30
"""How much later than Prometheus the metrics API may have a value and still be the same signal."""

_LEAST_SECONDS = 10


def facts(run: Observed) -> Cluster | None:
    """The workload that was driven, for the page; None where it was not one on a cluster."""
    info = run.info.cluster
    if info is None:
        return None
    return Cluster(
        workload=f"{info.kind} {info.workload}",
        namespace=info.namespace,
        context=info.context,
        hpa=info.hpa,
        service=info.service,
        endpoint=info.endpoint,
        balances=info.balances,
        lacking=info.lacking,
        assumed=info.assumed,
        skew_s=dict(info.skew_s),
        skew_error_s=dict(info.skew_error_s),
    )


def one_pod(run: Observed, fleet: Fleet) -> list[Finding]:
    """A fleet cannot be judged through a port-forward: everything goes to one of its pods."""
    info = run.info.cluster
    if info is None or info.balances != "one pod" or (run.info.autoscaler is None and len(fleet.pods) < 2):
        return []
    return [
        Finding(
            code="validity.endpoint",
            severity="invalid",
            passed=False,
            title="Replicas that requests could reach",
            measured=1.0,
            limit=None,
            unit="count",
            window="whole run",
            advice="All requests went through a port-forward to one pod, whatever the autoscaler did: give an address "
            "that balances with --kube-endpoint, or run inside the cluster (charts/loadgen).",
        )
    ]


def cluster_caveats(run: Observed, ratio: Series) -> list[Finding]:
    """Warnings of a run against a cluster."""
    info = run.info.cluster
    if info is None:
        return []
    found = []
    if info.balances == "connections" and run.info.protocol == "grpc":
        found.append(
            warn(
                "endpoint.connections",
                "Connections, not requests, are balanced",
                None,
                None,
                "",
                "whole run",
                f"Requests went by {info.endpoint}, which spreads connections; gRPC keeps its own, so a new replica "
                "gets no share of them: put a gateway that knows HTTP/2 before the Service (the chart's ingress.kind), "
                "or name the one that is there with --kube-endpoint.",
            )
        )
    if info.lacking:
        sentences = "; ".join(info.lacking)
        found.append(
            warn(
                "cluster.lacking", "Not observed", float(len(info.lacking)), 0.0, "count", "whole run", f"{sentences}."
            )
        )
    return found + _other_value(run, ratio)


def _other_value(run: Observed, ratio: Series) -> list[Finding]:
    """The mean of what the metrics API gave against the recorded ratio, at the delay that suits it best."""
    scaler, pods = run.info.autoscaler, run.signals.get(SignalName.AUTOSCALER_RATIO, {})
    if scaler is None or not pods or not len(ratio.t_s):
        return []
    times = np.unique(np.concatenate([series.t_s for series in pods.values()]))
    times = times[(times >= 0) & (times <= run.end_s)]
    rows = np.array([held(series, times, MOST_LAG_S) for series in pods.values()])
    seen = np.isfinite(rows).any(axis=0)
    times, rows = times[seen], rows[:, seen]
    if not len(times):
        return []
    given = np.nanmean(rows, axis=0)
    best: tuple[float, int] | None = None
    for lag in range(MOST_LAG_S + 1):
        recorded = held(ratio, times - lag, stale_s(run))
        both = np.isfinite(recorded) & (np.fmax(given, recorded) > scaler.target / 2)
        if both.sum() < _LEAST_SECONDS:
            continue
        off = float(np.median(np.abs(given[both] - recorded[both]) / np.maximum(recorded[both], scaler.target)))
        if best is None or off < best[0]:
            best = (off, int(both.sum()))
    if best is None or best[0] <= VALUE_TOLERANCE:
        return []
    advice = (
        f"In {best[1]} readings in which it mattered, the custom-metrics API gave the autoscaler another value than "
        f"Prometheus recorded under {scaler.metric}, off by this share (median): look at the rules of the adapter."
    )
    title = "Value of the metrics API, off from the recorded one"
    return [warn("signal.adapter", title, best[0], VALUE_TOLERANCE, "ratio", "whole run", advice)]
