"""The main job on a real control plane while components of it fail: the report shows each fault with its window.

At the peak a pod is killed, Prometheus is stopped for 20 s, and then the API server is killed. The load never stops.
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from loadgen.sandbox.commands import Sandbox
from support.kube.jobs import TO_PEAK_S, Job, component_pid, first_second, job, last_second, peak, triton_pods
from support.kube.sandboxes import inside

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class FaultyRun:
    """A finished run, its exit code, the pod that was killed, and the peak in seconds from the start of the load."""

    job: Job
    code: int
    killed: str
    peak: tuple[float, float]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyRun]:
    with job(tmp_path_factory.mktemp("runs"), "sandbox_faults.py") as run:
        box = run.sandbox
        victim = triton_pods(box)[0][0]
        time.sleep(TO_PEAK_S)
        inside(box, "kubectl", "-n", "triton", "delete", "pod", victim, "--grace-period=0", "--force")
        prometheus(box, 0)
        time.sleep(20)
        prometheus(box, 1)
        time.sleep(5)
        inside(box, "kill", "-9", str(component_pid(box, "kube-apiserver")))
        code = run.end()
        yield FaultyRun(run, code, victim, peak(run))


def prometheus(box: Sandbox, replicas: int) -> None:
    """Set the number of Prometheus replicas that the operator runs."""
    patch = json.dumps({"spec": {"replicas": replicas}})
    inside(box, "kubectl", "-n", "monitoring", "patch", "prometheus", "sandbox", "--type=merge", f"--patch={patch}")


def test_a_killed_pod_is_reported(faulty: FaultyRun) -> None:
    """The report has the pod that stopped without a scale-down; the ReplicaSet has replaced it, the HPA did nothing."""
    run = faulty.job
    assert faulty.killed in set(run.events("replica_stopped").pod)
    assert len(run.events("replica_created")) == 3  # the first two, and the replacement of the killed one
    assert run.events("hpa_rescale").empty
    lost = run.finding("replica.lost")
    assert lost["measured"] == 1
    assert lost["advice"].startswith(f"{faulty.killed} stopped without a scale-down")
    start_s, end_s = faulty.peak
    assert start_s < first_second(lost) < end_s, lost["window"]


def test_an_outage_of_prometheus_makes_the_run_invalid(faulty: FaultyRun) -> None:
    """The report has the window of the outage, for the data of the run and for the HPA."""
    assert faulty.code == 3, faulty.job.output()[-3000:]
    start_s, end_s = faulty.peak
    scrape_gap = faulty.job.finding("validity.scrape_gap")
    assert scrape_gap["measured"] > 15
    assert scrape_gap["advice"].startswith("Prometheus did not answer during this time, ")
    assert start_s < first_second(scrape_gap) < end_s, scrape_gap["window"]
    assert last_second(scrape_gap) < faulty.job.analysis["run"]["length_s"]
    report = (faulty.job.folder.path / "report.md").read_text()
    assert re.search(r"\| Longest gap in the ratio samples .* \| from \d+:\d\d to \d+:\d\d \|", report)
    blind = faulty.job.finding("autoscaler.blind")
    assert blind["measured"] > 10
    assert "FailedGetPodsMetric" in blind["advice"]
    assert start_s < first_second(blind) < end_s, blind["window"]


def test_gaps_of_the_observation_are_reported(faulty: FaultyRun) -> None:
    """The gaps of both sources are reported, that of Prometheus and that of the API server."""
    gap = faulty.job.finding("collect.gap")
    assert "kubernetes (" in gap["advice"]
    assert "prometheus (from " in gap["advice"]
    start_s, end_s = faulty.peak
    assert start_s < first_second(gap) < end_s, gap["window"]


def test_load_and_counters_go_on(faulty: FaultyRun) -> None:
    """Every planned request has a row, most of them `ok`, and the counters of the replicas are read all the time."""
    folder = faulty.job.folder
    rows, info = folder.read("requests"), folder.read_info()
    assert len(rows) == info.expected_rows
    assert (rows.outcome == "ok").mean() > 0.9
    start_s, end_s = faulty.peak
    samples = folder.read("samples")
    for pod in set(faulty.job.events("replica_ready").pod):
        raw = samples[(samples.signal == "raw_success") & (samples.pod == pod)].t_s - info.load_start_s
        during_s = raw[(raw > start_s) & (raw < end_s)].sort_values()
        assert during_s.diff().max() < 5, during_s
