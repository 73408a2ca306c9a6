"""Says why the ratio was not sampled, and what to do about this cause."""

from collections.abc import Sequence

import numpy as np

from loadgen.analyze.observed import Floats, Observed
from loadgen.analyze.results import SignalGap, Window
from loadgen.analyze.steps import Interval
from loadgen.base.display import listed, tenths
from loadgen.dataset.names import EventKind, GapSource, SignalName
from loadgen.dataset.run_info import SIGNAL_NOT_OBSERVED


def no_sample_advice(run: Observed) -> str:
    """The cause for a load without any sample of the ratio."""
    start = "The ratio was not recorded during the load, so scaling cannot be judged"
    cluster, metric = run.info.cluster, run.info.autoscaler.metric if run.info.autoscaler else "the metric"
    reasons = [sentence for sentence in cluster.lacking if SIGNAL_NOT_OBSERVED in sentence] if cluster else []
    if reasons:
        return (
            f"{start}: {listed(reasons)}. Grant what is missing, or name a Prometheus that this account can read "
            f"with --kube-prometheus (NAMESPACE/SERVICE:PORT, or a URL)."
        )
    span = (0.0, run.end_s)
    scrapes = _scrapes(run, span)
    if len(scrapes) and not scrapes.any():
        return f"{start}: Prometheus could not scrape the replicas. {_check_scrapes(run)}"
    if len(scrapes):
        return (
            f"{start}: Prometheus scraped the replicas but has no series {metric} for them. Check that a recording "
            f"rule makes it, and that its selector matches the model and the labels of the replicas."
        )
    if _did_not_answer(run, span):
        return f"{start}: Prometheus did not answer. {_check_prometheus(run)}"
    return (
        f"{start}: no scrape of a replica was recorded. Check that Prometheus scrapes the replicas"
        f"{', as a ServiceMonitor or PodMonitor that it selects,' if cluster else ''} and that the recording rule "
        f"matches their labels."
    )


def gap_advice(run: Observed, span: Interval) -> str:
    """The cause for a gap between samples of the ratio, as far as it is known."""
    scrapes = _scrapes(run, span)
    if _did_not_answer(run, span):
        return (
            "Prometheus did not answer during this time, and the autoscaler reads its metric there, so its decisions "
            f"do not reflect its settings. {_check_prometheus(run)}"
        )
    if len(scrapes) and not scrapes.any():
        return f"Prometheus could not scrape any replica during this time. {_check_scrapes(run)}"
    if len(scrapes):
        return (
            "Prometheus scraped the replicas during this time, but its recording rule gave no ratio: check that the "
            "rule is evaluated as often as the replicas are scraped, and that its window holds four scrapes."
        )
    where = "the log of Prometheus" if run.info.cluster else "the logs of Prometheus"
    return (
        f"The metric of the autoscaler was not sampled for this long: check in {where} and in logs/collector.log which "
        f"of the two stalled, and reduce other work on the machine."
    )


_GAP_TEXTS: dict[str, str] = {
    "no_ratio": "The ratio was not sampled for up to {}",
    "no_counters": "The counters of a ready replica were not read for up to {}",
    "undefined": "The ratio of the counters was undefined for up to {}, as no request completed in the rate window",
}


def gaps_sentence(gaps: Sequence[SignalGap]) -> str:
    """The longest gap of each kind, or that there was none."""
    longest: dict[str, SignalGap] = {}
    for gap in gaps:
        longest[gap.kind] = max(longest.get(gap.kind, gap), gap, key=lambda each: each.end_s - each.start_s)
    if not longest:
        return "The ratio was sampled throughout."
    texts = []
    for kind, text in _GAP_TEXTS.items():
        if kind in longest:
            start_s, end_s = longest[kind].start_s, longest[kind].end_s
            texts.append(text.format(f"{tenths(end_s - start_s)} ({Window(start_s, end_s)})") + ".")
    return " ".join(texts)


def _scrapes(run: Observed, span: Interval) -> Floats:
    """Results of the scrapes of all replicas inside a span: 1 for success."""
    results = [
        series.value[(series.t_s > span[0]) & (series.t_s < span[1])]
        for series in run.signals.get(SignalName.UP, {}).values()
    ]
    return np.concatenate([*results, np.empty(0)])


def _did_not_answer(run: Observed, span: Interval) -> bool:
    gaps = [event for event in run.of_kind(EventKind.COLLECT_GAP) if event.data.get("source") == GapSource.PROMETHEUS]
    return any(event.t_s < span[1] and event.until_s > span[0] for event in gaps)


def _check_prometheus(run: Observed) -> str:
    if run.info.cluster is None:
        return "Check logs/collector.log for its answers and the log of Prometheus, then run again."
    return (
        "Check logs/collector.log for its answers (a refusal names the flag for credentials), and the pod, the node "
        "and the log of Prometheus, then run again."
    )


def _check_scrapes(run: Observed) -> str:
    if run.info.cluster is None:
        return "Check the logs of the replicas in logs/, then run again."
    return (
        "Its page of targets has the error: check the port, NetworkPolicies and the load of the pods, then run again."
    )
