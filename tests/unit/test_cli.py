"""Exit codes and imports of the `loadgen` command."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from loadgen.base.clock import Clock
from loadgen.base.errors import INTERRUPTED, ExitCode
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


def test_an_internal_error_has_its_own_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected error exits with 4, as 1 means that the server failed."""

    def fails(_: RunFolder) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(RunFolder, "open", fails)
    assert main(["report", str(tmp_path)]) == ExitCode.TOOL
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "error: unexpected" in err
    assert "please report it" in err


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--price-per-gpu-hour", "-1"),
        ("--price-per-gpu-hour", "nan"),
        ("--currency", "euros"),
        ("--gpus-per-replica", "0"),
    ],
)
def test_a_wrong_price_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str, value: str
) -> None:
    """It names the flag and what to give instead."""
    assert main(["report", str(folder_of(tmp_path, anchor_unix_s=0.0)), flag, value]) == ExitCode.USAGE
    err = capsys.readouterr().err
    assert f"error: {flag} {value}" in err
    assert ": use " in err
    assert "Traceback" not in err


def test_a_time_out_of_range_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A start of the run that no calendar has."""
    folder = folder_of(tmp_path, anchor_unix_s=0.0)
    text = (folder / "run.json").read_text()
    (folder / "run.json").write_text(text.replace('"anchor_unix_s": 0.0', '"anchor_unix_s": 1e300'))
    assert main(["report", str(folder)]) == ExitCode.USAGE
    assert "run.json is damaged at anchor_unix_s" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["--help"], ["report", "--help"], ["upload", "--help"], ["deploy", "--help"], ["lint", "--help"]]
)
def test_help_imports_no_large_library(command: list[str]) -> None:
    """`--help` does not import large libraries, which take seconds."""
    large = ("numpy", "pandas", "pyarrow", "matplotlib", "jinja2", "kubernetes", "locust", "gevent")
    program = f"""
import sys
from loadgen.cli import main
try:
    main({command!r})
finally:
    print("IMPORTED", *(name for name in {large!r} if name in sys.modules))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "IMPORTED"


def test_a_report_without_figures_imports_no_matplotlib(tmp_path: Path) -> None:
    """The selected reports are written without matplotlib, whose import takes about a second, and without pandas."""
    folder = folder_of(tmp_path, anchor_unix_s=0.0)
    RunFolder(folder).append("events", "run", [{"t_s": 1.0, "kind": "stack_failed", "message": "no image"}])
    RunFolder(folder).append("samples", "collector", [{"t_s": 1.0, "signal": "ratio", "value": 1.0}])
    program = f"""
import sys
from loadgen.cli import main
assert main(["report", {str(folder)!r}, "--reports", "json, markdown"]) == 3
print([name for name in ("matplotlib", "pandas", "jinja2", "locust", "kubernetes") if name in sys.modules])
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    *_, path, imported = run.stdout.splitlines()
    assert (path, imported) == (str(folder), "[]")
    assert {each.name for each in folder.iterdir()} >= {"analysis.json", "report.md"}
    assert not {each.name for each in folder.iterdir()} & {"report.html", "junit.xml", "figures"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command(
    number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 130 and one sentence that says what is left; afterwards SIGTERM is handled as before."""
    monkeypatch.setattr(RunFolder, "open", lambda _: os.kill(os.getpid(), number))
    before = signal.getsignal(signal.SIGTERM)
    assert main(["report", str(tmp_path)]) == INTERRUPTED
    assert capsys.readouterr().err == (
        "interrupted: every report that was written is whole, and `loadgen report` writes all of them again\n"
    )
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_unknown_report_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message has the available formats, and the run is not read."""
    assert main(["report", str(tmp_path), "--reports", "html,pdf"]) == ExitCode.USAGE
    assert "no report format 'pdf': choose from json, html, markdown, junit, figures" in capsys.readouterr().err


def test_a_reader_of_the_report_that_has_left(tmp_path: Path) -> None:
    """The exit code is the verdict, also after `| head`."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "loadgen", "report", str(folder_of(tmp_path, 0.0)), "--reports", "json", "--json"]
    done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (3, "")


def test_a_folder_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder without a run is a usage error with one sentence."""
    assert main(["report", str(tmp_path)]) == ExitCode.USAGE
    err = capsys.readouterr().err
    assert "is not a run folder" in err
    assert "Traceback" not in err
