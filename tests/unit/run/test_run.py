"""One run: what its report says when there is none."""

from pathlib import Path

import pytest

import loadgen.run.run
from loadgen.base.errors import LoadgenError
from loadgen.run.run import Run
from loadgen.scenario.rates import Constant
from loadgen.scenario.settings import Scenario


def test_a_report_that_takes_too_long_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is recorded, so the sentence says how to report on it later."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loadgen.run.run, "_REPORT_TIMEOUT_S", 0.01)
    run = Run(Scenario(name="x", load=Constant(per_s=1, duration_s=60)), say=lambda text: None)
    with pytest.raises(LoadgenError, match=f"`loadgen report {run.folder.path}`"):
        run.report()
