"""The page in a real browser; not part of the default suite, as it needs Chromium:

uv run pytest tests/browser/check_report.py
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from loadgen_reports.write import write_reports

from support.runs.synthetic import sample

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=4000",
    "--enable-logging=stderr",
    "--dump-dom",
]


def opened(tmp_path: Path, name: str) -> tuple[str, str]:
    """The page's DOM after its scripts ran, and what the browser logged of it."""
    page = write_reports(sample(name), tmp_path, formats=["html"])["report.html"]
    ran = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return ran.stdout, "\n".join(line for line in ran.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.parametrize("name", ["failing", "two-hours", "url", "hostile", "interrupted"])
def test_charts_are_drawn(tmp_path: Path, name: str) -> None:
    """Every measured panel has its canvas, the page reports its draw time, and nothing is complained about."""
    assert CHROMIUM, "install Chromium to run this check"
    dom, complaints = opened(tmp_path, name)
    assert complaints == ""
    assert re.search(r'data-draw-ms="\d+"', dom)
    assert dom.count("<canvas") == (2 if name == "url" else 4)
    assert 'class="stage' in dom


@pytest.mark.parametrize("name", ["nothing-recorded", "never-started"])
def test_a_page_without_charts_opens(tmp_path: Path, name: str) -> None:
    """A run without a timeline, or without a load, opens without a complaint."""
    assert CHROMIUM, "install Chromium to run this check"
    dom, complaints = opened(tmp_path, name)
    assert complaints == ""
    assert "<canvas" not in dom
