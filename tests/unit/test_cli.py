"""The `loadgen` command: its exit codes, which CI relies on."""

from pathlib import Path

import pytest

from loadgen.base.clock import Clock
from loadgen.base.errors import ExitCode
from loadgen.cli import main
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.run_info import RunInfo, ValidityLimits


def folder_of(tmp_path: Path, anchor_unix_s: float) -> Path:
    folder = RunFolder.create(tmp_path, "x", Clock(anchor_unix_s=0.0, anchor_monotonic_s=0.0))
    folder.write_info(
        RunInfo(
            run_id=folder.path.name,
            scenario="x",
            anchor_unix_s=anchor_unix_s,
            anchor_monotonic_s=0.0,
            target="local",
            protocol="grpc",
            stream=True,
            validity=ValidityLimits(send_lag_p99_s=0.05, scrape_gap_s=5, min_samples=100),
        )
    )
    return folder.path


def test_a_fault_of_ours_is_not_a_failed_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What nobody foresaw, such as a time beyond all calendars, exits with 4: 1 would say that the server failed."""
    assert main(["report", str(folder_of(tmp_path, anchor_unix_s=1e300))]) == ExitCode.TOOL
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "error: unexpected" in err
    assert "please report it" in err


def test_no_run_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder without a run is wrong usage, told in one sentence."""
    assert main(["report", str(tmp_path)]) == ExitCode.USAGE
    err = capsys.readouterr().err
    assert "is not a run folder" in err
    assert "Traceback" not in err
