"""Findings of a run against a cluster."""

from typing import Any

import pytest

from loadgen.analyze.findings.cluster import cluster_warnings, one_pod
from loadgen.analyze.findings.incidents import incidents
from loadgen.analyze.queueing import mean_over_pods, ratio_by_pod, stale_s
from loadgen.analyze.scaling.replicas import fleet
from loadgen.dataset.run_info import ClusterInfo
from support.runs.tables import SCALER, event, info, life, observed, request, series

REQUESTS = [request(n, float(n)) for n in range(60)]
READY = life("a", -9, -5)


def cluster(**changes: Any) -> ClusterInfo:
    fields = {
        "context": "prod",
        "namespace": "llm",
        "kind": "Deployment",
        "workload": "t",
        "hpa": "t",
        "endpoint": "ingress 10.0.0.1:80",
        "balances": "requests",
    }
    return ClusterInfo(**{**fields, **changes})


def run_on(where: ClusterInfo | None, *, samples: Any = (), **changes: Any) -> Any:
    what = info(target="kube", cluster=where, **changes)
    return observed(what, requests=REQUESTS, samples=samples, events=READY)


def warnings(run: Any) -> dict[str, Any]:
    ratio = mean_over_pods(ratio_by_pod(run, fleet(run)), stale_s(run))
    return {each.code: each for each in cluster_warnings(run, ratio)}


def test_a_run_without_a_cluster_has_no_cluster_findings() -> None:
    """No cluster, no findings."""
    run = run_on(None)
    assert (warnings(run), one_pod(run, fleet(run))) == ({}, [])


@pytest.mark.parametrize(
    ("balances", "autoscaler", "invalid"),
    [("one pod", SCALER, True), ("one pod", None, False), ("requests", SCALER, False), ("connections", SCALER, False)],
)
def test_a_port_forward_to_a_scaled_workload_is_invalid(balances: str, autoscaler: Any, invalid: bool) -> None:
    """A port-forward to the only pod of a workload without an autoscaler is valid."""
    run = run_on(cluster(balances=balances), autoscaler=autoscaler)
    assert [each.severity for each in one_pod(run, fleet(run))] == (["invalid"] if invalid else [])


@pytest.mark.parametrize(
    ("balances", "protocol", "told"),
    [("connections", "grpc", True), ("requests", "grpc", False), ("connections", "http", False)],
)
def test_balanced_connections_are_reported_for_grpc(balances: str, protocol: str, told: bool) -> None:
    """gRPC reuses one connection; HTTP has one connection per request in flight."""
    assert ("endpoint.connections" in warnings(run_on(cluster(balances=balances), protocol=protocol))) is told


def test_unavailable_data_is_a_finding() -> None:
    """The advice has every sentence."""
    found = warnings(run_on(cluster(lacking=("needs x: without it, y", "no z"))))["cluster.lacking"]
    assert (found.measured, found.advice) == (2.0, "needs x: without it, y; no z.")


def test_missing_permissions_come_with_what_to_do() -> None:
    """A Role, which the chart contains."""
    right = "missing RBAC permissions: list/watch on events in namespace llm (reasons of rescales are not recorded)"
    advice = warnings(run_on(cluster(lacking=(right,))))["cluster.lacking"].advice
    assert advice.startswith(f"{right}. Ask an administrator for a Role with these permissions")


@pytest.mark.parametrize(
    ("target", "where", "logs"),
    [
        ("local", None, "logs/"),
        ("kube", cluster(), "the cluster (`kubectl logs --namespace llm POD --previous`)"),
        ("sandbox", cluster(), "logs/sandbox"),
    ],
)
def test_where_the_log_of_a_crashed_replica_is(target: str, where: ClusterInfo | None, logs: str) -> None:
    """In the run folder, or on the cluster."""
    what = info(target=target, cluster=where)
    run = observed(what, requests=REQUESTS, events=[*READY, event(30, "replica_crashed", "a")])
    assert incidents(run)[0].advice == f"a: the server process exited unexpectedly; see its log in {logs}."


def both(given: float, delay_s: float = 0.0) -> Any:
    """A ratio of 0.2 that becomes 2.0 at 20 s, and what the API gave: `given` times it, so much later."""
    recorded = {float(t): 2.0 if t >= 20 else 0.2 for t in range(60)}
    read = {float(t): given * (2.0 if t - delay_s >= 20 else 0.2) for t in range(0, 60, 3)}
    return series("ratio", "a", recorded) + series("autoscaler_ratio", "a", read)


def test_a_deviating_metrics_api_is_reported() -> None:
    """The API serves twice the ratio, as with a sum over two models, at the delay that fits best."""
    found = warnings(run_on(cluster(), samples=both(2.0)))["signal.adapter"]
    assert found.measured == pytest.approx(1.0)  # (4 - 2) / 2
    assert SCALER.metric in found.advice


@pytest.mark.parametrize("delay_s", [0.0, 9.0])
def test_an_agreeing_metrics_api_is_not_reported(delay_s: float) -> None:
    """It may be some seconds late and deviate by a quarter."""
    assert warnings(run_on(cluster(), samples=both(1.1, delay_s))) == {}


def test_values_far_below_the_target_are_not_compared() -> None:
    """Values below half the target do not affect scaling."""
    low = series("ratio", "a", {float(t): 0.1 for t in range(60)})
    other = series("autoscaler_ratio", "a", {float(t): 0.4 for t in range(0, 60, 3)})
    assert warnings(run_on(cluster(), samples=low + other)) == {}


def test_the_mean_over_pods_is_compared() -> None:
    """3.0 and 1.0 of two replicas are the 2.0 that is recorded as their mean."""
    values = {"a": 3.0, "b": 1.0}
    recorded = [row for pod, value in values.items() for row in series("ratio", pod, dict.fromkeys(_S, value))]
    asked = [
        row for pod, value in values.items() for row in series("autoscaler_ratio", pod, dict.fromkeys(_S[::3], value))
    ]
    lives = [*READY, *life("b", -9, -5)]
    run = observed(info(target="kube", cluster=cluster()), requests=REQUESTS, samples=recorded + asked, events=lives)
    assert warnings(run) == {}


_S = [float(t) for t in range(60)]
