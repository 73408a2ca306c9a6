"""The names that scenario files import from `loadgen.locust`."""

import subprocess
import sys

from loadgen.scenario import rates

BEFORE = {
    *("Constant", "Fixed", "Local", "LogNormal", "Prompts", "Scenario", "Seeds", "Slo", "Spike", "Step"),
    *("TritonUser", "Uniform", "Validity", "Wave"),
}


def test_scenario_files_find_every_name() -> None:
    """All names of earlier versions, the settings of a cluster, and every load shape, joined ones included."""
    program = "import loadgen.locust as plugin; print(*(n for n in plugin.__all__ if hasattr(plugin, n)))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    names = set(run.stdout.split())
    shapes = {shape.__name__ for shape in rates.RateBase.__subclasses__()}
    assert {"Constant", "Spike", "Step", "Wave", "Scaled", "Sum", "Sequence"} <= shapes
    assert names >= {*BEFORE, *shapes, "Kube", "Rate"}
