"""A run folder of an earlier commit: a run of the local stack recorded on 2026-11-30, with the analysis made then."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from loadgen_reports.formats import json as machine

from loadgen.cli import main

EARLIER = Path(__file__).parent / "run-of-0.1.0"
TEXTS = {"title", "advice", "emulated", "what", "label", "missing", "why_missing"}
"""Fields of `analysis.json` that hold sentences for people: wording may change, values may not."""
REDEFINED = (".headline.lag_s", ".headline.signal_s", ".trigger_s", ".lag_windows[0].start_s", ".capacity_per_s")
"""Values with a better definition since (CHANGELOG: signed lag, capacity from whole services)."""

CORRECTED = (".correlations",)
"""Values that earlier analyses had wrong (CHANGELOG.md): lags had one sign only, and were not compared with chance."""


def without_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_texts(each) for key, each in value.items() if key not in TEXTS}
    return [without_texts(each) for each in value] if isinstance(value, list) else value


def lacking(before: Any, now: Any, path: str = "") -> list[str]:
    """Paths at which the earlier analysis says something that this one does not; additions are fine."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            each
            for key, value in before.items()
            for each in (lacking(value, now[key], f"{path}.{key}") if key in now else [f"{path}.{key}"])
        ]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        return [
            each
            for number, (old, new) in enumerate(zip(before, now, strict=True))
            for each in lacking(old, new, f"{path}[{number}]")
        ]
    return [] if before == now or path.startswith(CORRECTED) else [f"{path}: {str(before)[:60]} is {str(now)[:60]} now"]


def test_an_earlier_run_is_judged_as_it_was(tmp_path: Path) -> None:
    """`loadgen report` of a folder of an earlier release gives the same verdict and the same numbers."""
    run = shutil.copytree(EARLIER, tmp_path / "run")
    assert main(["report", str(run)]) == 3, "the run was invalid: its generator sent late"
    before = json.loads((EARLIER / "analysis.json").read_text())
    now = machine.read(run)
    assert (before.pop("schema_version"), now.pop("schema_version")) == (1, 2)
    different = lacking(without_texts(before), without_texts(now))
    assert [each for each in different if not each.split(":")[0].endswith(REDEFINED)] == []
    assert now["capacity_per_s"] == pytest.approx(before["capacity_per_s"], rel=0.05)
    assert now["headline"]["lag_s"] == pytest.approx(before["headline"]["lag_s"], abs=5.0)
