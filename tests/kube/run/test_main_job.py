"""The main job on a real control plane: the real HPA controller scales."""

from pathlib import Path

import pytest

from support.kube.jobs import job

pytestmark = pytest.mark.timeout(600)


def test_the_real_controller_scales_up_and_down_again(tmp_path: Path) -> None:
    """One wave scales from one replica to three and back, each scale-up has its times, and the verdict is `pass`."""
    with job(tmp_path, "sandbox_wave.py") as run:
        assert run.end() == 0, run.output()[-3000:]
    analysis = run.analysis
    assert analysis["whole"]["failed"] == 0
    ups = [event for event in analysis["scaling"] if event["direction"] == "up"]
    assert ups[0]["before"] == 1
    assert max(event["after"] for event in ups) == 3
    assert ups[0]["complete"], ups[0]["missing"]
    assert ups[0]["reason"].endswith("reason: pods metric triton:queue_compute:ratio above target")
    assert "autoscaler.blind" not in {each["code"] for each in analysis["findings"]}
    head = analysis["headline"]
    assert (head["lowest_replicas"], head["peak_replicas"], head["last_replicas"]) == (1, 3, 1)
    assert set(run.folder.read("samples").signal) >= {"ratio", "raw_queue_us", "engine_active"}
    assert (run.folder.logs / "sandbox" / "kube-apiserver.log").is_file()
    assert "pods are processes of one machine" in (run.folder.path / "report.md").read_text().replace("\n", " ")
