"""The names that scenario files import from `loadgen.locust`."""

import subprocess
import sys

from loadgen.scenario import rates

EARLIER_NAMES = {
    *("Constant", "Fixed", "Local", "LogNormal", "Prompts", "Scenario", "Seeds", "Slo", "Spike", "Step"),
    *("TritonUser", "Uniform", "Validity", "Wave"),
}


def test_every_name_can_be_imported() -> None:
    """`loadgen.locust` has all names of earlier versions, `Kube` and every load shape, including combined ones."""
    program = "import loadgen.locust as plugin; print(*(n for n in plugin.__all__ if hasattr(plugin, n)))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    names = set(run.stdout.split())
    shapes = {shape.__name__ for shape in rates.RateBase.__subclasses__()}
    assert {"Constant", "Spike", "Step", "Wave", "Scaled", "Sum", "Sequence"} <= shapes
    assert names >= {*EARLIER_NAMES, *shapes, "Kube", "Rate"}
