"""The main job on a real control plane while Prometheus is stopped."""

import json
import time
from pathlib import Path

import pytest

from loadgen.sandbox.commands import Sandbox
from support.kube.jobs import TO_PEAK_S, first_second, job, last_second, peak
from support.kube.sandboxes import inside

pytestmark = pytest.mark.timeout(600)


def test_an_outage_of_prometheus_at_the_peak_is_reported(tmp_path: Path) -> None:
    """The run is invalid, its report has the window of the outage, and it keeps all data of other sources."""
    with job(tmp_path, "sandbox_faults.py") as run:
        time.sleep(TO_PEAK_S)
        prometheus(run.sandbox, 0)
        time.sleep(20)
        prometheus(run.sandbox, 1)
        code = run.end()
    assert code == 3, run.output()[-3000:]
    scrape_gap = run.finding("validity.scrape_gap")
    assert scrape_gap["measured"] > 15
    assert scrape_gap["advice"].startswith("Prometheus did not answer during this time, ")
    blind = run.finding("autoscaler.blind")
    assert "FailedGetPodsMetric" in blind["advice"]
    assert "prometheus" in run.finding("collect.gap")["advice"].partition(":")[0]
    start_s, end_s = peak(run)
    for finding in (scrape_gap, run.finding("collect.gap")):
        assert start_s < first_second(finding) < last_second(finding) < end_s, finding["window"]
    assert start_s < first_second(blind) < end_s, blind["window"]
    page = (run.folder.path / "report.md").read_text()
    assert scrape_gap["window"] in page
    # no request is lost, and the counters of the replicas were read all the time
    rows = run.folder.read("requests")
    assert len(rows) == run.folder.read_info().expected_rows
    assert (rows.outcome == "ok").mean() > 0.99
    assert run.events("hpa_rescale").empty
    samples = run.folder.read("samples")
    load_start_s = run.folder.read_info().load_start_s
    for pod in set(run.events("replica_ready").pod):
        raw = samples[(samples.signal == "raw_success") & (samples.pod == pod)].t_s - load_start_s
        inside_s = raw[(raw > start_s) & (raw < end_s)].sort_values()
        assert inside_s.diff().max() < 5, inside_s


def prometheus(box: Sandbox, replicas: int) -> None:
    """Set the number of Prometheus replicas that the operator runs."""
    patch = json.dumps({"spec": {"replicas": replicas}})
    inside(box, "kubectl", "-n", "monitoring", "patch", "prometheus", "sandbox", "--type=merge", f"--patch={patch}")
