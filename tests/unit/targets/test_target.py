"""The choice of the target, and its description in `run.json` before it starts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadgen.run.run import Run
from loadgen.scenario.fleets import Local
from loadgen.scenario.rates import Constant
from loadgen.scenario.settings import Scenario, Validity

PROGRAM = """
import sys
from loadgen.scenario.rates import Constant
from loadgen.scenario.settings import Scenario
from loadgen.run.run import Run
from loadgen.targets.target import target_of
target_of(Scenario(name="x", load=Constant(per_s=1, duration_s=60), target=sys.argv[1]))
print(*(name for name in ("kubernetes", "loadgen.kube", "loadgen.sandbox", "pandas") if name in sys.modules))
"""


def scenario(target: str, **settings: object) -> Scenario:
    return Scenario(name="x", load=Constant(per_s=1, duration_s=60), target=target, **settings)


@pytest.mark.parametrize("target", ["local", "grpc://127.0.0.1:8001"])
def test_a_local_or_url_run_does_not_import_kubernetes(target: str) -> None:
    """Only runs against a cluster import the Kubernetes client, which takes a second."""
    run = subprocess.run([sys.executable, "-c", PROGRAM, target], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


@pytest.mark.parametrize(
    ("target", "emulated", "compressed", "autoscaled", "gap_s"),
    [
        ("local", True, 5, True, 12.0),
        ("sandbox", False, 4, True, 12.0),
        ("kube", False, 0, False, 5.0),
        ("http://127.0.0.1:8000", False, 0, False, 5.0),
    ],
)
def test_run_json_describes_the_target_before_it_starts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    emulated: bool,
    compressed: int,
    autoscaled: bool,
    gap_s: float,
) -> None:
    """The description is derived from the settings; that of a cluster is empty until the workload is discovered."""
    monkeypatch.chdir(tmp_path)
    run = Run(scenario(target, local=Local(scrape_interval_s=4, rate_window_s=16)), say=lambda text: None)
    written = json.loads((run.folder.path / "run.json").read_text())
    assert (written["emulated"] is not None) is emulated
    assert len(written["compressions"]) == compressed
    assert (written["autoscaler"] is not None) is autoscaled
    assert written["validity"]["scrape_gap_s"] == gap_s  # three scrapes of 4 s, or 5 s
    assert written["cluster"] is None


def test_the_scrape_gap_of_the_settings_overrides_that_of_the_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit in `Validity` has precedence over the target's default."""
    monkeypatch.chdir(tmp_path)
    run = Run(scenario("local", validity=Validity(scrape_gap_s=1.5)), say=lambda text: None)
    assert run.info.validity.scrape_gap_s == 1.5
