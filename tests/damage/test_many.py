"""Folders with very many of one thing: the analysis is complete, says what it analyzed in part, and needs little."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.runs.damage.many import hour, many

MANY = dict(many())
RUN = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (100, 100))  # a guard against a hang: each takes a few seconds
from loadgen.analyze.read import analyze_folder
from loadgen.dataset.folder import RunFolder
from loadgen_reports.write import write_reports
folder = Path(sys.argv[1])
write_reports(analyze_folder(RunFolder.open(folder)), folder, ("json", "html", "markdown", "junit"))
"""
IN_PART = {
    "stages": "the first 1,000 of 100,000 stages",
    "equal syncs": " of 200,003 HPA syncs",
    "different syncs": " of 200,003 HPA syncs",
    "rescales": "the first 500 of 20,000 scaling events",
    "rescales without replicas": "the first 500 of 100,000 scaling events",
}
LEFT_OUT = ("replicas", "replicas of one scale-up", "events replica_created")


@pytest.mark.parametrize("name", MANY)
def test_a_folder_with_many(name: str, tmp_path: Path) -> None:
    """Every report is written within 4 GiB, and the files stay small."""
    make: Callable[[Path], object] = MANY[name]
    folder = hour(tmp_path / "run")
    make(folder)
    done = subprocess.run([sys.executable, "-c", RUN, str(folder)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / "analysis.json").stat().st_size < 2 << 20
    findings = {each["code"]: each["advice"] for each in json.loads((folder / "analysis.json").read_text())["findings"]}
    assert IN_PART.get(name, "") in findings.get("run.too_large", "")
    assert ("run.too_large" in findings) == (name in IN_PART)
    if name in LEFT_OUT:
        assert "with a replica beyond the first 2,000" in findings["validity.damaged_rows"]
